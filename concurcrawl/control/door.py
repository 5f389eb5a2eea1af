"""The control door: a Scrapy extension that serves the API while a crawl runs.

Scrapy's own ``RemoteControl`` runs whatever Python it is sent, on a port that it
chooses, and has no place for another path: ``docs/control.md`` says why it is not
extended here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Self

from aiohttp import web
from scrapy import signals

from concurcrawl.compat.closing import fail_crawl
from concurcrawl.control import address
from concurcrawl.control.operations import CrawlControl
from concurcrawl.control.server import ControlServer

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler

    from concurcrawl.control.server import Handler

logger = logging.getLogger(__name__)

#: Seconds that answers under way may take when the crawl has ended.
_SHUTDOWN_S = 2.0


class ControlDoor:
    """Serves the control API of one crawl.

    Attributes:
        stream: Answers ``GET /v1/events``. The monitor, which may import this module,
            sets it when the spider opens.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.stream: Handler | None = None
        self._crawler = crawler
        self._listen = address.listen_of(crawler.settings)
        self._runner: web.AppRunner | None = None
        self._written: list[Path] = []
        self._folders: list[Path] = []
        crawler.signals.connect(self._open, signals.engine_started)
        crawler.signals.connect(self._close, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    async def _open(self) -> None:
        try:
            await self._serve()
        except OSError as error:
            logger.error(  # noqa: TRY400 - its sentence says it all
                "CONCURCRAWL_CONTROL=%s: the control door cannot be opened (%s); "
                "choose another address",
                self._crawler.settings["CONCURCRAWL_CONTROL"],
                error.strerror or error,
            )
            fail_crawl(self._crawler)
            CrawlControl(self._crawler).stop("control_failed")

    async def _serve(self) -> None:
        listen, crawler = self._listen, self._crawler
        assert crawler.spider is not None
        given = address.given_token(crawler.settings)
        token = (given or secrets.token_urlsafe(32)) if listen.host else None
        server = ControlServer(CrawlControl(crawler), token, self.stream)
        runner = web.AppRunner(
            server.app(), access_log=None, shutdown_timeout=_SHUTDOWN_S
        )
        self._runner = runner
        await runner.setup()
        jobdir = crawler.settings["JOBDIR"]
        folder = address.folder_of(jobdir, crawler.spider.name)
        if not jobdir:
            self._folders.append(folder)
        if listen.host:
            await web.TCPSite(runner, listen.host, listen.port).start()
            host = f"[{listen.host}]" if ":" in listen.host else listen.host
            where = f"http://{host}:{runner.addresses[0][1]}"
        else:
            where = await self._serve_socket(runner, folder)
        file = address.write(folder, where, None if given else token)
        self._written.append(file)
        logger.info(
            "The control door is at %s%s; steer this crawl by its folder: "
            "concurcrawl stop %s",
            where,
            f", its token in {file}" if token and not given else "",
            folder,
        )

    async def _serve_socket(self, runner: web.AppRunner, folder: Path) -> str:
        path = address.socket_in(folder)
        if path.parent != folder:
            self._folders.append(path.parent)
        path.unlink(missing_ok=True)  # of a crawl that was killed: the JOBDIR is ours
        before = os.umask(0o177)  # at no time may others connect
        try:
            await web.UnixSite(runner, path).start()
        finally:
            os.umask(before)
        self._written.append(path)
        return f"unix:{path}"

    async def _close(self) -> None:
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if self._runner is not None:
            await asyncio.shield(self._runner.cleanup())
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
