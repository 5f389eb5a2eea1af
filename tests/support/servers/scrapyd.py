"""A real Scrapyd on loopback, what it is asked, and what it leaves in its folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import psutil

from tests.support.servers.process import reap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Jobs start one after the other, each from nothing: that takes long where others work.
PATIENCE_S = 180

_OPTIONS = {
    "application": "any_port.application",
    "items_dir": "items",
    "jobs_dir": "jobs",
    "max_proc": "8",
    "poll_interval": "0.1",
    "runner": "egg_runner",
}


@dataclass(frozen=True, slots=True)
class Scrapyd:
    """A server that runs.

    Attributes:
        url: Where it listens, with a slash at the end.
        folder: Where it runs and has its folders.
        process: The server's process.
    """

    url: str
    folder: Path
    process: subprocess.Popen[str]

    def ask(self, service: str, **values: str) -> dict[str, Any]:
        """GET a service and return what it says."""
        return self._open(f"{service}?{urlencode(values)}", None)

    def tell(self, service: str, **values: str | list[str]) -> dict[str, Any]:
        """POST to a service and return what it says."""
        return self._open(service, urlencode(values, doseq=True).encode())

    def schedule(
        self, spider: str, job: str, project: str, *settings: str, **arguments: str
    ) -> None:
        told = self.tell(
            "schedule.json",
            project=project,
            spider=spider,
            jobid=job,
            setting=list(settings),
            **arguments,
        )
        assert told["status"] == "ok", told

    def cancel(self, job: str, project: str) -> None:
        told = self.tell("cancel.json", project=project, job=job)
        assert told["prevstate"] == "running", told

    def state(self, job: str) -> str | None:
        state: str | None = self.ask("status.json", job=job)["currstate"]
        return state

    def finish(self, job: str) -> None:
        """Wait until *job* has ended."""
        until(lambda: self.state(job) == "finished")

    def log(self, job: str) -> str:
        return self._read(f"logs/*/*/{job}.log")

    def items(self, job: str) -> list[dict[str, Any]]:
        """Return what stands whole in the feed so far."""
        text = self._read(f"items/*/*/{job}.jl")
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def tree(self) -> list[psutil.Process]:
        """Return the jobs' processes, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def _open(self, path: str, data: bytes | None) -> dict[str, Any]:
        opener = build_opener(ProxyHandler({}))
        with opener.open(self.url + path, data, PATIENCE_S) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def _read(self, pattern: str) -> str:
        found = list(self.folder.glob(pattern))
        return found[0].read_text(encoding="utf-8") if found else ""


@contextmanager
def scrapyd(folder: Path, **options: str) -> Iterator[Scrapyd]:
    """Run a Scrapyd in *folder*; what is left of it at the end is killed.

    A ``scrapyd.conf`` that is there is kept, with some options changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("any_port.py", "egg_runner.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    config = ConfigParser()
    config.read(folder / "scrapyd.conf")
    config.read_dict({"scrapyd": _OPTIONS | options})
    with (folder / "scrapyd.conf").open("w", encoding="ascii") as file:
        config.write(file)
    (folder / "url").unlink(missing_ok=True)
    with (folder / "out").open("a", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "scrapyd", "--pidfile="],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=out,
            text=True,
        )
    left: list[psutil.Process] = []
    try:
        until(lambda: (folder / "url").exists() or process.poll() is not None)
        said = (folder / "out").read_text(encoding="utf-8")
        assert (folder / "url").exists(), said
        url = (folder / "url").read_text(encoding="ascii")
        server = Scrapyd(url, folder, process)
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            left = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        reap(process)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def until(happened: Callable[[], object], deadline_s: float = PATIENCE_S) -> None:
    """Wait until *happened*."""
    end_s = time.monotonic() + deadline_s
    while not happened():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)


def deploy(project: Path, name: str, url: str) -> str:
    """Build *project*'s egg with ``scrapyd-deploy`` and send it to the server at *url*.

    Returns:
        What the server said.
    """
    cfg = project / "scrapy.cfg"
    text = cfg.read_text(encoding="utf-8").partition("[deploy]")[0]
    cfg.write_text(f"{text}\n[deploy]\nurl = {url}\n", encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("scrapyd-deploy"), "-p", name],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """Return one in which nothing of this repository is importable by itself."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
