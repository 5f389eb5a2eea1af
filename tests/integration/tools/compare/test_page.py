"""The page, in a real browser."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.tools.compare.analyse import ComparisonResult, conclude
from concurcrawl.tools.compare.options import Experiment
from concurcrawl.tools.compare.report.html import page
from concurcrawl.tools.compare.setup import Setup
from tests.support.compare.browser import Page, browsing, chromium
from tests.support.compare.crawls_made_up import crawl
from tests.support.crawls import environment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from concurcrawl.tracing.record import Record

EVIL = "</script><img src=x onerror=\"document.title='taken'\">'\"\\u003c&lt;{{}}$$x$$"
MODES = {"serial": 1, "concurrent": 16, "async": 16, "parallel": 2, "hybrid": 16}
PROCESSES = {"parallel": 2, "hybrid": 2}
ENVIRONMENT = {"python": "CPython 3.13", "cpu_model": EVIL}


def made_up(
    pages: int, rounds: int, title: str, url: str
) -> tuple[ComparisonResult, dict[str, list[Record]]]:
    runs, records = [], {}
    for number in range(1, rounds + 1):
        for mode, slots in MODES.items():
            run, some = crawl(
                mode,
                waiting_s=0.2,
                cpu_s=0.01,
                slots=slots,
                processes=PROCESSES.get(mode, 1),
                pages=pages,
                number=number,
                url=url,
            )
            runs.append(run)
            records[run.folder] = some
            runs += [
                replace(run, level=level, steady_s=10 / level**0.7)
                for level in (1, 2, 4, 8)
                if mode == "async"
            ]
    about = Experiment(name="x", title=title, work=None, latency_s=0.2, pages=pages)
    setup = Setup(slots=MODES, processes=PROCESSES, cores=2)
    return conclude(about, runs, setup, records), records


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    outcome, records = made_up(40, 3, EVIL, f"http://127.0.0.1:1/{EVIL}/")
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(ENVIRONMENT, [outcome], records), encoding="utf-8")
    return path.as_uri()


def browse(drive: Callable[[Page], Awaitable[Any]]) -> None:
    async def whole() -> None:
        async with browsing() as tab:
            await drive(tab)
            assert tab.said == []
            assert all(url.startswith(("file:", "data:")) for url in tab.asked)

    asyncio.run(whole())


@pytest.mark.skipif(chromium() is None, reason="needs the Debian package chromium")
def test_hover_says_what_a_bar_is_and_zoom_by_mouse_and_button_moves_the_axis(
    report: str,
) -> None:
    async def drive(tab: Page) -> None:
        await tab.open(report)
        box = await tab.run(
            "(() => { const lens = document.querySelector('[data-lens]');"
            "const host = document.getElementById(lens.dataset.lens);"
            "host.scrollIntoView({block: 'start'});"
            "window.view = Bokeh.index.roots.find((v) => host.contains(v.el));"
            "window.range = view.model.x_range;"
            "const r = host.getBoundingClientRect(); const f = view.frame.bbox;"
            "return [r.x + f.left, r.y + f.top, f.width, f.height, range.end]; })()"
        )
        left, top, width, _, end_s = box
        # A page of serial, the first lane: at 5.0 to 5.2 s it waits.
        await tab.mouse("mouseMoved", left + width * 5.1 / end_s, top + 11)
        tip = "[...document.querySelectorAll('*')].flatMap(function deep(e) {"
        tip += "return e.shadowRoot ? [e.shadowRoot.textContent,"
        tip += "...[...e.shadowRoot.querySelectorAll('*')].flatMap(deep)] : []"
        tip += "}).join(' ')"
        await tab.wait_for(f"({tip}).includes('serial · main')")
        assert EVIL in await tab.run(tip)
        x = left + width / 4
        await tab.mouse("mousePressed", x, top + 60, button="left", clickCount=1)
        for step in range(1, 6):
            at = x + step * width / 20
            await tab.mouse("mouseMoved", at, top + 60, button="left", buttons=1)
        await tab.mouse("mouseReleased", at, top + 60, button="left", clickCount=1)
        await tab.wait_for(f"range.end - range.start < {end_s / 3}")
        before = await tab.run("range.end - range.start")
        await tab.run("document.querySelector('[data-lens] [value=in]').click()")
        assert await tab.run("range.end - range.start") == pytest.approx(before / 2)
        await tab.run("document.querySelector('[data-lens] [value=all]').click()")
        assert await tab.run("range.start") == 0
        assert await tab.run("range.end") == pytest.approx(end_s)

    browse(drive)


@pytest.mark.skipif(chromium() is None, reason="needs the Debian package chromium")
def test_text_of_others_is_text_and_colours_follow_the_reader(report: str) -> None:
    async def drive(tab: Page) -> None:
        await tab.open(report, width=390, dark=True)
        assert await tab.run("document.title") == "Which mode wins, and why"
        assert await tab.run("document.querySelectorAll('img').length") == 0
        assert EVIL in await tab.run("document.querySelector('h2').textContent")
        assert await tab.run("document.documentElement.scrollWidth") <= 390
        ink = "Bokeh.index.roots[0].model.below[0].major_label_text_color"
        dark = await tab.run(ink)
        await tab.paint(dark=False)
        await tab.wait_for(f"{ink} !== '{dark}'")
        assert await tab.run("document.querySelectorAll('[data-chart]').length") == 5

    browse(drive)


def test_headings_go_down_step_by_step_and_every_table_has_caption_and_scopes() -> None:
    outcome, records = made_up(20, 3, "A title", "http://127.0.0.1:1/wiki/")
    text = page(ENVIRONMENT, [outcome, outcome], records).split("<script>")[0]
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    tables = re.findall(r"<table.*?</table>", text)
    assert len(tables) == 2 * 5 + 1
    for table in tables:
        assert "<caption>" in table
        assert table.count("<th ") == table.count('scope="')
        assert "<th>" not in table
    names = re.findall(r'aria-(?:labelledby|describedby)="([^"]*)"', text)
    assert set(names) <= set(re.findall(r' id="([^"]*)"', text))
    assert text.index('class="verdict"') < text.index("<h3")  # it comes first


def test_text_stands_out_from_its_paper_in_light_in_dark_and_on_paper() -> None:
    css = (files("concurcrawl.tools.compare.report") / "page.css").read_text("utf-8")
    light, dark, printed = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )
    for colours in (light, dark, printed):
        for ink in ("ink", "quiet", "good"):
            for paper in ("paper", "soft"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        for ink in ("ink", "doubt"):
            assert contrast(colours[ink], colours["doubt-paper"]) >= 4.5, ink


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2."""
    bright, dim = sorted(map(luminance, (one, other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_page_of_six_modes_and_five_rounds_is_small_and_made_soon() -> None:
    outcome, records = made_up(233, 5, "Large", "http://127.0.0.1:1/wiki/A_long_name_")
    started = time.process_time()  # other tests run meanwhile
    text = page(ENVIRONMENT, [outcome] * 2, records)  # ten modes
    assert time.process_time() - started < 5
    assert len(text) < 6_000_000


def test_before_the_first_run_there_is_a_page_too() -> None:
    text = page({}, [], {})
    assert "<script" not in text
    assert "137.37" in text


@pytest.mark.parametrize("module", ["addon", "commands", "tools.compare.command"])
def test_only_who_makes_a_page_waits_for_the_library_that_draws(module: str) -> None:
    code = f"import sys, concurcrawl.{module}; print('bokeh' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "False\n"
