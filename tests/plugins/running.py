"""Crawls of the plugins' project, and what came of them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from tests.support.crawls import DEADLINE_S, Result, alive, crawling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.cases import Case
    from tests.support.servers.redis import RedisServer

#: Where RedisPipeline and RedisSpider of the project have their lists.
ITEMS, START_URLS = "shop:items", "shop:start_urls"

#: How often the processes of a crawl are looked at.
_EVERY_S = 0.2

#: Counters that statsd must get in full.
_SENT = ("downloader.response_count", "item_scraped_count")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What must be as in plain Scrapy, and the log."""

    exit_code: int
    items: Counter[str]
    visits: Counter[str]
    effects: Counter[str]
    files: dict[str, str]
    stats: dict[str, Any]
    said: list[int]
    left: list[str]
    log: str
    span_s: float

    def comparable(self) -> dict[str, Any]:
        """Return all but what differs from run to run."""
        kept = ("exit_code", "items", "visits", "effects", "files", "stats", "said")
        return {name: getattr(self, name) for name in (*kept, "left")}


@dataclass(frozen=True, slots=True)
class Servers:
    """What the crawls of one test process talk to."""

    project: Path
    site: str
    redis: RedisServer

    def ask(self, path: str) -> bytes:
        """Return what the site answers."""
        with urlopen(f"{self.site}{path}", timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def run(self, case: Case, setup: str, folder: Path) -> Outcome:
        """Crawl as often as *case* says and return what came of the last time.

        Args:
            case: The plugin.
            setup: A set-up; empty for plain Scrapy.
            folder: For what the crawl writes.
        """
        # Some plugins write into the current folder, under names that others use, too.
        shutil.copytree(self.project, folder / "project")
        for _ in range(case.runs):
            self._forget(folder)
            outcome = self._run_once(case, setup, folder)
        return outcome

    def _forget(self, folder: Path) -> None:
        (folder / "effects").unlink(missing_ok=True)
        self.ask("/forget")
        self.redis.client.flushall()
        urls = [f"{self.site}/page/{number}" for number in range(1, 7)]
        self.redis.client.rpush(START_URLS, *urls)

    def _run_once(self, case: Case, setup: str, folder: Path) -> Outcome:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
            statsd.bind(("127.0.0.1", 0))
            known = {
                "folder": str(folder),
                "site": self.site,
                "redis": self.redis.url,
                "statsd": str(statsd.getsockname()[1]),
            }
            options = [*_settings(case, known), *_mode(setup, folder)]
            found, left = self._crawl(case.spider, folder, options)
            effects = Counter(_lines(folder / "effects"))
            effects.update(_sent_to(statsd))
        effects.update(one.decode() for one in self.redis.client.lrange(ITEMS, 0, -1))
        visits = json.loads(self.ask("/log"))
        return Outcome(
            exit_code=found.exit_code,
            items=found.items,
            visits=Counter(visit["line"] for visit in visits),
            effects=effects,
            files=_digests(folder / case.files) if case.files else {},
            stats={k: v for k, v in found.stats.items() if k.startswith(case.stats)}
            if case.stats
            else {},
            said=[len(re.findall(pattern, found.log)) for pattern in case.says],
            left=left,
            log=found.log,
            span_s=_span_s([visit["came_s"] for visit in visits]),
        )

    def _crawl(
        self, spider: str, folder: Path, options: list[str]
    ) -> tuple[Result, list[str]]:
        started = {}
        with crawling(
            spider,
            self.site,
            folder,
            *options,
            project=folder / "project",
            variables={"EFFECTS": str(folder / "effects")},
        ) as run:
            deadline_s = time.monotonic() + DEADLINE_S
            while (
                not run.has_ended(within_s=_EVERY_S) and time.monotonic() < deadline_s
            ):
                started.update({one.pid: one for one in run.tree()})
            found = run.finish()
        return found, [str(one) for one in alive(list(started.values()))]


def _settings(case: Case, known: dict[str, str]) -> Iterator[str]:
    yield from ("-s", f"SPIDER_MODULES=shop.spiders.{case.module}")
    for name, value in case.settings.items():
        text = value if isinstance(value, str) else _text(value)
        for key, replacement in known.items():
            text = text.replace(f"{{{key}}}", replacement)
        yield from ("-s", f"{name}={text}")


def _text(value: Any) -> str:
    """Write *value* as Scrapy reads it from a command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else json.dumps(value)


def _mode(setup: str, folder: Path) -> Iterator[str]:
    mode, _, is_durable = setup.partition(" + ")
    if mode:
        yield from ("-s", f"MODE={mode}")
    if is_durable:
        yield from ("-s", f"JOBDIR={folder / 'job'}")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _sent_to(statsd: socket.socket) -> Counter[str]:
    """Add up the counters that have arrived."""
    statsd.setblocking(False)
    totals: Counter[str] = Counter()
    while True:
        try:
            packet = statsd.recv(4096).decode()
        except BlockingIOError:
            return totals
        name, _, value = packet.partition(":")
        if value.endswith("|c") and name.endswith(_SENT):
            totals[name] += int(value.removesuffix("|c"))


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _span_s(times_s: list[float]) -> float:
    return times_s[-1] - times_s[0] if times_s else 0.0
