"""How often Python looks for garbage while a crawl runs."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import Settings

from concurcrawl import Addon
from tests.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import gc
from scrapy import Spider

class Looking(Spider):
    name = "looking"

    async def start(self):
        is_frozen = gc.get_freeze_count() > 0
        yield {"threshold": gc.get_threshold()[0], "is_frozen": is_frozen}
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
    assert f'"is_frozen": {str(is_relaxed).lower()}' in done.stdout
    assert (f'"threshold": {gc.get_threshold()[0]},' in done.stdout) != is_relaxed


def test_a_script_keeps_its_thresholds() -> None:
    before = gc.get_threshold()
    Addon.update_pre_crawler_settings(Settings({"MODE": "async"}))
    assert gc.get_threshold() == before
