"""Each item is once in every feed, whatever that is and however the crawl was ended."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import EXTRAS, PAGES, Item, expected
from tests.integration.durable.test_jobdir import wait_until
from tests.support.crawls import DEADLINE_S, PROJECT, Crawl, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POST = "scrapy.extensions.postprocessing."
BATCH = 7


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with SiteProcess(pages=PAGES, latency_s=0.05) as running:
        yield running.list_url


def of_json(data: bytes) -> list[Item]:
    return [Item(**item) for item in json.loads(data)]


def of_lines(data: bytes) -> list[Item]:
    return [Item(**json.loads(line)) for line in data.splitlines()]


def of_xml(data: bytes) -> list[Item]:
    root = ElementTree.fromstring(data)
    return [Item(e.findtext("kind", ""), e.findtext("name", "")) for e in root]


def of_pickle(data: bytes) -> list[Item]:
    file, found = io.BytesIO(data), []
    while file.tell() < len(data):
        found.append(Item(**pickle.load(file)))
    return found


def of_table(
    encoding: str = "utf-8",
    delimiter: str = ",",
    header: tuple[str, ...] = ("kind", "name"),
) -> Callable[[bytes], list[Item]]:
    def read(data: bytes) -> list[Item]:
        text = io.StringIO(data.decode(encoding), newline="")
        rows = [*csv.reader(text, delimiter=delimiter)]
        assert tuple(rows[0]) == header
        return [Item(*row) for row in rows[1:]]

    return read


def of_bare_rows(data: bytes) -> list[Item]:
    return [Item(*row) for row in csv.reader(io.StringIO(data.decode(), newline=""))]


#: Of each feed that is one file: its options, and what reads it.
FEEDS: dict[str, tuple[dict[str, Any], Callable[[bytes], list[Item]]]] = {
    "a.jsonl": ({"format": "jsonlines"}, of_lines),
    "a.json": ({"format": "json", "overwrite": True, "indent": 2}, of_json),
    "b.json": ({"format": "json"}, of_json),
    "a.xml": ({"format": "xml", "overwrite": True}, of_xml),
    "a.pickle": ({"format": "pickle"}, of_pickle),
    "a.gz": (
        {"format": "jsonlines", "postprocessing": [f"{_POST}GzipPlugin"]},
        lambda data: of_lines(gzip.decompress(data)),
    ),
    "a.bz2": (
        {
            "format": "csv",
            "overwrite": True,
            "postprocessing": [f"{_POST}Bz2Plugin"],
        },
        lambda data: of_table()(bz2.decompress(data)),
    ),
    "a.xz": (
        {"format": "json", "postprocessing": [f"{_POST}LZMAPlugin"]},
        lambda data: of_json(lzma.decompress(data)),
    ),
    "semicolon.csv": (
        {"format": "csv", "item_export_kwargs": {"delimiter": ";", "quoting": 1}},
        of_table(delimiter=";"),
    ),
    "bom.csv": ({"format": "csv", "encoding": "utf-8-sig"}, of_table("utf-8-sig")),
    "wide.csv": ({"format": "csv", "encoding": "utf-16"}, of_table("utf-16")),
    "renamed.csv": (
        {
            "format": "csv",
            "fields": {"kind": "Größe", "name": "N"},
            "encoding": "cp1252",
        },
        of_table("cp1252", header=("Größe", "N")),
    ),
    "bare.csv": (
        {"format": "csv", "item_export_kwargs": {"include_headers_line": False}},
        of_bare_rows,
    ),
}

#: Feeds in batches.
BATCHES: dict[str, dict[str, Any]] = {
    "lines/%(batch_time)s-%(batch_id)d": {"format": "jsonlines"},
    "whole/%(batch_id)03d.json": {"format": "json", "overwrite": True},
}


@contextmanager
def crawling(
    pages: str,
    folder: Path,
    feeds: dict[str, Any],
    mode: str,
    *options: str,
    **env: str,
) -> Iterator[Crawl]:
    command = [
        *(sys.executable, "-m", "scrapy", "crawl", "whole"),
        *("-a", f"site={pages}", "-a", f"extras={EXTRAS}"),
        *("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=2"),
        *("-s", f"JOBDIR={folder / 'job'}", "-s", f"FEEDS={json.dumps(feeds)}"),
        *("-s", "CONCURRENT_REQUESTS=4", "-s", "CONCURCRAWL_THREADS=4"),
        *("-s", "LOG_LEVEL=DEBUG"),
        *options,
    ]
    with (folder / "log").open("ab") as log, (folder / "stdout").open("ab") as out:
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**environment(), **env}, stdout=out, stderr=log
        )
    crawl = Crawl(process, folder)
    left = []
    try:
        yield crawl
    finally:
        left = crawl.tree()
        process.kill()
        process.wait(DEADLINE_S)
        for one in left:
            if one.is_running():
                one.kill()


def stopped(crawl: Crawl, number: signal.Signals, items: int) -> int:
    """Send a signal once there are so many more items; return the exit code."""
    goal = crawl.log.count("Scraped from") + items
    wait_until(crawl, lambda: crawl.log.count("Scraped from") >= goal)
    crawl.send(number)
    return crawl.process.wait(DEADLINE_S)


def crawl(pages: str, folder: Path, feeds: dict[str, Any], mode: str, *o: str) -> None:
    with crawling(pages, folder, feeds, mode, *o) as running:
        assert running.process.wait(DEADLINE_S) == 0, running.log
        assert "Traceback" not in running.log, running.log


@pytest.mark.parametrize(
    ("modes", "stops"),
    [
        (("serial", "hybrid"), [signal.SIGINT]),
        (("concurrent", "serial"), [signal.SIGKILL]),
        (("async", "async", "parallel"), [signal.SIGKILL, signal.SIGINT]),
        (("parallel", "concurrent", "async"), [signal.SIGTERM, signal.SIGKILL]),
        (("hybrid", "hybrid", "hybrid"), [signal.SIGKILL, signal.SIGKILL]),
    ],
)
def test_each_item_is_once_in_feeds_of_every_kind(
    modes: tuple[str, ...], stops: list[signal.Signals], pages: str, tmp_path: Path
) -> None:
    feeds = {str(tmp_path / name): options for name, (options, _) in FEEDS.items()}
    for name, options in BATCHES.items():
        feeds[str(tmp_path / name)] = {**options, "batch_item_count": BATCH}
    for mode, stop in zip(modes, stops, strict=False):
        with crawling(pages, tmp_path, feeds, mode) as running:
            code = stopped(running, stop, 20)
        if stop is not signal.SIGKILL:  # nothing that is left is torn
            assert code == 0
            for name, (_, read) in FEEDS.items():
                assert read((tmp_path / name).read_bytes())
    crawl(pages, tmp_path, feeds, modes[-1])
    for name, (_, read) in FEEDS.items():
        found = read((tmp_path / name).read_bytes())
        assert Counter(found) == expected(), name
    for name, read in (("lines", of_lines), ("whole", of_json)):
        batches = [read(p.read_bytes()) for p in (tmp_path / name).iterdir()]
        assert Counter(chain(*batches)) == expected()
        sizes = Counter(map(len, batches))
        assert sizes == {
            BATCH: expected().total() // BATCH,
            expected().total() % BATCH: 1,
        }
    assert not [*tmp_path.glob(".*")]


def of_shelf(folder: Path) -> dict[str, Any]:
    """Return feeds that are all of the project's own."""
    return {
        f"shelf://{folder}/put.json": {"format": "json"},
        f"shelf://{folder}/added.jsonl": {"format": "jsonlines", "overwrite": False},
        f"shelf://{folder}/batch/%(batch_id)d": {
            "format": "json",
            "batch_item_count": 9,
        },
        str(folder / "deadly.csv"): {"format": "deadly"},
        str(folder / "end.csv"): {"format": "end", "overwrite": True},
        "stdout:": {"format": "json"},
    }


