"""Feeds that are continued: what is cut, what is kept, and what counts as written."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.utils.test import get_crawler

from concurcrawl.durable.feeds import ContinuedCsv, Ledger, item_at_hand
from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import expected
from tests.integration.durable.test_jobdir import of_jsonl, options, wait_until
from tests.support.crawls import DEADLINE_S, crawl, crawling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scrapy.crawler import Crawler


@pytest.fixture
def crawler() -> Crawler:
    return get_crawler()


def ledger(crawler: Crawler, notes: dict[str, str]) -> Ledger:
    """Return a ledger that takes *notes*, and goes on after those that are there."""
    found = Ledger(crawler, notes.update)
    found.resume(dict(notes))
    return found


def test_what_an_appended_file_had_before_is_kept_whenever_the_crawl_was_killed(
    crawler: Crawler, tmp_path: Path
) -> None:
    path, notes = tmp_path / "feed", dict[str, str]()
    path.write_bytes(b"before\n")
    with ledger(crawler, notes).open(path, "ab") as file:
        file.write(b"not safe\n")
    ledger(crawler, notes)
    assert path.read_bytes() == b"before\n"


def left_by_one_that_was_killed(crawler: Crawler, path: Path) -> dict[str, str]:
    """Write a feed as a crawl that is killed leaves it, and return its notes."""
    notes = dict[str, str]()
    first = ledger(crawler, notes)
    with first.open(path, "wb") as file:
        file.write(b"safe\n")
        notes.update(first.make_safe())
        file.write(b"torn")
    return notes


def test_a_feed_is_cut_to_what_was_safe_and_continued(
    crawler: Crawler, tmp_path: Path
) -> None:
    path = tmp_path / "feed"
    notes = left_by_one_that_was_killed(crawler, path)
    with ledger(crawler, notes).open(path, "wb") as file:
        file.write(b"next\n")
    assert path.read_bytes() == b"safe\nnext\n"


def test_a_feed_that_somebody_removed_begins_anew(
    crawler: Crawler, tmp_path: Path
) -> None:
    path = tmp_path / "feed"
    notes = left_by_one_that_was_killed(crawler, path)
    path.unlink()
    with ledger(crawler, notes).open(path, "wb") as file:
        file.write(b"anew\n")
    assert path.read_bytes() == b"anew\n"


def test_an_item_counts_as_written_from_the_moment_a_feed_has_it(
    crawler: Crawler, tmp_path: Path
) -> None:
    kept = ledger(crawler, {})
    with kept.open(tmp_path / "feed", "wb") as file:
        file.write(b"a header is no item\n")
        assert kept.written == set()
        token = item_at_hand.set(7)
        file.write(b"item\n")
        item_at_hand.reset(token)
    assert kept.written == {7}


def test_after_a_failed_write_nothing_is_safe(crawler: Crawler, tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.symlink_to("/dev/full")
    kept = ledger(crawler, {})
    file = kept.open(path, "wb")
    with pytest.raises(OSError, match="No space left"):
        file.write(b"x" * 100_000)
    with pytest.raises(OSError, match="No space left"):
        kept.make_safe()
    file.close()


def csv(
    crawler: Crawler,
    path: Path,
    notes: dict[str, str],
    item: Mapping[str, str],
    **options: Any,
) -> None:
    kept = ledger(crawler, notes)
    file = kept.open(path, "wb")
    exporter = ContinuedCsv.from_crawler(crawler, file, **options)
    exporter.start_exporting()
    exporter.export_item(item)
    exporter.finish_exporting()
    notes.update(kept.make_safe())
    file.close()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_one_header_and_keeps_its_columns(
    encoding: str, delimiter: str, crawler: Crawler, tmp_path: Path
) -> None:
    path, notes = tmp_path / "table.csv", dict[str, str]()
    options = {"encoding": encoding, "delimiter": delimiter}
    csv(crawler, path, notes, {"größe": "1", "two": "2"}, **options)
    csv(crawler, path, notes, {"two": "4", "größe": "3"}, **options)
    rows = path.read_text(encoding=encoding).splitlines()
    assert rows == [delimiter.join(row) for row in (("größe", "two"), "12", "34")]


def test_a_table_without_a_header_gets_none_when_it_is_continued(
    crawler: Crawler, tmp_path: Path
) -> None:
    path, notes = tmp_path / "table.csv", dict[str, str]()
    for item in ({"one": "1"}, {"one": "2"}):
        csv(crawler, path, notes, item, include_headers_line=False)
    assert path.read_text(encoding="utf-8").split() == ["1", "2"]


def test_a_table_that_is_appended_to_has_a_header_though_it_was_killed_before_a_row(
    crawler: Crawler, tmp_path: Path
) -> None:
    path, notes = tmp_path / "table.csv", dict[str, str]()
    path.write_text("of,before\n", encoding="utf-8")
    ledger(crawler, notes).open(path, "ab").close()
    csv(crawler, path, notes, {"one": "1"})
    assert path.read_text(encoding="utf-8").split() == ["of,before", "one", "1"]


@pytest.mark.parametrize("mode", ["serial", "hybrid"])
def test_an_item_is_there_once_though_another_of_its_page_was_in_a_pipeline(
    mode: str, tmp_path: Path
) -> None:
    feed = tmp_path / "items.jsonl"
    slowly = ("-s", 'ITEM_PIPELINES={"anyspider.pipelines.Dawdle": 1}')
    with SiteProcess(pages=25, latency_s=0.02) as testsite:
        url = testsite.list_url
        with crawling("whole", url, tmp_path, *options(tmp_path, mode, *slowly)) as one:
            # On disk: a page has been made safe, and its other item is still at work.
            wait_until(one, lambda: feed.exists() and b'"page"' in feed.read_bytes())
            one.send(signal.SIGKILL)
            one.process.wait(DEADLINE_S)
        crawl("whole", url, tmp_path, *options(tmp_path, mode))
    assert of_jsonl(feed) == expected()
