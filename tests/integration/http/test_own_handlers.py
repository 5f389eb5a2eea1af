"""Download handlers that a project sets are in effect in every mode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.limits.test_waits import ask, limited, peak, visits
from tests.support.crawls import crawling
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENDERING = "anyspider.handlers.Rendering"


def addons(place: int) -> list[str]:
    both = {"concurcrawl.Addon": 500, "anyspider.handlers.RenderingAddon": place}
    return ["-s", f"ADDONS={json.dumps(both)}"]


WAYS: dict[str, list[str]] = {
    "project": ["-s", f"DOWNLOAD_HANDLERS={json.dumps({'http': RENDERING})}"],
    "spider": [],
    "add-on before": addons(400),
    "add-on after": addons(600),
}

#: Each way in one process, in several, and in several with a frontier that lasts.
CELLS = [
    ("project", "serial"),
    ("project", "parallel"),
    ("project", "hybrid in JOBDIR"),
    ("spider", "concurrent"),
    ("spider", "hybrid"),
    ("spider", "async in JOBDIR"),
    ("add-on before", "async"),
    ("add-on before", "parallel"),
    ("add-on before", "async in JOBDIR"),
    ("add-on after", "concurrent"),
    ("add-on after", "hybrid"),
    ("add-on after", "hybrid in JOBDIR"),
]


@pytest.fixture(scope="module")
def own_site() -> Iterator[str]:
    with serving("tests.support.site.server") as url:
        yield url


@pytest.mark.parametrize(("way", "setup"), CELLS)
def test_a_handler_of_the_projects_own_downloads_every_page(
    way: str, setup: str, own_site: str, tmp_path: Path
) -> None:
    ask(f"{own_site}/forget")
    mode, _, is_durable = setup.partition(" in ")
    options = ["-s", f"MODE={mode}", "-s", f"MADE={tmp_path / 'made'}", *limited(4)]
    if is_durable:
        options += ["-s", f"JOBDIR={tmp_path / 'job'}"]
    options += WAYS[way]
    spider = "rendered_by_spider" if way == "spider" else "rendered"
    with crawling(spider, own_site, tmp_path, *options) as run:
        found = run.finish()
    assert found.items == {'{"flags": ["rendered"]}': 20}, found.log
    assert peak(visits(own_site)) <= 4
    made = (tmp_path / "made").read_text().split()
    called = (tmp_path / "made.callbacks").read_text().split()
    # Once a process, and in no process that downloads nothing.
    assert len(made) == len(set(made))
    assert set(made) >= set(called)
    if mode in {"parallel", "hybrid"} or is_durable:
        assert str(run.process.pid) not in made
