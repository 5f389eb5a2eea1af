"""Receivers of signals hear in every mode what they hear without one."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import crawl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.crawls import Result

    Heard = tuple[Counter[str], Result]

#: Of each page: a line for each of Scrapy's signals and for each of the project's own.
LINES = 8 + 3

LATE = ("-s", "CHAIN=1", "-s", "LATE=page")


def hear(site: str, folder: Path, *options: str) -> Heard:
    """Crawl; return what an extension of the project's own heard."""
    told = folder.parent / f"{folder.name}.heard"
    done = crawl("heard", site, folder, "-s", f"HEARD={told}", *options)
    return Counter(told.read_text(encoding="utf-8").splitlines()), done


@pytest.fixture(scope="module")
def plain(site: str, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """What it hears in a crawl without a mode."""
    return hear(site, tmp_path_factory.mktemp("plain") / "plain")


@pytest.mark.parametrize("setup", ["parallel", "hybrid spawn", "async in JOBDIR"])
def test_an_extension_hears_all_of_what_it_hears_without_a_mode(
    setup: str, plain: Heard, site: str, tmp_path: Path
) -> None:
    mode = setup.split(maxsplit=1)[0]
    # It connects when the spider is open.
    more = ["-s", f"MODE={mode}", "-s", "LATE=opened"]
    more += ["-s", "CONCURCRAWL_START_METHOD=spawn"] if "spawn" in setup else []
    more += ["-s", f"JOBDIR={tmp_path / 'job'}"] if "JOBDIR" in setup else []
    heard, done = hear(site, tmp_path / "mode", *more)
    expected, before = plain
    assert heard == expected
    assert expected.total() == 3 * LINES
    assert done.comparable() == before.comparable()
    # A middleware and the spider hear in the worker what is sent there, and only there.
    assert done.stats["heard/by_middleware"] == 3
    assert done.stats["heard/by_spider"] == 3


def test_who_connects_while_the_crawl_runs_hears_from_then_on(
    plain: Heard, site: str, tmp_path: Path
) -> None:
    heard, _ = hear(site, tmp_path / "late", "-s", "MODE=parallel", *LATE)
    expected, _ = plain
    pages = [_of_page_2(told) for told in (expected, heard)]
    assert pages[0] == pages[1]
    assert pages[0].total() == LINES


def _of_page_2(heard: Counter[str]) -> Counter[str]:
    """Return what was heard of it, wherever the crawl came from."""
    lines = [re.sub(r'"depth": \d, ', "", line) for line in heard.elements()]
    marks = ('"row": 2', '"page": "2"')
    return Counter(line for line in lines if any(mark in line for mark in marks))


def test_what_cannot_travel_is_left_out_and_named_once(
    plain: Heard, site: str, tmp_path: Path
) -> None:
    live = ("-s", "MODE=parallel", "-s", "LIVE=1")
    heard, done = hear(site, tmp_path / "live", *live)
    assert heard == plain[0]
    meta = "WARNING: request.meta['live']: receivers of signals do not find it"
    assert done.log.count(meta) == 1
    signal = "WARNING: signal ('heard', 7): it does not reach extensions and pipelines"
    assert done.log.count(signal) == 1
    assert done.log.count("(socket=<socket.socket") == 1
    assert done.stats["log_count/WARNING"] == 3 + 2  # three items were dropped
