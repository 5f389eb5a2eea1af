"""A crawl with a JOBDIR: whatever ends it, the same command again finishes it."""

from __future__ import annotations

import csv
import hashlib
import json
import resource
import shutil
import signal
import stat
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import EXTRAS, PAGES, Item, expected
from tests.support.crawls import DEADLINE_S, MODES, Crawl, Result, crawl, crawling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BEFORE = '{"kind": "before", "name": "us"}\n'


@pytest.fixture(scope="module")
def testsite() -> Iterator[SiteProcess]:
    """A site whose pages take a moment, so that there is time to kill."""
    with SiteProcess(pages=PAGES, latency_s=0.1, log=True) as running:
        yield running


@pytest.fixture
def pages(testsite: SiteProcess) -> str:
    """The address of the list, on a test site that has seen nothing yet."""
    testsite.reset()
    return testsite.list_url


def options(folder: Path, mode: str, *others: str, workers: int = 2) -> list[str]:
    """Return what makes a crawl of *mode* durable, in *folder*."""
    return [
        *("-s", f"MODE={mode}", "-s", f"CONCURCRAWL_WORKERS={workers}"),
        *("-s", f"JOBDIR={folder / 'job'}", "-a", f"extras={EXTRAS}"),
        *("-s", "CONCURRENT_REQUESTS=4", "-s", "CONCURCRAWL_THREADS=4"),
        *("-s", "LOG_LEVEL=DEBUG"),
        *others,
    ]


def wait_until(crawl: Crawl, is_so: Callable[[], bool]) -> None:
    """Wait until something is so that only a living crawl can bring about."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, crawl.log
        assert crawl.process.poll() is None, crawl.log
        time.sleep(0.005)


def of_jsonl(path: Path) -> Counter[Item]:
    text = path.read_text(encoding="utf-8")
    return Counter(Item(**json.loads(line)) for line in text.splitlines())


def of_csv(path: Path) -> Counter[Item]:
    head, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert head == ["kind", "name"]
    return Counter(Item(*row) for row in rows)


def snapshot(folder: Path) -> dict[str, str]:
    """Return what is in *folder*, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        # An index of the log beside it, which every reader may write anew.
        if path.is_file() and not path.name.endswith("-shm")
    }


def begun(pages: str, folder: Path, mode: str = "async") -> None:
    """Begin a crawl and kill it when it has some items."""
    with crawling("whole", pages, folder, *options(folder, mode)) as running:
        wait_until(running, lambda: running.log.count("Scraped from") >= 15)
        running.send(signal.SIGKILL)
        running.process.wait(DEADLINE_S)


@pytest.mark.parametrize(
    ("mode", "output"), [("serial", "-o"), ("async", "-O"), ("hybrid", "-O")]
)
def test_each_item_is_there_once_after_kills_and_changes_of_mode(
    mode: str, output: str, pages: str, tmp_path: Path
) -> None:
    feed, table = tmp_path / "items.jsonl", tmp_path / "items.csv"
    feed.write_text(BEFORE, encoding="utf-8")
    modes = [MODES[(MODES.index(mode) + number) % 5] for number in (0, 2, 3)]
    for number, new in enumerate((2, 30)):
        now = options(tmp_path, modes[number], output, str(table), workers=number + 1)
        with crawling("whole", pages, tmp_path, *now) as running:
            wait_until(
                running,
                lambda: running.log.count("Scraped from") >= new,  # noqa: B023
            )
            running.send(signal.SIGKILL)
            running.process.wait(DEADLINE_S)
    last = options(tmp_path, modes[2], output, str(table), workers=3)
    found = crawl("whole", pages, tmp_path, *last)
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "finished"), found.log
    assert of_csv(table) == expected()
    kept = Counter({Item("before", "us"): 1} if output == "-o" else {})
    assert of_jsonl(feed) == expected() + kept


def test_a_page_is_not_asked_for_again_once_its_items_are_kept(
    testsite: SiteProcess, pages: str, tmp_path: Path
) -> None:
    begun(pages, tmp_path, "serial")
    crawl("whole", pages, tmp_path, *options(tmp_path, "serial"))
    # One request was in flight when it was killed, and what it brought was not kept.
    asked = Counter(entry.path for entry in testsite.log())
    assert len(asked) == 1 + EXTRAS + 2 * PAGES
    assert asked.total() <= len(asked) + 1


