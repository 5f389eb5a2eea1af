"""What is imported before Scrapy asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.crawls import DEADLINE_S, environment

#: What a crawl imports that gets nothing: its engine is made, and closes.
CRAWL = """
import sys
from scrapy import Spider
from scrapy.crawler import CrawlerProcess
import concurcrawl.tuning.preload

class Idle(Spider):
    name = "idle"

    async def start(self):
        return
        yield

settings = {"LOG_ENABLED": False, "ADDONS": {"concurcrawl.Addon": 500}, **OPTIONS}
process = CrawlerProcess(settings)
names = set(concurcrawl.tuning.preload._MODULES)
print(names <= sys.modules.keys())
process.crawl(Idle)
process.start()
print(names <= sys.modules.keys())
"""


@pytest.mark.parametrize(
    ("options", "is_early"),
    [({"MODE": "serial"}, True), ({"MODE": "concurrent"}, True), ({}, False)],
    ids=["serial", "concurrent", "none"],
)
def test_with_a_mode_they_come_early_and_else_when_scrapy_wants_them(
    options: dict[str, str], *, is_early: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"OPTIONS = {options}\n{CRAWL}"],
        capture_output=True,
        check=True,
        env=environment(),
        text=True,
        timeout=DEADLINE_S,
    )
    before, after = done.stdout.splitlines()
    assert before == str(is_early)
    assert after == "True"  # it is nothing that a crawl would do without


def test_they_install_no_reactor() -> None:
    program = (
        "import sys; from concurcrawl.tuning import preload as early_imports; "
        "early_imports.import_deprecated_classes(); "
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=environment(),
        timeout=DEADLINE_S,
    )
