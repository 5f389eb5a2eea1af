"""The page of a crawl: in a real browser, and what its events say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.monitor.seeing import DASHBOARD, events, page_of, press
from tests.support.compare.browser import Page, browsing, chromium
from tests.support.crawls import Crawl, crawling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

LONG = ("-a", "pages=2000", "-a", "wait=0.1")


async def seen(
    page: str, until: Callable[[dict[str, Any]], bool]
) -> tuple[str, dict[str, Any]]:
    """Return kind and snapshot of the first event that is as wanted, or of the end."""
    async for kind, snapshot in events(page):
        if kind == "end" or until(snapshot):
            return kind, snapshot
    raise AssertionError("the events ended without a last one")


@pytest.mark.skipif(chromium() is None, reason="there is no browser")
def test_in_a_browser_numbers_move_and_buttons_work(site: str, tmp_path: Path) -> None:
    options = ("-s", "MODE=hybrid", "-s", "CONCURRENT_REQUESTS=4", *LONG, *DASHBOARD)
    with crawling("slow", site, tmp_path, *options) as running:
        asyncio.run(see_in_browser(running))
        found = running.finish()
    assert found.stats["finish_reason"] == "stopped", found.log


async def pause_and_resume(page: Page) -> None:
    await page.run("document.querySelector('#pause').click()")
    await page.wait_for("document.querySelector('#state').textContent === 'paused'")
    await page.wait_for("document.querySelector('#said').textContent.length > 0")
    badge = "getComputedStyle(document.querySelector('#state'))"
    assert await page.run(f"{badge}.color !== {badge}.backgroundColor")
    await page.run("document.querySelector('#pause').click()")
    await page.wait_for("document.querySelector('#state').textContent === 'running'")


async def see_end(page: Page) -> None:
    assert "stopped" in await page.run("document.querySelector('#note').textContent")
    assert await page.run("document.querySelector('#pause').offsetParent === null")
    assert not await page.run(
        "document.querySelector('#workers').innerText.includes('flight')"
    )


async def see_in_browser(running: Crawl) -> None:
    pages = "Number([...document.querySelectorAll('#tiles div')]"
    pages += ".find(t => t.firstChild.textContent === 'Pages')"
    pages += ".lastChild.textContent.replace(',', ''))"
    async with browsing() as page:
        await page.open(page_of(running))
        assert "token" not in await page.run("location.href")
        first = await page.run(pages)
        await page.wait_for(f"{pages} > {first}")
        await page.wait_for(
            "document.querySelectorAll('#workers rect.downloads').length"
        )
        assert await page.run("document.querySelectorAll('#workers > li').length") > 1

        await pause_and_resume(page)
        await page.run("document.querySelector('#groups button').click()")
        await page.run("document.querySelector('#ask [name=in_flight]').value = '2'")
        await page.run("document.querySelector('#ask-yes').click()")
        await page.wait_for(
            "/ of 2$/.test(document.querySelector('td.wide').innerText)"
        )

        for width in (390, 1400):
            await page.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=width < 500,
            )
            assert await page.run("document.documentElement.scrollWidth") <= width

        await page.run("document.querySelector('#stop').click()")
        await page.run("document.querySelector('#ask-yes').click()")
        # Two waits: on a busy machine the end of the workers takes its time.
        await page.wait_for(
            "['closing', 'finished'].includes("
            "document.querySelector('#state').textContent)"
        )
        await page.wait_for(
            "document.querySelector('#state').textContent === 'finished'"
        )
        await see_end(page)
        assert await page.run(pages) > 0
        assert page.said == []
        url = page_of(running).partition("#")[0]
        assert all(asked.startswith((url, "data:")) for asked in page.asked)


def test_a_callback_that_blocks_its_worker_is_to_be_seen(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=parallel", "-s", "CONCURCRAWL_WORKERS=2", *DASHBOARD)
    with crawling("hangs", site, tmp_path, *options) as running:
        _, snapshot = asyncio.run(
            seen(
                page_of(running),
                lambda s: any(one["state"] == "blocked" for one in s["workers"]),
            )
        )
    (worker,) = [one for one in snapshot["workers"] if one["state"] == "blocked"]
    assert worker["silent_s"] > 0
    assert worker["doing"][0]["url"].startswith(site)


def test_an_open_page_does_not_keep_a_stalled_crawl_alive(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=async", "-s", "CONCURCRAWL_STALL_TIMEOUT_S=2", *DASHBOARD)
    with crawling("with_stuck", site, tmp_path, *options) as running:
        kind, last = asyncio.run(seen(page_of(running), lambda _: False))
        found = running.finish()
    assert (kind, last["state"], last["reason"]) == ("end", "stalled", "stalled")
    assert "The crawl has stalled" in last["errors"][0]["message"]
    assert found.stats["finish_reason"] == "stalled", found.log


def test_a_wrong_button_changes_nothing(site: str, tmp_path: Path) -> None:
    options = ("-s", "MODE=async", "-s", "CONCURRENT_REQUESTS=4", *LONG, *DASHBOARD)

    async def press_wrong(page: str) -> None:
        status, answer = await press(page, "limits", group=site[7:], in_flight=0)
        assert status == 400
        assert "in_flight" in answer["error"]
        assert (await press(page, "limits", nonsense=1))[0] == 400
        assert (await press(page, "erase"))[0] == 404
        assert (await press(page.replace("#token=", "#token=x"), "stop"))[0] == 401
        _, snapshot = await seen(page, lambda s: s["progress"]["pages"] > 0)
        assert snapshot["state"] == "running"
        assert (await press(page, "stop"))[0] == 200

    with crawling("slow", site, tmp_path, *options) as running:
        asyncio.run(press_wrong(page_of(running)))
        found = running.finish()
    assert found.stats["finish_reason"] == "stopped", found.log


def test_a_node_shows_the_whole_job(
    site: str, tmp_path: Path, redis_frontiers: RedisServer
) -> None:
    options = ("-s", "MODE=async", "-s", "CONCURRENT_REQUESTS=2", *LONG, *DASHBOARD)
    shared = ("-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}")
    with (
        crawling("slow", site, tmp_path / "a", *options, *shared) as one,
        crawling("slow", site, tmp_path / "b", *options, *shared) as two,
    ):

        def has_both(snapshot: dict[str, Any]) -> bool:
            nodes = [node for node in snapshot["nodes"] if node["state"] != "left"]
            return len(nodes) == 2 and all(node["done"] > 9 for node in nodes)

        _, snapshot = asyncio.run(seen(page_of(two), has_both))
        assert snapshot["job"] == "slow"
        assert {node["state"] for node in snapshot["nodes"]} == {"leads", "live"}
        # Of both nodes; what they have done meanwhile is read a moment later.
        assert snapshot["progress"]["done"] > min(n["done"] for n in snapshot["nodes"])
        assert snapshot["progress"]["waiting"] > 0
        assert snapshot["groups"][0]["name"] == "127.0.0.1"
        asyncio.run(press(page_of(two), "stop"))
        assert {run.finish().stats["finish_reason"] for run in (one, two)} == {
            "stopped"
        }