_HERE = "anyspider.feeds."
_EXPORTERS = {"end": f"{_HERE}AtTheEnd", "deadly": f"{_HERE}Deadly"}
OWN = (
    *("-s", f"FEED_STORAGES={json.dumps({'shelf': f'{_HERE}Shelf'})}"),
    *("-s", f"FEED_EXPORTERS={json.dumps(_EXPORTERS)}"),
)
_EXTENSIONS = {
    "scrapy.extensions.feedexport.FeedExporter": None,
    f"{_HERE}OwnFeedExporter": 0,
}
OWN_FEED_EXPORTER = ("-s", f"EXTENSIONS={json.dumps(_EXTENSIONS)}")


@pytest.mark.parametrize("extension", [(), OWN_FEED_EXPORTER], ids=["scrapys", "own"])
def test_each_item_is_once_in_feeds_of_the_projects_own(
    extension: tuple[str, ...], pages: str, tmp_path: Path
) -> None:
    feeds, options = of_shelf(tmp_path), (*OWN, *extension)
    # Between two writes: one feed has the item, the next one has not.
    with crawling(
        pages, tmp_path, feeds, "hybrid", *options, DIE_AFTER="13"
    ) as running:
        assert running.process.wait(DEADLINE_S) == -signal.SIGKILL
    with crawling(pages, tmp_path, feeds, "async", *options) as running:
        assert stopped(running, signal.SIGINT, 25) == 0
    crawl(pages, tmp_path, feeds, "parallel", *options)
    for name, read in (
        ("put.json", of_json),
        ("added.jsonl", of_lines),
        ("deadly.csv", of_table()),
        ("end.csv", of_table()),
        ("stdout", of_json),
    ):
        assert Counter(read((tmp_path / name).read_bytes())) == expected(), name
    batches = [of_json(p.read_bytes()) for p in (tmp_path / "batch").iterdir()]
    assert Counter(chain(*batches)) == expected()
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert 'if it adds, say "overwrite": False in FEEDS' in log
    assert "what is added to a store cannot be taken back" in log