def test_a_crawl_that_has_finished_begins_anew_without_what_it_knows(
    testsite: SiteProcess, pages: str, tmp_path: Path
) -> None:
    feeds = ("-O", str(tmp_path / "items.csv"))
    first = crawl("whole", pages, tmp_path, *options(tmp_path, "hybrid", *feeds))
    assert first.items.total() == expected().total()
    testsite.reset()
    again = crawl("whole", pages, tmp_path, *options(tmp_path, "parallel", *feeds))
    assert (again.exit_code, again.stats["finish_reason"]) == (0, "finished")
    # As in plain Scrapy: only what is not filtered, and the start's items.
    assert testsite.counts().requests == EXTRAS
    unfiltered = [
        Item(kind, str(n)) for kind in ("start", "extra") for n in range(EXTRAS)
    ]
    assert of_jsonl(tmp_path / "items.jsonl") == Counter(unfiltered)
    assert of_csv(tmp_path / "items.csv") == Counter(unfiltered)


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_crawl_that_ended_by_count_goes_on(
    mode: str, pages: str, tmp_path: Path
) -> None:
    limit = ("-s", "CLOSESPIDER_ITEMCOUNT=30")
    first = crawl("whole", pages, tmp_path, *options(tmp_path, mode, *limit))
    assert first.stats["finish_reason"] == "closespider_itemcount"
    assert 30 <= first.items.total() < expected().total()
    second = crawl("whole", pages, tmp_path, *options(tmp_path, mode))
    assert second.stats["finish_reason"] == "finished"
    assert of_jsonl(tmp_path / "items.jsonl") == expected()


@pytest.mark.parametrize("mode", ["serial", "hybrid"])
def test_a_crawl_that_was_told_to_stop_goes_on(
    mode: str, pages: str, tmp_path: Path
) -> None:
    feed = tmp_path / "items.jsonl"
    with crawling("whole", pages, tmp_path, *options(tmp_path, mode)) as running:
        wait_until(running, lambda: running.log.count("Scraped from") >= 15)
        running.send(signal.SIGTERM)
        first = running.finish()
    assert (first.exit_code, first.stats["finish_reason"]) == (0, "shutdown")
    assert first.items.total() == first.stats["item_scraped_count"]
    second = crawl("whole", pages, tmp_path, *options(tmp_path, mode))
    assert second.stats["finish_reason"] == "finished"
    assert of_jsonl(feed) == expected()
    assert (
        first.stats["item_scraped_count"] + second.stats["item_scraped_count"]
        == expected().total()
    )


