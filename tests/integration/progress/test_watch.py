"""Crawls that show how far they are: in real terminals, and without one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import MODES, crawl, crawling
from tests.support.terminal import in_terminal

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = ("-s", "CONCURCRAWL_PROGRESS=1")


def command(site: str, *options: str) -> tuple[str, ...]:
    return ("-m", "scrapy", "crawl", "slow", "-a", f"site={site}", *SHOWN, *options)


@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_log_lines_and_rows_do_not_tear_each_other(mode: str, site: str) -> None:
    options = ("-s", f"MODE={mode}", "-s", "LOG_LEVEL=DEBUG", "-a", "pages=60")
    with in_terminal(*command(site, *options)) as terminal:
        terminal.wait_for(r"(total|main) +\d+ +\S+ +[1-9]\d* +0 +0")  # in flight
        terminal.finish()
    text = terminal.screen.text
    assert terminal.process.returncode == 0, text
    joined = text.replace("\n", "")  # lines are wider than the terminal
    pages = re.findall(r"Crawled \(200\) <GET \S+?&n=\d+> \(referer: None\)", joined)
    assert len(set(pages)) == 60
    assert len(re.findall("in flight", text)) == 1  # no rows are left among the lines
    last = text.rstrip().splitlines()[-1].split()
    assert last[:2] == ["main" if mode == "async" else "total", "60"]
    assert text.endswith("\n")


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_ctrl_c_leaves_the_terminal_as_it_was(mode: str, site: str) -> None:
    options = ("-s", f"MODE={mode}", "-a", "pages=400")
    with in_terminal(*command(site, *options)) as terminal:
        terminal.wait_for(r"(total|main) +[1-9]")
        terminal.type("\x03")
        terminal.finish()
    screen = terminal.screen
    assert terminal.process.returncode == 0, screen.text
    assert "Spider closed (shutdown)" in screen.text
    assert re.search(r"slow +MODE=\w+ +done in 0:", screen.text)
    assert not screen.is_cursor_hidden
    assert screen.wraps
    assert (screen.line, screen.column) == (len(screen.rows) - 1, 0)


@pytest.mark.parametrize("mode", MODES)
def test_without_a_terminal_lines_tell_how_far_it_is(
    mode: str, site: str, tmp_path: Path
) -> None:
    found = crawl("slow", site, tmp_path, "-s", f"MODE={mode}", *SHOWN, "-a", "pages=6")
    (line,) = re.findall(r"^slow 0:\d\d done: .*", found.log, re.MULTILINE)
    assert ": 6 pages, " in line
    assert ", 0 errors, 0 retries" in line
    counts = [int(count) for count in re.findall(r"worker-\d (\d+)", line)]
    assert sum(counts) == (6 if mode in ("parallel", "hybrid") else 0)
    assert "\x1b" not in found.log


def test_errors_and_retries_are_told_apart(site: str, tmp_path: Path) -> None:
    found = crawl("errors", site, tmp_path, "-s", "MODE=parallel", *SHOWN)
    (line,) = re.findall(r"^errors 0:\d\d done: .*", found.log, re.MULTILINE)
    assert f": {found.stats['downloader/response_status_count/200']} pages, " in line
    assert f", {found.stats['retry/count']} retries" in line
    assert int(re.findall(r"(\d+) errors", line)[0]) > 0


def test_a_crawl_without_a_mode_shows_its_progress_too(
    site: str, tmp_path: Path
) -> None:
    found = crawl("slow", site, tmp_path, *SHOWN, "-a", "pages=4")
    assert re.search(r"^slow 0:\d\d done: 4 pages, ", found.log, re.MULTILINE)
    assert "concurcrawl.limits.handler" not in found.log


def test_a_crawl_that_is_resumed_shows_its_progress_too(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=serial", "-s", f"JOBDIR={tmp_path / 'job'}", *SHOWN)
    found = crawl("slow", site, tmp_path, *options, "-a", "pages=4")
    assert re.search(r" done: 4 pages, .* \(worker-1 4\)$", found.log, re.MULTILINE)


@pytest.mark.parametrize("mode", ["", "async"])
def test_a_wrong_value_is_refused_in_one_sentence(
    mode: str, site: str, tmp_path: Path
) -> None:
    wrong = ("-s", f"MODE={mode}", "-s", "CONCURCRAWL_PROGRESS=maybe")
    with crawling("slow", site, tmp_path, *wrong) as running:
        found = running.finish()
    assert found.exit_code == 1
    assert found.log.splitlines() == ["CONCURCRAWL_PROGRESS='maybe': must be 0 or 1"]
