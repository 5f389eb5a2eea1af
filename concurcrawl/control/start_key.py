"""Start URLs from a Redis key, as scrapy-redis reads them, but none is lost.

An entry stays under the key until its request is safe in the frontier, so a crawl that
is killed in between finds it again, and the frontier filters what it knows already.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import DontCloseSpider

from concurcrawl.compat.closing import fail_crawl
from concurcrawl.config import Config
from concurcrawl.control.enable import start_key_url
from concurcrawl.control.operations import CrawlControl
from concurcrawl.errors import ControlError, FrontierError
from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.connection import client_errors, parse
from concurcrawl.frontier.redis.start_key import StartKey

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.redis.start_key import Found

logger = logging.getLogger(__name__)

#: Entries that are read together.
_BATCH = 200

#: As in scrapy-redis, start URLs may be outside of the spider's ``allowed_domains``.
_ALLOWED = {"allow_offsite": True}

#: Seconds between two looks at a key that is empty.
_INTERVAL_S = 0.5


class StartKeyReader:
    """Scrapy extension: takes start URLs from a key while the crawl runs.

    Of several nodes the one that leads reads. A crawl is not over before the key was
    found empty.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._config = config = Config.from_settings(crawler.settings)
        target = None if config.start_key_url else job_ref.claimed_by(crawler)
        if target is None:  # else with its password, which settings do not show
            target = parse(start_key_url(crawler.settings, config), "", "")
        self._target = target
        self._control = CrawlControl(crawler)
        self._is_drained = False
        self._away_since_s: float | None = None
        self._key: StartKey | None = None
        self._task: asyncio.Task[None] | None = None
        crawler.signals.connect(self._start, signals.engine_started)
        crawler.signals.connect(self._idle, signals.spider_idle)
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _start(self) -> None:
        self._key = StartKey(self._target, self._config.start_key)
        self._task = asyncio.ensure_future(self._run(self._key))

    def _idle(self) -> None:
        if not self._is_drained:
            raise DontCloseSpider

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._key is not None:
            await self._key.close()

    async def _run(self, key: StartKey) -> None:
        # ControlError: the crawl has begun to end.
        passing: tuple[type[Exception], ...] = (ControlError, *client_errors())
        while not self._is_over():
            try:
                leads = self._control.leads
                count = await self._read(key) if leads else 0
                self._away_since_s = None
            except FrontierError as error:
                self._give_up(str(error))
                return
            except passing as error:
                if self._is_over():
                    return
                self._note_away(error)
                count = 0
            else:
                # A node that leads from now on must look before the crawl is over.
                self._is_drained = leads and not count
            if not count:
                self._control.wake()  # it may be over
                await asyncio.sleep(_INTERVAL_S)

    def _is_over(self) -> bool:
        return self._control.is_stopping

    async def _read(self, key: StartKey) -> int:
        """Add the requests of one batch of entries; return the size of the batch."""
        found = await key.peek(_BATCH)
        if not found:
            return 0
        self._is_drained = False
        wanted: list[dict[str, Any]] = []
        refused: list[tuple[Found, str]] = []
        entries: list[tuple[Found, str]] = []
        for one in found:
            try:
                fields = described(one.data)
            except ControlError as error:
                refused.append((one, str(error)))
            else:
                wanted.append(fields)
                entries.append((one, str(fields["url"])))
        result = await self._control.add(wanted)
        reasons = dict(result.refused)
        refused += [(one, reasons[url]) for one, url in entries if url in reasons]
        for _, reason in refused:
            logger.error("An entry of %s is refused: %s", key.name, reason)
        bad = [one for one, _ in refused]
        await key.set_aside(bad)
        await key.remove([one for one, url in entries if url not in reasons])
        return len(found)

    def _note_away(self, error: Exception) -> None:
        now_s = time.monotonic()
        if self._away_since_s is None:
            self._away_since_s = now_s
            logger.warning(
                "No start URLs can be read from %s (%s); trying again for %g s",
                self._target.url,
                error,
                self._config.frontier_wait_s,
            )
        elif now_s - self._away_since_s > self._config.frontier_wait_s:
            self._give_up(
                f"{self._target.url} has not answered for "
                f"{self._config.frontier_wait_s:g} s"
            )

    def _give_up(self, reason: str) -> None:
        logger.error("CONCURCRAWL_START_KEY: %s; the crawl ends", reason)
        fail_crawl(self._crawler)
        self._control.stop("start_key_failed")


def described(data: bytes | dict[str, Any]) -> dict[str, Any]:
    """Return the request that an entry means, as ``CrawlControl.add`` takes it.

    Args:
        data: A URL, or the JSON of scrapy-redis: ``url``, ``method`` and ``meta``; the
            rest is a form. Of a stream the fields, or those in its field ``data``.

    Raises:
        ControlError: If it is neither.
    """
    fields = _fields(data)
    if isinstance(fields, str):
        return {"url": fields, "meta": _ALLOWED}
    if not isinstance(fields.get("url"), str):
        raise ControlError(f"{str(data)[:100]} has no url")
    meta = fields.pop("meta", {})
    meta = _json(meta) if isinstance(meta, str) else meta
    if not isinstance(meta, dict):
        raise ControlError(f"{str(data)[:100]}: meta must be an object")
    found = {"url": fields.pop("url"), "meta": _ALLOWED | meta}
    if "method" in fields:
        found["method"] = str(fields.pop("method")).upper()
    if fields:
        found["formdata"] = {name: str(value) for name, value in fields.items()}
    return found


def _fields(data: bytes | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(data, dict):
        if "data" not in data:
            return dict(data)
        text = str(data["data"]).strip()
    else:
        text = data.decode(errors="replace").strip()
    if not text.startswith("{"):
        return text
    fields = _json(text)
    return fields if isinstance(fields, dict) else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{text[:100]} is no JSON: {error}") from error
