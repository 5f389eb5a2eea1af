"""A stop while items of ``start()`` are in a pipeline waits for them, and ends."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import asyncio, os, signal
import scrapy

class Slow:
    async def process_item(self, item):
        await asyncio.sleep(0.5)
        return item

class S(scrapy.Spider):
    name = "s"
    custom_settings = {
        "ADDONS": {"concurcrawl.Addon": 500},
        "ITEM_PIPELINES": {Slow: 1},
    }

    async def start(self):
        for n in range(3):
            yield {"n": n}
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)
"""


@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_a_stop_ends_after_the_items_of_start(mode: str, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(SPIDER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "scrapy", "runspider", "s.py", "-s", f"MODE={mode}"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'finish_reason': 'shutdown'" in done.stderr, done.stderr
    assert "'item_scraped_count': 3" in done.stderr, done.stderr
