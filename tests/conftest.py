"""What all tests share: servers, patience, and no skipped test in CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tldextract import TLDExtract

from tests.support.crawls import start_processes_with_default_signals
from tests.support.servers.process import serving
from tests.support.servers.redis import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers.redis import RedisServer

start_processes_with_default_signals()

# Other processes of the tests, or of the machine, may be busy meanwhile.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

#: Folders and modules of tests that take long and are alike on every Python: real
#: browsers, random kills, comparisons, benchmarks, servers, what sites see of limits,
#: and what reads files of this tree.
_ONCE = (
    "chaos",
    "plugins",
    *(f"test_{name}.py" for name in ("architecture", "compatibility", "docs", "words")),
    "test_continuous_integration.py",
    *(
        f"integration/{name}"
        for name in (
            *(
                "benchmarks",
                "cluster",
                "control",
                "frontier",
                "http",
                "limits",
                "nodes",
                "monitor",
                "progress",
            ),
            *(
                "spiders",
                "tools",
                "tracing",
                "tuning",
                "integrations",
                "docs",
            ),
            *("durable/test_jobdir.py", "durable/test_resume.py"),
            *("durable/test_resumed_feeds.py", "durable/test_uploaded_feeds.py"),
            *(
                "test_cli.py",
                "test_hangs.py",
                "test_logs.py",
                "watchdog/test_stalls.py",
            ),
            *("workers/protocol", "workers/test_heard.py", "workers/test_memory.py"),
            *("workers/test_pickles.py", "workers/test_moved_pipelines.py"),
            *("workers/test_recycling.py", "workers/test_sharing.py"),
            *("workers/test_staying.py", "compat/test_moved_parts.py"),
            "test_packaging.py",
        )
    ),
)


_TESTS = Path(__file__).parent

#: Exit code of a run in CI with a skipped test. It is none of pytest's own, so such a
#: run fails even if all that failed besides passes when it is run once more.
_SKIPPED = 6


@pytest.hookimpl(tryfirst=True)  # before "-m" chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on one Python only, see noxfile.py."""
    for item in items:
        if not item.path.is_relative_to(_TESTS):
            continue  # some tests run pytest elsewhere
        if item.path.relative_to(_TESTS).as_posix().startswith(_ONCE):
            item.add_marker("once")


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """Fail a test that leaves the environment changed, and restore it.

    Later tests of the same process hand it to the crawls that they start: with
    SCRAPY_SETTINGS_MODULE left behind these would load another project.
    """
    before = _environment()
    yield
    after = _environment()
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    assert after == before


def _environment() -> dict[str, str]:
    """Return the environment but for what pytest itself changes in it."""
    return {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def _known_suffixes() -> None:
    """Have the list of public suffixes at hand.

    The first crawl with cookies of a fresh environment looks for it on the Internet and
    warns if it is not there; then it has a copy.
    """
    TLDExtract(include_psl_private_domains=True)("a.example")  # as Scrapy makes it


@pytest.fixture(scope="session")
def site(_known_suffixes: None) -> Iterator[str]:
    """The URL of the site that the test project's spiders crawl."""
    with serving("tests.support.site.server") as url:
        yield url


@pytest.fixture(scope="session")
def _one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_frontiers(_one_redis: RedisServer) -> RedisServer:
    """A redis-server with nothing in it."""
    _one_redis.client.flushall()
    return _one_redis


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in CI in which a test was skipped: it promised what nobody saw."""
    told = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    if _skipped(session.config) and exitstatus in told:
        session.exitstatus = _SKIPPED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why such a run fails."""
    count = _skipped(terminalreporter.config)
    if count:
        terminalreporter.write_line(
            f"FAILED: {count} skipped; with CI set, a skipped test is a failure.",
            red=True,
        )


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return 0
    return len(reporter.stats.get("skipped", []))
