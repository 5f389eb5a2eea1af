"""The command doctor says what the start of a crawl would, and crawls nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from scrapy import Spider
from scrapy.settings import Settings

from concurcrawl.cli import main
from concurcrawl.errors import ConfigError
from concurcrawl.integrations.inventory import Place, place
from concurcrawl.modes import Mode
from concurcrawl.tools.doctor import machine as machine_module
from concurcrawl.tools.doctor.command import report_of
from concurcrawl.tools.doctor.machine import machine
from concurcrawl.tools.doctor.picture import picture
from concurcrawl.tools.doctor.project import Project
from concurcrawl.workers.supervisor.crawl_spec import _WORKER_SETTINGS
from tests.support.crawls import DEADLINE_S, MODES, ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.settings import BaseSettings

    from concurcrawl.tools.doctor.report import ProjectReport

ADDONS = {"concurcrawl.Addon": 500}
DBM = "scrapy.extensions.httpcache.DbmCacheStorage"
HERE = "tests.integration.tools.doctor.test_doctor"


class Hears:
    """An extension that a worker's signals do not reach; it must never be made."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    @classmethod
    def from_crawler(cls, crawler: Any) -> Hears:
        from scrapy import signals

        it = cls()
        crawler.signals.connect(it.stop, signals.headers_received)
        return it

    def stop(self) -> None:
        pass


class Pipeline:
    pass


class Scheduler:
    pass


class Handler:
    pass


class SetsHandlers:
    """An add-on as those of rendering services are."""

    def update_settings(self, settings: BaseSettings) -> None:
        settings["DOWNLOAD_HANDLERS"]["https"] = f"{HERE}.Handler"


class Fails:
    def update_settings(self, settings: BaseSettings) -> None:
        raise KeyError("API_KEY")


class Usual(Spider):
    name = "usual"


class Slow(Spider):
    name = "slow"
    start_urls = ["https://de.wikipedia.org/wiki/Haus"]  # noqa: RUF012 - likewise
    custom_settings = {"DOWNLOAD_DELAY": 2}  # noqa: RUF012 - as people write it


class Own(Spider):
    name = "own"
    custom_settings = {"SCHEDULER": f"{HERE}.Scheduler"}  # noqa: RUF012 - likewise


def report(
    *modes: Mode,
    spider: str | None = None,
    broken: dict[str, str] | None = None,
    **written: Any,
) -> ProjectReport:
    """Return what the doctor finds in a project with the settings *written*."""
    settings = Settings(priority="project")
    settings.setdict({"ADDONS": ADDONS, **written}, "project")
    classes = {cls.name: cls for cls in (Usual, Slow, Own)}
    project = Project("shop.settings", settings, classes, broken or {})
    return report_of(project, spider, modes or tuple(Mode), machine(settings))


def statuses(found: ProjectReport, name: str) -> dict[str, str]:
    (plugin,) = [one for one in found.spiders[0].plugins if one.name == name]
    return {mode: fare.status for mode, fare in plugin.modes.items()}


def shown(found: ProjectReport, columns: int = 100) -> str:
    console = Console(width=columns, no_color=True)
    with console.capture() as captured:
        console.print(picture(found), highlight=False)
    return captured.get()


def test_all_is_well_with_a_spider_of_scrapys_own_parts() -> None:
    found = report(spider="usual")
    assert found.is_well
    assert [one.mode for one in found.spiders[0].modes] == list(MODES)
    assert found.spiders[0].plugins == ()
    assert "All is in effect in serial, concurrent, async, parallel" in shown(found)


def test_the_workers_of_a_cluster_are_those_that_it_can_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where: dict[str, Any] = {"CONCURCRAWL_CLUSTER": "local", "CONCURCRAWL_WORKERS": 3}
    found = report(Mode.PARALLEL, spider="usual", **where)
    assert [one.workers for one in found.spiders[0].modes] == [3]
    assert "workers run on a cluster (local: 3 can run there now)" in shown(found)

    monkeypatch.setattr(machine_module, "_PATIENCE_S", 0)
    where["CONCURCRAWL_CLUSTER"] = "tcp://127.0.0.1:9"
    found = report(Mode.PARALLEL, spider="usual", **where)
    assert not found.is_well
    (problem,) = found.wrong
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in problem


