"""How often Python looks for garbage while a crawl runs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import Settings

from concurcrawl import Addon
from tests.support.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import gc
from scrapy import Spider

class Looking(Spider):
    name = "looking"

    @classmethod
    def from_crawler(cls, crawler):
        spider = super().from_crawler(crawler)
        spider.first_threshold = gc.get_threshold()[0]
        return spider

    async def start(self):
        is_frozen = gc.get_freeze_count() > 10_000  # Python 3.12 begins with some
        threshold = gc.get_threshold()[0]
        yield {
            "threshold": threshold,
            "is_frozen": is_frozen,
            "is_put_off": self.first_threshold > threshold,
        }
"""


@pytest.mark.parametrize(
    ("options", "is_relaxed"),
    [(["MODE=async"], True), ([], False)],
    ids=["mode", "none"],
)
def test_with_a_mode_a_command_looks_less_often(
    options: list[str], *, is_relaxed: bool, tmp_path: Path
) -> None:
    (tmp_path / "spider.py").write_text(SPIDER, encoding="utf-8")
    pairs = [part for pair in options for part in ("-s", pair)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scrapy", "runspider", "spider.py", "-L", "ERROR"),
            *("-O", "-:jsonl", "-s", 'ADDONS={"concurcrawl.Addon": 500}', *pairs),
        ],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env=environment(),
        text=True,
        timeout=DEADLINE_S,
    )
    found = json.loads(done.stdout)
    assert (found["threshold"] != gc.get_threshold()[0]) == is_relaxed
    assert found["is_frozen"] == is_relaxed
    assert found["is_put_off"] == is_relaxed


def test_a_script_keeps_its_thresholds() -> None:
    before = gc.get_threshold()
    Addon.update_pre_crawler_settings(Settings({"MODE": "async"}))
    assert gc.get_threshold() == before
