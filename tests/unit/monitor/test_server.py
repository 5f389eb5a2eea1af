"""Who may see and do what, asked over a real connection."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from concurcrawl.errors import ControlError
from concurcrawl.monitor.address import Address
from concurcrawl.monitor.server import Dashboard, Server
from concurcrawl.monitor.snapshot import CrawlSnapshot, Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

EVIL = "</script><script>alert(1)</script>"
TOKEN = {"Authorization": "Bearer secret"}


class Steering:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Mapping[str, Any]]] = []

    async def do(self, what: str, arguments: Mapping[str, Any]) -> Any:
        if what == "erase":
            raise KeyError(what)
        if arguments.get("in_flight") == 0:
            raise ControlError("in_flight=0 must be at least 1")
        self.done.append((what, arguments))
        return "done"


class Bench:
    """A page of a crawl that is made up."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.pages = 0
        self.watched: list[bool] = []
        self.steering = Steering()
        self.dashboard = Dashboard(
            self._look,
            token="secret",
            is_open=is_open,
            steering=self.steering,
            on_watched=self.watched.append,
        )
        self.dashboard.offer_report(self._report)
        self.server = Server(Address("127.0.0.1", 0))
        self.dashboard.add_to(self.server.app)

    async def _look(self) -> dict[str, Any]:
        self.pages += 1
        progress = Progress(pages=self.pages)
        return CrawlSnapshot(
            at_s=1.0,
            spider=EVIL,
            elapsed_s=float(self.pages),
            progress=progress,
            records="records.jsonl",
        ).values()

    async def _report(self, records: str) -> bytes:
        return f"The report of {records}".encode()

    async def run(
        self, ask: Callable[[aiohttp.ClientSession], Awaitable[None]]
    ) -> None:
        address = await self.server.start()
        try:
            async with (
                asyncio.timeout(30),
                aiohttp.ClientSession(f"http://{address}") as session,
            ):
                await ask(session)
        finally:
            await self.server.stop()


async def status_of(answer: Any) -> int:
    async with answer as found:
        return int(found.status)


def test_the_page_loads_nothing_from_elsewhere_and_may_not() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        for path in ("/", "/page.css", "/page.js"):
            async with session.get(path) as answer:
                text = await answer.text()
                policy = answer.headers["Content-Security-Policy"]
            assert answer.status == 200
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "innerHTML" not in text
            assert "https://" not in text
        async with session.get("/snapshot") as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert (await answer.json())["spider"] == EVIL

    asyncio.run(Bench().run(ask))


def test_another_name_for_this_machine_is_refused() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        for host, status in (("evil.example", 403), ("localhost:1", 200)):
            headers = {"Host": host}
            assert await status_of(session.get("/snapshot", headers=headers)) == status

    asyncio.run(Bench().run(ask))


def test_from_elsewhere_the_page_is_seen_with_the_token_only() -> None:
    async def ask(session: aiohttp.ClientSession) -> None:
        for path in ("/snapshot", "/events"):
            assert await status_of(session.get(path)) == 401
        assert await status_of(session.get("/snapshot", headers=TOKEN)) == 200

    asyncio.run(Bench(is_open=False).run(ask))


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/pause", "{}", {}, 401),
        ("/v1/pause", "{}", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/pause", "{", TOKEN, 400),
        ("/v1/pause", "[1]", TOKEN, 400),
        ("/v1/limits", '{"in_flight": 0}', TOKEN, 400),
        ("/v1/pause", "x" * 100_000, TOKEN, 413),
        ("/v1/erase", "{}", TOKEN, 404),
    ],
)
def test_bad_input_changes_nothing(
    path: str, body: str, headers: dict[str, str], status: int
) -> None:
    bench = Bench()

    async def ask(session: aiohttp.ClientSession) -> None:
        answer = session.post(path, data=body, headers=headers)
        assert await status_of(answer) == status

    asyncio.run(bench.run(ask))
    assert bench.steering.done == []


def test_a_report_is_there_after_the_end_for_who_may_see_the_page() -> None:
    bench = Bench(is_open=False)

    async def ask(session: aiohttp.ClientSession) -> None:
        for path in ("/report", "/report?key=wrong"):
            assert await status_of(session.get(path)) == 401
        assert await status_of(session.get("/report", headers=TOKEN)) == 404
        async with session.get("/snapshot", headers=TOKEN) as answer:
            assert (await answer.json())["report"] == ""
        await bench.dashboard.end()
        async with session.get("/snapshot", headers=TOKEN) as answer:
            link = (await answer.json())["report"]
        assert "secret" not in link
        async with session.get(f"/{link}") as answer:  # a link sends no token
            assert await answer.text() == "The report of records.jsonl"
            policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")

    asyncio.run(bench.run(ask))


def test_a_button_does_what_it_says() -> None:
    bench = Bench()

    async def ask(session: aiohttp.ClientSession) -> None:
        body = {"group": "a.example", "in_flight": 2}
        assert (
            await status_of(session.post("/v1/limits", json=body, headers=TOKEN)) == 200
        )

    asyncio.run(bench.run(ask))
    assert bench.steering.done == [("limits", {"group": "a.example", "in_flight": 2})]


def test_events_come_until_the_end_and_nothing_runs_without_a_page() -> None:
    bench = Bench()

    async def ask(session: aiohttp.ClientSession) -> None:
        assert bench.pages == 0
        async with session.get("/events") as answer:
            kinds: list[str] = []
            async for raw in answer.content:
                line = raw.decode().strip()
                if line.startswith("event: "):
                    kinds.append(line.removeprefix("event: "))
                elif line and kinds[-1] == "message":
                    seen = json.loads(line.removeprefix("data: "))
                    assert seen["spider"] == EVIL
                    assert seen["errors"] == (
                        [] if kinds.count("message") == 1 else None
                    )
                    assert bench.watched == [True]
                    if kinds.count("message") == 2:
                        asyncio.ensure_future(bench.dashboard.end())  # noqa: RUF006 - awaited below
        assert (kinds[:2], kinds[-1]) == (["history", "message"], "end")
        looks = bench.pages
        await asyncio.sleep(0)
        assert bench.pages == looks

    asyncio.run(bench.run(ask))


def test_a_page_that_is_closed_is_looked_at_no_more() -> None:
    bench = Bench()

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get("/events") as answer:
            await answer.content.readline()
        while bench.watched != [True, False]:  # noqa: ASYNC110 - a deadline is around it
            await asyncio.sleep(0.01)

    asyncio.run(bench.run(ask))
