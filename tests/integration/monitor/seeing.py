"""Crawls that can be seen while they run, and what is to be seen of them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.crawls import DEADLINE_S, Crawl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: A free port for each.
METRICS = ("-s", "CONCURCRAWL_METRICS=127.0.0.1:0")
DASHBOARD = ("-s", "CONCURCRAWL_DASHBOARD=127.0.0.1:0")


def metrics_of(crawl: Crawl) -> str:
    """Return where the metrics of *crawl* are, as soon as it says so."""
    return _said(crawl, r"Metrics are at (http://\S+)")


def page_of(crawl: Crawl) -> str:
    """Return where the page of *crawl* is, with its token."""
    return _said(crawl, r"The dashboard is at (http://\S+)")


def _said(crawl: Crawl, pattern: str) -> str:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if found := re.search(pattern, crawl.log):
            return found[1]
        assert crawl.process.poll() is None, crawl.log
        time.sleep(0.02)
    raise AssertionError(crawl.log)


async def scrape(url: str, until: Callable[[str], bool]) -> str:
    """Return the metrics at *url* as soon as they are as wanted."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE_S):
        while True:
            async with session.get(url) as answer:
                assert answer.status == 200
                text = await answer.text()
            if until(text):
                return text
            await asyncio.sleep(0.05)


async def events(page: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield kind and snapshot of each event of a page, up to the end."""
    url, _, token = page.partition("#token=")
    headers = {"Authorization": f"Bearer {token}"}
    kind = ""
    limits: Any = {"read_bufsize": 1 << 22}
    async with (
        asyncio.timeout(DEADLINE_S),
        aiohttp.ClientSession(**limits) as session,
        session.get(f"{url}events", headers=headers) as answer,
    ):
        assert answer.status == 200
        async for raw in answer.content:
            line = raw.decode().strip()
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind != "history":
                yield kind, json.loads(line.removeprefix("data: "))


async def press(page: str, what: str, **arguments: Any) -> Any:
    """Do what a button does; return the answer's status and JSON."""
    url, _, token = page.partition("#token=")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}v1/{what}", json=arguments) as answer,
    ):
        return answer.status, await answer.json()