def test_processes_and_requests_in_flight_are_those_of_the_plan() -> None:
    found = report(CONCURCRAWL_WORKERS=3, spider="usual")
    assert [
        (one.processes, one.workers, one.in_flight, one.downloads_by)
        for one in found.spiders[0].modes
    ] == [
        (1, 0, 1, "Scrapy"),
        (1, 0, 16, "libcurl"),
        (1, 0, 16, "libcurl"),
        (4, 3, 3, "Scrapy"),
        (4, 3, 16, "libcurl"),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"JOBDIR": "job", "FEEDS": {"items.jsonl": {"format": "jsonlines"}}},
        {"CONCURCRAWL_FRONTIER_URL": "redis://localhost:1/0"},
        {"CONCURCRAWL_RECORDS": "records.jsonl"},
    ],
    ids=["plain", "jobdir", "redis", "records"],
)
def test_each_setting_that_a_mode_changes_has_a_reason(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = report(spider="usual", **more)
    assert found.is_well
    changes = {change for one in found.spiders[0].modes for change in one.changes}
    assert {"SCHEDULER", "CONCURRENT_REQUESTS"} <= {one.setting for one in changes}
    assert sorted({one.setting for one in changes if not one.reason}) == []
    assert list(tmp_path.iterdir()) == []


def test_a_change_says_what_was_and_what_becomes_of_it() -> None:
    (mode,) = report(Mode.SERIAL, spider="usual").spiders[0].modes
    changes = {(one.setting, one.entry): one for one in mode.changes}
    requests = changes["CONCURRENT_REQUESTS", ""]
    assert (requests.before, requests.after) == ("16", "1")
    throttle = changes["EXTENSIONS", "scrapy.extensions.throttle.AutoThrottle"]
    assert (throttle.before, throttle.after) == ("0", "off")


def test_limits_of_the_project_and_of_sites_hold_a_mode_back() -> None:
    found = report(
        Mode.SERIAL,
        Mode.CONCURRENT,
        spider="slow",
        CONCURRENT_REQUESTS=4,
        CONCURRENT_REQUESTS_PER_DOMAIN=2,
        AUTOTHROTTLE_ENABLED=True,
    )
    site = "profile wikimedia (3 in flight, 5/s, robots.txt)"
    serial, concurrent = found.spiders[0].modes
    assert serial.held_back_by == (site,)
    assert concurrent.held_back_by == (
        "CONCURRENT_REQUESTS=4",
        "CONCURRENT_REQUESTS_PER_DOMAIN=2",
        "DOWNLOAD_DELAY=2",
        "AUTOTHROTTLE_ENABLED=True",
        site,
    )
    assert found.is_well


def test_parts_of_the_project_fare_by_where_they_run() -> None:
    found = report(
        Mode.ASYNC, Mode.HYBRID, ITEM_PIPELINES={Pipeline: 1}, spider="usual"
    )
    assert statuses(found, f"{HERE}.Pipeline") == {
        "async": "in_effect",
        "hybrid": "in_supervisor",
    }


def test_what_another_add_on_sets_is_looked_at_whatever_their_order() -> None:
    for at in (400, 600):
        found = report(
            Mode.CONCURRENT,
            ADDONS={**ADDONS, SetsHandlers: at},
            spider="usual",
        )
        assert found.spiders[0].modes[0].downloads_by == f"libcurl, {HERE}.Handler"
        assert statuses(found, f"{HERE}.Handler") == {"concurrent": "in_effect"}


def test_an_add_on_that_fails_is_told_and_the_rest_is_shown() -> None:
    found = report(Mode.ASYNC, ADDONS={**ADDONS, Fails: 1}, spider="usual")
    assert not found.is_well
    sentence = "It would end at the start with KeyError: 'API_KEY'."
    assert found.spiders[0].modes[0].refused == sentence
    assert f"1. async: {sentence}" in shown(found)


def test_an_extension_that_hears_nothing_is_found_without_being_made() -> None:
    found = report(Mode.ASYNC, Mode.PARALLEL, EXTENSIONS={Hears: 1}, spider="usual")
    assert statuses(found, f"{HERE}.Hears") == {
        "async": "in_effect",
        "parallel": "not_in_effect",
    }
    assert not found.is_well
    assert Hears.made == 0
    assert "connect it in a downloader middleware" in shown(found, 1000)


def test_what_is_refused_is_refused_in_the_modes_that_refuse_it() -> None:
    cache: dict[str, Any] = {"HTTPCACHE_ENABLED": True, "HTTPCACHE_STORAGE": DBM}
    found = report(Mode.ASYNC, Mode.PARALLEL, spider="usual", **cache)
    assert statuses(found, DBM) == {"async": "in_effect", "parallel": "refused"}
    serial, parallel = found.spiders[0].modes
    assert serial.refused == ""
    assert parallel.refused.startswith(f"HTTPCACHE_STORAGE={DBM}: only one process")
    assert not found.is_well
    assert report(Mode.ASYNC, spider="usual", **cache).is_well


def test_the_sentences_are_those_that_refuse_a_crawl() -> None:
    (mode,) = report(Mode.ASYNC, spider="own").spiders[0].modes
    assert mode.refused.startswith(f"SCHEDULER={HERE}.Scheduler: it would not be used")


def test_without_a_spider_those_with_something_of_their_own_come_after() -> None:
    found = report(Mode.ASYNC)
    assert [(one.spider, one.own_settings) for one in found.spiders] == [
        ("", ()),
        ("slow", ("DOWNLOAD_DELAY",)),
        ("own", ("SCHEDULER",)),
    ]
    assert not found.is_well
    text = shown(found)
    assert "1. own, async: SCHEDULER=" in text
    assert "DOWNLOAD_DELAY=2" in text


def test_a_spider_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError) as caught:
        report(spider="nope", broken={"shop.bad": "ImportError: no"})
    assert str(caught.value) == (
        "--spider='nope': must be a spider of this project (usual, slow, own); "
        "shop.bad cannot be imported"
    )


