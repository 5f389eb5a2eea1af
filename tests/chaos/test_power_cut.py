"""What a power cut may leave of a crawl's files, from which it goes on all the same.

A crawl is stopped in mid-flight and what it has written is copied. Of that a power cut
keeps what was made safe, and of the rest any part: writes may be missing, torn or
zeros, those of the frontier's log apart from those of the feeds. Each test makes some
of these states, by a seed, and resumes from them.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import EXTRAS, PAGES, Item, expected
from tests.integration.durable.test_jobdir import BEFORE, of_csv, of_jsonl, wait_until
from tests.support.crawls import crawl, crawling

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

FRONTIER = "concurcrawl.sqlite"

#: The feeds, and what was in them before the crawl.
FEEDS = {"items.jsonl": BEFORE.encode(), "items.csv": b""}

#: https://www.sqlite.org/fileformat2.html#the_write_ahead_log: the header of the log,
#: that of a frame, and where in it stands how large the database is after a commit.
LOG_HEADER, FRAME_HEADER, PAGE = 32, 24, 4096


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with SiteProcess(pages=PAGES, latency_s=0.03) as running:
        yield running.list_url


def options(folder: Path, mode: str) -> list[str]:
    return [
        *("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=2"),
        *("-s", f"JOBDIR={folder / 'job'}", "-a", f"extras={EXTRAS}"),
        *("-s", "CONCURRENT_REQUESTS=4", "-s", "CONCURCRAWL_THREADS=4"),
        *("-s", "LOG_LEVEL=DEBUG", "-o", str(folder / "items.csv")),
    ]


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of the frontier that its log can be cut to.

    Attributes:
        size: Bytes of the log up to there.
        lengths: Of the feeds, as noted.
    """

    size: int
    lengths: dict[str, int]


def commits(job: Path, scratch: Path) -> list[Commit]:
    """Return the states that the log in *job* goes through, the oldest first."""
    log = (job / f"{FRONTIER}-wal").read_bytes()
    found = [Commit(0, {})]
    step = FRAME_HEADER + PAGE
    for start in range(LOG_HEADER, len(log) - step + 1, step):
        (pages_after_commit,) = struct.unpack_from(">4xI", log, start)
        if pages_after_commit:
            size = start + step
            found.append(Commit(size, noted(job, log[:size], scratch)))
    return found


def noted(job: Path, log: bytes, scratch: Path) -> dict[str, int]:
    shutil.copyfile(job / FRONTIER, scratch / FRONTIER)
    (scratch / f"{FRONTIER}-wal").write_bytes(log)
    with closing(sqlite3.connect(scratch / FRONTIER)) as db:
        try:
            rows = db.execute("SELECT name, text FROM note").fetchall()
        except sqlite3.OperationalError:  # it has no tables yet
            return {}
    return {
        Path(name).name: int(text) for name, text in rows if name.startswith("feed:")
    }


def safe_from(found: list[Commit], sizes: dict[str, int]) -> int:
    """Return the index of the last commit that no power cut takes back.

    The crawl waits until those that note lengths are on the disk. That it has gone on
    shows in a later commit, or in a feed that it has written to.
    """
    safe = 0
    for index, (last, commit) in enumerate(pairwise(found), 1):
        new = commit.lengths.keys() - last.lengths.keys()
        has_gone_on = index < len(found) - 1 or any(
            sizes[name] > commit.lengths[name] for name in new
        )
        if commit.lengths != last.lengths and has_gone_on:
            safe = index
    return safe


def torn(data: bytes, safe: int, rng: random.Random) -> bytes:
    """Return *data*, whose first *safe* bytes are on the disk, after a power cut."""
    data = data[: rng.randint(safe, len(data))]
    hole = rng.randint(safe, len(data))
    end = rng.randint(hole, len(data))
    lost = rng.choice((data[hole:end], bytes(end - hole), rng.randbytes(end - hole)))
    return data[:hole] + lost + data[end:]


def cut_power(before: Path, after: Path, scratch: Path, rng: random.Random) -> None:
    """Make in *after* a state that a power cut may leave of *before*."""
    shutil.copytree(before, after)
    job = after / "job"
    found = commits(job, scratch)
    floor = found[
        safe_from(found, {name: (after / name).stat().st_size for name in FEEDS})
    ]
    log = job / f"{FRONTIER}-wal"
    log.write_bytes(torn(log.read_bytes(), floor.size, rng))
    (job / f"{FRONTIER}-shm").unlink(missing_ok=True)
    for name, first in FEEDS.items():
        feed = after / name
        # A feed is made safe before its length is noted, and written to after.
        safe = max(len(first), floor.lengths.get(name, 0))
        data = feed.read_bytes()
        if name in floor.lengths:
            data += b'{"kind": "written, not safe", "name": ""}\n' * rng.randint(1, 9)
        feed.write_bytes(torn(data, safe, rng))


@pytest.mark.parametrize(("seed", "items"), [(1, 3), (2, 40)])
def test_a_crawl_goes_on_from_whatever_a_power_cut_leaves(
    seed: int, items: int, pages: str, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    moment, scratch, crawls = (tmp_path / x for x in ("moment", "scratch", "crawl"))
    scratch.mkdir()
    crawls.mkdir()
    for name, first in FEEDS.items():
        (crawls / name).write_bytes(first)
    with crawling("whole", pages, crawls, *options(crawls, "hybrid")) as running:
        wait_until(running, lambda: running.log.count("Scraped from") >= items)
        running.send(signal.SIGSTOP)
        shutil.copytree(crawls, moment)
    shutil.rmtree(crawls)  # it is gone on with there: notes name feeds by whole paths
    cut_power(moment, crawls, scratch, rng)
    found = crawl("whole", pages, crawls, *options(crawls, "async"))
    assert found.stats["finish_reason"] == "finished", found.log
    whole: Counter[Item] = expected()
    assert of_csv(crawls / "items.csv") == whole
    whole[Item("before", "us")] += 1
    assert of_jsonl(crawls / "items.jsonl") == whole