def test_a_feed_that_another_crawl_writes_is_refused(
    pages: str, tmp_path: Path
) -> None:
    feeds = {str(tmp_path / "%(name)s.json"): {"format": "json"}}
    other = tmp_path / "other"
    (other / "link").parent.mkdir()
    (other / "link").symlink_to(tmp_path)
    with crawling(pages, tmp_path, feeds, "serial") as running:
        wait_until(running, lambda: "Scraped from" in running.log)
        running.send(signal.SIGSTOP)  # so that it is there as long as the other
        same = {str(other / "link" / "whole.json"): {"format": "jsonlines"}}
        with crawling(pages, other, same, "async") as second:
            assert second.process.wait(DEADLINE_S) == 1
        sentence = second.log.strip().splitlines()[-1]
        assert sentence.startswith(f"feed {str(tmp_path / 'whole.json')!r}: another")
        assert "Traceback" not in second.log
        running.send(signal.SIGCONT)
        assert running.process.wait(DEADLINE_S) == 0
    found = of_json((tmp_path / "whole.json").read_bytes())
    assert Counter(found) == expected()
    assert not [*tmp_path.glob(".*")]


def test_a_feed_with_the_name_of_a_jobdirs_file_is_refused(
    pages: str, tmp_path: Path
) -> None:
    feeds = {str(tmp_path / "job" / "concurcrawl.sqlite"): {"format": "json"}}
    with crawling(pages, tmp_path, feeds, "async") as running:
        assert running.process.wait(DEADLINE_S) == 1
    assert "the JOBDIR has a file of that name" in running.log
    assert "Traceback" not in running.log


def test_a_feed_on_a_full_disk_has_each_item_once_when_there_is_room(
    pages: str, tmp_path: Path
) -> None:
    full = tmp_path / "full.json"
    full.symlink_to("/dev/full")
    feeds = {
        str(full): {"format": "json", "overwrite": True},
        str(tmp_path / "a.xml"): {"format": "xml"},
    }
    with crawling(pages, tmp_path, feeds, "hybrid") as running:
        assert running.process.wait(DEADLINE_S) == 1
    # A crawl that is quicker than its first commit notices only when it closes.
    assert "it cannot write what it has done" in running.log or (
        f"Not stored: {full}" in running.log
    )
    full.unlink()
    with crawling(pages, tmp_path, feeds, "async") as running:
        assert running.process.wait(DEADLINE_S) == 0
    assert Counter(of_json(full.read_bytes())) == expected()
    assert Counter(of_xml((tmp_path / "a.xml").read_bytes())) == expected()
