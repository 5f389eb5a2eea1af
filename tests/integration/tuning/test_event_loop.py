"""Which loop a crawl runs on."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import Settings

from concurcrawl import Addon
from concurcrawl.tuning.event_loop import quickest
from tests.support.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path


def loop_of(folder: Path, options: list[str]) -> str:
    """Return the loop that a crawl of this project ran on; it finds no site."""
    pairs = [part for pair in options for part in ("-s", pair)]
    command = [sys.executable, "-m", "scrapy", "crawl", "countries"]
    command += ["-a", "site=http://127.0.0.1:9/", "-s", "RETRY_ENABLED=0"]
    command += ["-s", f"CONCURCRAWL_PAGES_DIR={folder}", "-s", "LOG_LEVEL=DEBUG"]
    done = subprocess.run(
        [*command, *pairs],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment(),
        text=True,
        timeout=DEADLINE_S,
    )
    (found,) = re.findall(r"Using asyncio event loop: (\S+)", done.stderr)
    return str(found)


def test_a_mode_takes_uvloop_if_it_is_there(tmp_path: Path) -> None:
    expected = (
        "uvloop.Loop" if quickest() else "asyncio.unix_events._UnixSelectorEventLoop"
    )
    assert loop_of(tmp_path, ["MODE=async"]) == expected


@pytest.mark.parametrize(
    "options",
    [["MODE=async", "ASYNCIO_EVENT_LOOP=asyncio.SelectorEventLoop"], []],
    ids=["somebody chose", "no mode"],
)
def test_a_loop_that_somebody_chose_stays(options: list[str], tmp_path: Path) -> None:
    found = loop_of(tmp_path, options)
    assert found == "asyncio.unix_events._UnixSelectorEventLoop"


def test_a_script_keeps_its_loop() -> None:
    settings = Settings({"MODE": "async"})
    Addon.update_pre_crawler_settings(settings)
    assert settings["ASYNCIO_EVENT_LOOP"] is None
