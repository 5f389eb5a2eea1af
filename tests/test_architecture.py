"""Modules import only from what stands before them; alternatives are strangers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT / "concurcrawl"

#: Lowest first. A module belongs to the first entry that is its name or its folder. The
#: modules of a folder that has one entry are alternatives: they do not know each other.
LAYERS = (
    # what everybody may use
    "errors",
    "config",
    "modes",
    "compat.robots",
    "compat.engine",
    "compat.executors",
    "watchdog.frames",
    "watchdog.timers",
    "watchdog.stall",
    "compat.project_code",
    "watchdog.blocked",
    "refusal",
    "compat.stack",
    "compat.spider_arguments",
    "compat.pickling",
    "compat.main_module",
    "callbacks",
    "integrations.receivers",
    "integrations.own_files",
    "integrations.known",
    "integrations.plugins",
    "integrations.inventory",
    "records",
    "stats",
    "components",
    "connection_pool",
    "timeline",
    "lifeline",
    "files",
    "terminal.region",
    "terminal.arguments",
    "terminal.console",
    "terminal.ending",
    "progress.pace",
    "progress.screen",
    "inflate",
    "outputs",
    "event_loop",
    "garbage",
    "early_imports",
    "countries.page_files",
    "countries",
    # where requests wait, and what sites allow
    "frontier.limits",
    "frontier.gates",
    "frontier.base",
    "frontier.redis_script",
    "frontier.redis_wire",
    "frontier.redis_link",
    "frontier.redis_status",
    "frontier.redis_target",
    "frontier.redis_outbox",
    "frontier.redis_admissions",
    "frontier.redis_session",
    "frontier.redis_node",
    "frontier.exports",
    "frontier",
    "retry_after",
    "politeness",
    "wikimedia",
    "middlewares",
    "durable.locks",
    "compat.start",
    "durable.identity",
    "durable.start",
    "durable.state",
    "durable.kept_state",
    "durable.own_filter",
    "jobdir",
    "compat.feed_export",
    "durable.feed_locks",
    "feeds",
    "held_feeds",
    "durable.exports",
    "departures",
    "gate",
    "compat.slots",
    "downloader",
    "scheduler",
    # downloads in threads
    "download.head",
    "download.lenient",
    "download.curl",
    "download.plan",
    "download.connections",
    "download.threads",
    "download.transfer",
    "handler",
    # crawler processes
    "workers.interrupts",
    "workers.cookies",
    "workers.messages",
    "workers.parts",
    "workers.codec",
    "workers.heads",
    "workers.reports",
    "workers.lines",
    "workers.portable_cookies",
    "workers.portable",
    "workers.wire",
    "workers.attributes",
    "workers.totals",
    "workers.children",
    "workers.journal",
    "workers.shared_journal",
    "workers.shared_limits",
    "workers.local",
    "workers.exclusive",
    "workers.desk",
    "workers.engine",
    "workers.crawler",
    "workers.launch.base",
    "workers.launch.guard",
    "workers.launch.mentioned",
    "workers.launch.main_module",
    "workers.process",
    "workers.launch.forkserver",
    "workers.launch.spawn",
    "workers.launch.ways",
    "workers.recycling",
    "workers.sticky",
    "workers.pool",
    "workers.stopping",
    "workers.memory",
    "workers.job",
    "workers.claims",
    "workers.scheduler",
    "workers.shared_scheduler",
    "workers.audience",
    "workers.hub",
    "workers.outcomes",
    "workers.dormant",
    "workers.downloader",
    "progress.watch",
    "addon",
    # the site to measure on
    "mirror.markup",
    "mirror.hosts",
    "mirror.log",
    "mirror.countries",
    "mirror.grammar",
    "mirror.article",
    "mirror.listing",
    "mirror.site",
    "mirror.counts",
    "mirror.faults",
    "mirror.options",
    "mirror.certificate",
    "mirror.encodings",
    "mirror.store",
    "mirror.bodies",
    "mirror.sending",
    "mirror.service",
    "mirror.process",
    "mirror.server",
    # the spider
    "spiders",
    # the comparison
    "compare.environment",
    "compare.failure",
    "compare.intervals",
    "compare.kept",
    "compare.model",
    "compare.options",
    "compare.process_tree",
    "compare.progress",
    "compare.report.document",
    "compare.runs",
    "compare.setup",
    "compare.sketch",
    "compare.tutorial",
    "compare.words",
    "compare.advice",
    "compare.figures",
    "compare.phases",
    "compare.report.markdown",
    "compare.report.live",
    "compare.report.terminal",
    "compare.target",
    "compare.usl",
    "compare.charts",
    "compare.crawl",
    "compare.report.trace",
    "compare.sweep",
    "compare.verdict",
    "compare.cautions",
    "compare.report.html",
    "compare.analyse",
    "compare.publish",
    "compare.again",
    "compare.run",
    "compare.command",
    "compare.advising",
    # the benchmark
    "bench.contenders",
    "bench.workloads",
    "bench.results",
    "bench.targets",
    "bench.tables",
    "bench.options",
    "bench.pages",
    "bench.keeper",
    "bench.servers",
    "bench.measure",
    "bench.frontier",
    "bench.run",
    "bench.command",
    # crawls that machines share
    "shared.place",
    "shared.picture",
    "shared.status",
    "shared.items",
    "shared.purge",
    # jobs on servers
    "deploy.options",
    "deploy.job_log",
    "deploy.egg",
    "deploy.client",
    "deploy.following",
    "deploy.view",
    "deploy.command",
    # how a project fares
    "doctor.report",
    "doctor.changes",
    "doctor.machine",
    "doctor.project",
    "doctor.examine",
    "doctor.picture",
    "doctor.command",
    # the ways in
    "settings",
    "commands",
    "cli",
    "__main__",
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def is_module(name: str) -> bool:
    return (PACKAGE / Path(*name.split("."))).with_suffix(".py").exists()


#: Folders have no code of their own; the package's is there for who uses it.
MODULES = sorted(
    name_of(path) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"
)


def layer(module: str) -> int:
    for index, name in enumerate(LAYERS):
        if module == name or module.startswith(name + "."):
            return index
    raise AssertionError(f"give {module} a place in LAYERS")


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ours that *path* imports, late imports included.

    What it imports only to name types is left out: two parts of one process that talk
    to each other name each other's type, and at run time neither needs the other.
    """
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node: ast.AST = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)  # type: ignore[arg-type]
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        ours = [name.removeprefix("concurcrawl.") for name in names]
        yield from (name for name in ours if is_module(name))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_place_and_imports_only_what_stands_before_it(
    module: str,
) -> None:
    path = (PACKAGE / Path(*module.split("."))).with_suffix(".py")
    above = [
        name
        for name in imported(path)
        if name != module and layer(name) >= layer(module)
    ]
    assert above == []


def test_every_place_is_taken() -> None:
    taken = {LAYERS[layer(module)] for module in MODULES}
    assert [name for name in LAYERS if name not in taken] == []


def test_folders_have_no_code_of_their_own() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path


def test_the_rule_sees_late_imports_and_not_those_for_types(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "if TYPE_CHECKING:\n"
        "    from concurcrawl.addon import Addon\n"
        "from concurcrawl import stats, nothing\n"
        "def late():\n"
        "    import concurcrawl.workers.pool\n",
        encoding="utf-8",
    )
    assert sorted(imported(module)) == ["stats", "workers.pool"]


def python(code: str) -> str:
    """Return what *code* prints in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    ).stdout


def test_importing_anything_installs_no_reactor() -> None:
    names = [f"concurcrawl.{name}" for name in MODULES if name != "__main__"]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    assert "twisted.internet.reactor" not in python(code).split()


@pytest.mark.parametrize(
    "module", ["mirror.server", "frontier.sqlite", "compare.report.terminal", "cli"]
)
def test_what_needs_no_scrapy_does_not_wait_for_it(module: str) -> None:
    code = f"import sys, concurcrawl.{module}; print('scrapy' in sys.modules)"
    assert python(code) == "False\n"
