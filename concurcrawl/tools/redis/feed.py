"""Items of a stream into a feed, by Scrapy's own storages and exporters.

Items leave Redis when the feed is stored. So that each is in it once, however often
this is killed, what is about to be appended to a file is noted beside the file.
"""

from __future__ import annotations

import csv
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import UsageError
from scrapy.utils.conf import feed_process_params_from_cli
from scrapy.utils.project import get_project_settings

from concurcrawl.durable.atomic_files import write_whole
from concurcrawl.errors import ConfigError, ItemsError, MissingExtraError
from concurcrawl.frontier.redis import admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from scrapy.crawler import Crawler
    from scrapy.settings import Settings

    from concurcrawl.frontier.redis.connection import JobRef

_PARQUET = "concurcrawl.tools.redis.parquet.ParquetItemExporter"

#: What a feed needs of Scrapy; nothing of the project's but its feed settings.
_NEEDED = {
    "ADDONS": {},
    "DOWNLOADER_MIDDLEWARES": {},
    "EXTENSIONS": {},
    "EXTENSIONS_BASE": {
        "scrapy.extensions.feedexport.FeedExporter": 0,
        "scrapy.extensions.corestats.CoreStats": 0,
        "scrapy.extensions.logcount.LogCount": 0,
    },
    "FEEDS": {},
    "ITEM_PIPELINES": {},
    "JOBDIR": None,
    "LOG_FILE": None,
    "LOG_LEVEL": "ERROR",
    "SPIDER_MIDDLEWARES": {},
    "TWISTED_REACTOR_ENABLED": False,
}


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a file while items are appended to it.

    Attributes:
        size_bytes: The size that the file had before, or has with all of them.
        last: The number of the last item that is in it; empty until all are.
    """

    size_bytes: int
    last: str = ""


class _Items(Spider):
    """Yields the items of a stream and requests nothing."""

    name = "concurcrawl-items"

    def __init__(self, target: JobRef, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.last = ""
        self.count = 0

    async def start(self) -> AsyncIterator[Any]:
        stats = self.crawler.stats
        for number, item in admin.read(self.target):
            if stats.get_value("log_count/ERROR"):  # it was said, and no more will do
                return
            self.last, self.count = number, self.count + 1
            yield json.loads(item)


def settings_of(output: str, *, overwrite: bool, pairs: Sequence[str]) -> Settings:
    """Return the settings for a feed.

    Args:
        output: URI of the feed, with its format after a colon if its name does not end
            with that, as with ``scrapy crawl``.
        overwrite: Whether it begins anew; else items are appended.
        pairs: Settings as ``NAME=VALUE``.

    Raises:
        ConfigError: If there is no such format, or it cannot be appended to.
        MissingExtraError: If it is Parquet and pyarrow is not installed.
    """
    settings = get_project_settings()
    for name, value in _NEEDED.items():
        settings.set(name, value, "cmdline")
    for pair in pairs:
        name, _, value = pair.partition("=")
        settings.set(name, value, "cmdline")
    exporters = {"parquet": _PARQUET} | settings.getdict("FEED_EXPORTERS")
    settings.set("FEED_EXPORTERS", exporters, "cmdline")
    into: dict[str, list[str]] = {"output": [], "overwrite_output": []}
    into["overwrite_output" if overwrite else "output"].append(output)
    try:
        feeds = feed_process_params_from_cli(settings, **into)
    except UsageError as error:
        option = "-O" if overwrite else "-o"
        expected = "a URI that ends with a format, such as items.csv or s3://a/b:jsonl"
        raise ConfigError(option, output, expected) from error
    if any(options["format"] == "parquet" for options in feeds.values()):
        _check_parquet(output, exporters["parquet"], overwrite=overwrite)
    settings.set("FEEDS", feeds, "cmdline")
    return settings


def _check_parquet(output: str, exporter: object, *, overwrite: bool) -> None:
    if exporter != _PARQUET:
        return  # the project's own
    if find_spec("pyarrow") is None:
        raise MissingExtraError("a Parquet feed", "pyarrow", "parquet")
    if not overwrite:
        expected = "given as -O: a Parquet file cannot be appended to"
        raise ConfigError("-o", output, expected)


def write(target: JobRef, settings: Settings, *, keep: bool) -> int:
    """Write all items of *target* to the feed of *settings*; return how many.

    Args:
        target: The job.
        settings: What :func:`settings_of` returned.
        keep: Leave them in Redis.

    Raises:
        ItemsError: If the feed cannot be written. Then all of them are left there.
    """
    ((uri, options),) = settings.getdict("FEEDS").items()
    path = None if options.get("overwrite") else _path_of(uri)
    if path is not None:
        _finish_earlier(target, path)
        _note(path, Note(_size(path)))
        _keep_columns(settings, path)
    spider = _run(target, settings)
    if path is not None and not keep:
        _note(path, Note(_size(path), spider.last))
    if spider.last and not keep:
        admin.delete(target, spider.last)
    if path is not None:
        _note_path(path).unlink(missing_ok=True)
    return spider.count


def _keep_columns(settings: Settings, path: Path) -> None:
    """Have rows appended to a CSV file have its columns, without another header."""
    ((uri, options),) = settings.getdict("FEEDS").items()
    if options["format"] != "csv" or not _size(path):
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file))
    kept = {"fields": header, "item_export_kwargs": {"include_headers_line": False}}
    settings.set("FEEDS", {uri: {**kept, **options}}, "cmdline")


def _run(target: JobRef, settings: Settings) -> _Items:
    process = AsyncCrawlerProcess(settings)
    crawler: Crawler = process.create_crawler(_Items)
    process.crawl(crawler, target=target)
    process.start()
    stats = crawler.stats.get_stats()
    spider = crawler.spider
    if not isinstance(spider, _Items) or not _is_stored(stats, spider.count):
        raise ItemsError("the feed was not stored, see above")
    return spider


def _is_stored(stats: dict[str, Any], count: int) -> bool:
    """Return whether *count* items were written and their feed was stored."""
    if stats.get("log_count/ERROR") or stats.get("item_scraped_count", 0) != count:
        return False
    stored = [key for key in stats if key.startswith("feedexport/success_count/")]
    return bool(stored) or not count


def _path_of(uri: str) -> Path | None:
    """Return the file that *uri* names; None if it is no file here."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(parts.path)
    return Path(uri) if not parts.scheme else None


def _finish_earlier(target: JobRef, path: Path) -> None:
    """Finish or take back what was appended when an earlier command was killed."""
    try:
        note = Note(**json.loads(_note_path(path).read_text("ascii")))
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        raise ItemsError(f"{_note_path(path)} is damaged; delete it") from None
    if note.last:
        admin.delete(target, note.last)
    elif _size(path) > note.size_bytes:
        os.truncate(path, note.size_bytes)


def _note(path: Path, note: Note) -> None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())  # the note must not be true before the file is
    body = json.dumps(asdict(note)).encode("ascii")
    write_whole(path.parent, _note_path(path).name, body)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.concurcrawl-items")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