def test_the_files_in_it_are_their_owners_alone(pages: str, tmp_path: Path) -> None:
    begun(pages, tmp_path)
    job = tmp_path / "job"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in job.iterdir()}
    assert modes.pop("concurcrawl.sqlite-wal", 0o600) == 0o600
    assert modes.pop("concurcrawl.sqlite-shm", 0o600) == 0o600
    assert modes == {"concurcrawl.sqlite": 0o600, "concurcrawl.lock": 0o600}
    assert stat.S_IMODE(job.stat().st_mode) == 0o700
    crawl("whole", pages, tmp_path, *options(tmp_path, "async"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in job.iterdir()} == {0o600}


# What cannot be used -------------------------------------------------------------


def refused(spider: str, pages: str, folder: Path, mode: str = "async") -> Result:
    """Crawl, and see that it is refused in one sentence and touches nothing."""
    before = snapshot(folder)
    found = crawl(spider, pages, folder / "second", *options(folder, mode))
    after = {
        name: content
        for name, content in snapshot(folder).items()
        if not name.startswith("second/")
    }
    assert found.exit_code == 1
    assert after == before
    assert not (folder / "second" / "items.jsonl").exists()
    (sentence,) = found.log.strip().splitlines()[-1:]
    assert sentence.startswith(f"JOBDIR={str(folder / 'job')!r}: ")
    assert "Traceback" not in found.log
    return found


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_live_crawls_folder_is_refused(mode: str, site: str, tmp_path: Path) -> None:
    slow = options(tmp_path, mode, "-a", "pages=400")
    with crawling("slow", site, tmp_path, *slow) as running:
        wait_until(running, lambda: "Scraped from" in running.log)
        found = crawl("slow", site, tmp_path / "second", *slow)
        running.send(signal.SIGTERM)
        stopped = running.finish()
    assert found.exit_code == 1
    assert "another crawl that runs now uses it" in found.log
    assert "Traceback" not in found.log
    assert stopped.stats["finish_reason"] == "shutdown"
    assert stopped.items.total() == stopped.stats["item_scraped_count"]


def test_another_spiders_folder_is_refused(pages: str, tmp_path: Path) -> None:
    begun(pages, tmp_path)
    found = refused("slow", pages, tmp_path)
    assert "it belongs to the spider 'whole', not to 'slow'" in found.log
    assert crawl("whole", pages, tmp_path, *options(tmp_path, "async")).exit_code == 0
    assert of_jsonl(tmp_path / "items.jsonl") == expected()


def test_a_damaged_folder_is_refused(pages: str, tmp_path: Path) -> None:
    crawl("whole", pages, tmp_path, *options(tmp_path, "async"))
    file = tmp_path / "job" / "concurcrawl.sqlite"
    sound = file.read_bytes()
    for start, stop in ((0, 100), (4096, len(sound)), (0, len(sound))):
        noise = b"\xa5" * (stop - start)
        file.write_bytes(sound[:start] + noise + sound[stop:])
        assert "is damaged (" in refused("whole", pages, tmp_path).log
        shutil.rmtree(tmp_path / "second")


def test_scrapys_own_folder_is_refused(pages: str, tmp_path: Path) -> None:
    plain = ["-s", f"JOBDIR={tmp_path / 'job'}", "-s", "CLOSESPIDER_ITEMCOUNT=5"]
    found = crawl("whole", pages, tmp_path, *plain)
    assert found.stats["finish_reason"] == "closespider_itemcount"
    assert (tmp_path / "job" / "requests.queue").exists()
    assert "Scrapy's own scheduler" in refused("whole", pages, tmp_path).log


@pytest.mark.parametrize("what", ["a file", "below a file"])
def test_what_can_be_no_folder_is_refused(
    what: str, pages: str, tmp_path: Path
) -> None:
    (tmp_path / "job").write_text("mine", encoding="utf-8")
    job = tmp_path / "job" if what == "a file" else tmp_path / "job" / "below"
    found = crawl(
        "whole", pages, tmp_path / "log", "-s", "MODE=async", "-s", f"JOBDIR={job}"
    )
    assert found.exit_code == 1
    assert f"JOBDIR={str(job)!r}: it cannot be used: " in found.log
    assert "Traceback" not in found.log
    assert (tmp_path / "job").read_text(encoding="utf-8") == "mine"


# A full disk ---------------------------------------------------------------------


def test_a_feed_on_a_full_disk_ends_the_crawl_which_goes_on_when_there_is_room(
    pages: str, tmp_path: Path
) -> None:
    table = tmp_path / "items.csv"
    table.symlink_to("/dev/full")
    feeds = ("-O", str(table))
    first = crawl("whole", pages, tmp_path, *options(tmp_path, "hybrid", *feeds))
    assert first.stats["finish_reason"] == "storage_failed", first.log
    assert first.log.count("it cannot write what it has done (") == 1
    assert "then run the same command again" in first.log
    table.unlink()
    second = crawl("whole", pages, tmp_path, *options(tmp_path, "hybrid", *feeds))
    assert second.stats["finish_reason"] == "finished", second.log
    assert of_jsonl(tmp_path / "items.jsonl") == expected()
    assert of_csv(table) == expected()


@pytest.mark.parametrize("mode", ["serial", "hybrid"])
def test_a_frontier_on_a_full_disk_ends_the_crawl_which_goes_on_when_there_is_room(
    mode: str, pages: str, tmp_path: Path
) -> None:
    now = options(tmp_path, mode, "-s", "LOG_LEVEL=INFO")
    with crawling("whole", pages, tmp_path, *now) as running:
        log = tmp_path / "job" / "concurcrawl.sqlite-wal"
        wait_until(running, lambda: log.exists() and log.stat().st_size > 100_000)
        limit = log.stat().st_size + 10_000  # the crawl's own log is smaller
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        first = running.finish()
    assert first.stats["finish_reason"] == "storage_failed", first.log
    assert first.log.count("it cannot write what it has done (") == 1
    second = crawl("whole", pages, tmp_path, *options(tmp_path, mode))
    assert second.stats["finish_reason"] == "finished", second.log
    assert of_jsonl(tmp_path / "items.jsonl") == expected()
