"""Commands that look at one page work whatever mode a project has set."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, PROJECT, crawl, environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", ["parallel", "concurrent"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["fetch", "--nolog"], "<p>as asked</p>"),
        (["shell", "--nolog", "-c", "response.status"], "200"),
        (["parse", "--nolog", "--spider=pagecount"], "'number': 1"),
    ],
    ids=["fetch", "shell", "parse"],
)
def test_a_command_that_looks_at_a_page_shows_it(
    command: list[str], expected: str, mode: str, site: str
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scrapy", *command),
            *("-s", f"MODE={mode}", f"{site}/status/200"),
        ],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert expected in done.stdout


def test_a_spider_gets_its_arguments_in_every_process(
    site: str, tmp_path: Path
) -> None:
    options = ("-a", "pages=3", "-a", "wait=0", "-s", "MODE=parallel")
    found = crawl("slow", site, tmp_path, *options)
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(3)}
