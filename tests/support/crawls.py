"""Real crawls of the test project's spiders, as processes, and what came of them."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "tests" / "support" / "project"

#: Long enough for a loaded machine; a crawl that takes longer hangs.
DEADLINE_S = 100

MODES = ("serial", "concurrent", "async", "parallel", "hybrid")

#: Stats that say when, how fast, by whom or in what order (of two links to a page the
#: first is followed: its depth, its Referer), not what.
_INCIDENTAL = re.compile(
    r"time|memusage|per_minute|feedexport|log_count/(INFO|DEBUG)|concurcrawl/handler"
    r"|request_bytes|request_depth_max"
)


#: Loggers of warnings that plain Scrapy does not give.
_MORE_WARNINGS = ("tldextract", "concurcrawl.integrations.plugins")


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished crawl left behind."""

    exit_code: int
    items: Counter[str]
    pipeline: Counter[str]
    stats: dict[str, Any]
    log: str

    def comparable(self) -> dict[str, Any]:
        """Return what must be the same in every mode."""
        stats = {k: v for k, v in self.stats.items() if not _INCIDENTAL.search(str(k))}
        # Of a list of public suffixes that the first crawl of an environment looks for,
        # and of what a mode cannot do as plain Scrapy does.
        more = sum(self.log.count(f"[{name}] WARNING") for name in _MORE_WARNINGS)
        if more and stats.get("log_count/WARNING") == more:
            del stats["log_count/WARNING"]
        return {
            "exit_code": self.exit_code,
            "items": self.items,
            "pipeline": self.pipeline,
            "stats": stats,
        }


@dataclass(frozen=True, slots=True)
class Crawl:
    """A crawl that runs."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        return _read(self.folder / "log")

    def tree(self) -> list[psutil.Process]:
        """Return the processes it has started, and theirs."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Return its workers: those that have no children themselves."""
        tree = self.tree()
        parents = {process.ppid() for process in tree}
        return [process for process in tree if process.pid not in parents]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def has_ended(self, within_s: float) -> bool:
        """Return whether it ends in that time."""
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> Result:
        """Wait until it has ended and return what it left."""
        self.process.wait(DEADLINE_S)
        log = self.log
        return Result(
            exit_code=self.process.returncode,
            items=_lines(self.folder / "items.jsonl"),
            pipeline=_lines(self.folder / "pipeline.txt"),
            stats=_stats(log),
            log=log,
        )


#: Variable with the numbers of the signals that the test runner ignores.
_IGNORED = "CONCURCRAWL_TESTS_IGNORE"

#: Python itself ignores these two, and restores them in what it starts.
_IGNORED_BY_PYTHON = {
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
}


def start_processes_with_default_signals() -> None:
    """Let no process that is started from here inherit that a signal is ignored.

    Under nohup, in the background of a script and in some CI runners SIGHUP, SIGINT
    and SIGQUIT are ignored, and that survives an exec. A handler that does nothing
    does not: this process goes on ignoring them, what it starts does not. Processes of
    pytest-xdist are started too, so they are told in the environment.
    """
    told = {int(number) for number in os.environ.get(_IGNORED, "").split()}
    ignored = told | {
        int(number)
        for number in signal.valid_signals() - _IGNORED_BY_PYTHON
        if signal.getsignal(number) is signal.SIG_IGN
    }
    os.environ[_IGNORED] = " ".join(map(str, ignored))
    for number in ignored:
        signal.signal(number, lambda *_: None)


@contextmanager
def crawling(
    spider: str,
    site: str,
    folder: Path,
    *options: str,
    launcher: Sequence[str] = (),
    project: Path = PROJECT,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Crawl]:
    """Start a crawl; whatever is left of it at the end is killed.

    Args:
        spider: Its name.
        site: URL of the site.
        folder: For what it writes.
        options: More of the command's options.
        launcher: A command that executes the one that follows it, as ``nohup`` does.
        project: Folder of the project that has the spider.
        variables: More variables of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *launcher,
        *(sys.executable, "-m", "scrapy", "crawl", spider, "-a", f"site={site}"),
        # Scrapy takes several of one of the two, but not both.
        *("-o" if "-o" in options else "-O", str(folder / "items.jsonl")),
        *("-s", f"PIPELINE_FILE={folder / 'pipeline.txt'}", *options),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=project,
            env={**environment(), **variables},
            stdout=log,
            stderr=log,
        )
    crawl = Crawl(process, folder)
    left: list[psutil.Process] = []
    try:
        yield crawl
    finally:
        left = crawl.tree()
        process.kill()
        process.wait(DEADLINE_S)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def crawl(spider: str, site: str, folder: Path, *options: str) -> Result:
    """Run a crawl to its end."""
    with crawling(spider, site, folder, *options) as running:
        return running.finish()


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Wait until *processes* are gone and return those that are not."""
    _, left = psutil.wait_procs(processes, timeout=DEADLINE_S / 4)
    return left


def environment() -> dict[str, str]:
    """Return an environment in which the test project and this tree are importable."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(PROJECT)])}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _lines(path: Path) -> Counter[str]:
    return Counter(_read(path).splitlines())


def _stats(log: str) -> dict[str, Any]:
    found = re.search(r"Dumping Scrapy stats:\n(\{.*?\})\n", log, re.DOTALL)
    if found is None:
        return {}
    text = re.sub(r"datetime\.datetime\([^)]*\)\)?", "None", found[1])
    text = re.sub(r"tzinfo=[^,)}]*\)?", "", text)
    stats: dict[str, Any] = ast.literal_eval(text)
    return stats