def test_a_project_without_the_add_on_is_judged_as_if_it_had_it() -> None:
    found = report(Mode.PARALLEL, ADDONS={}, spider="usual")
    assert not found.add_on
    assert found.is_well
    assert found.spiders[0].modes[0].workers
    assert 'ADDONS = {"concurcrawl.Addon": 500}' in shown(found)


def test_a_mode_of_the_projects_own_is_what_is_wrong() -> None:
    found = report(Mode.ASYNC, MODE="production", spider="usual")
    assert found.wrong[0].startswith("MODE='production': must be one of")
    assert not found.is_well
    assert not found.spiders[0].modes[0].refused


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    found = report(EXTENSIONS={Hears: 1}, DOWNLOAD_DELAY=3)
    text = shown(found, columns)
    assert max(map(len, text.splitlines())) <= columns
    row = r"^hybrid +1 \+ \d+ +16 +libcurl +1 not in effect"
    assert re.search(row, text, re.MULTILINE)


def test_what_workers_are_told_to_leave_out_is_the_supervisors() -> None:
    left_out = {name for name, value in _WORKER_SETTINGS.items() if value == {}}
    for setting in left_out & {"EXTENSIONS", "ITEM_PIPELINES"}:
        assert place(setting, has_workers=True) is Place.SUPERVISOR
    for setting in (
        "DOWNLOADER_MIDDLEWARES",
        "SPIDER_MIDDLEWARES",
        "DOWNLOAD_HANDLERS",
    ):
        assert setting not in left_out
        assert place(setting, has_workers=True) is Place.WORKERS
    assert place("EXTENSIONS", has_workers=False) is Place.HERE


SETTINGS = """
BOT_NAME = "shop"
SPIDER_MODULES = ["shop.spiders"]
EXTENSIONS = {"shop.parts.Opens": 1}
print("hello from the settings")
"""

PARTS = """
class Opens:
    def __init__(self):
        open("opened", "w").close()
"""

SPIDER = """
import scrapy

class Good(scrapy.Spider):
    name = "good"

    def __init__(self, *args, **kwargs):
        open("opened", "w").close()
"""


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "concurcrawl", "doctor", *words],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The project of a stranger: no add-on, and one of its spiders is broken."""
    (tmp_path / "scrapy.cfg").write_text("[settings]\ndefault = shop.settings\n")
    spiders = tmp_path / "shop" / "spiders"
    spiders.mkdir(parents=True)
    for folder in (spiders, spiders.parent):
        (folder / "__init__.py").touch()
    (spiders.parent / "settings.py").write_text(SETTINGS)
    (spiders.parent / "parts.py").write_text(PARTS)
    (spiders / "bad.py").write_text("import nothing_of_that_name")
    (spiders / "good.py").write_text(SPIDER)
    return tmp_path


def test_a_strangers_project_gets_one_document_and_nothing_is_opened(
    shop: Path,
) -> None:
    done = doctor(shop, "--json", "--mode", "parallel", "-s", "JOBDIR=job")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert "hello from the settings" in done.stderr
    assert found["ok"] is found["add_on"] is False
    why = "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert found["broken"] == {"shop.spiders.bad": why}
    (plugin,) = found["spiders"][0]["plugins"]
    assert plugin["name"] == "shop.parts.Opens"
    assert plugin["modes"] == {"parallel": {"status": "in_supervisor", "says": []}}
    assert sorted(path.name for path in shop.iterdir()) == ["scrapy.cfg", "shop"]
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert [key for key in keys_of(found) if f"`{key}`" not in text] == []


def keys_of(document: dict[str, Any]) -> set[str]:
    """Return the keys of *document* that its description is to name."""
    spider = document["spiders"][0]
    records = [document, document["machine"], document["versions"], spider]
    records += [*spider["modes"], *spider["plugins"], spider["modes"][0]["changes"][0]]
    records += spider["plugins"][0]["modes"].values()
    return {key for record in records for key in record}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mode", "fast"], "--mode='fast': must be a list of serial, concurrent,"),
        (["-s", "JOBDIR"], "-s='JOBDIR': must be NAME=VALUE"),
        ([], "must be in a Scrapy project; change to the folder with its scrapy.cfg"),
    ],
)
def test_a_wrong_use_is_told_in_one_line(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCRAPY_SETTINGS_MODULE", raising=False)
    assert main(["doctor", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
