"""The commands that steer a crawl, and waiting for what they bring about."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from concurcrawl import cli
from concurcrawl.control.address import FILE
from tests.support.crawls import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.crawls import Crawl


def steer(*words: object) -> tuple[int, str]:
    """Run a command of ``concurcrawl``; return its exit code and all it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([str(word) for word in words])
    return code, " ".join(said.getvalue().split())


def wait_until(is_so: Callable[[], object], *crawls: Crawl) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, [one.log for one in crawls]
        time.sleep(0.02)


def wait_for_door(folder: Path, crawl: Crawl) -> dict[str, Any]:
    """Wait until the door of *crawl* is open; return what its file says."""
    file = folder / FILE
    wait_until(lambda: file.exists() or crawl.process.poll() is not None, crawl)
    assert file.exists(), crawl.log
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def pages(site: str) -> list[str]:
    """Return the pages that *site* was asked for, in their order."""
    with urlopen(f"{site}/log", timeout=DEADLINE_S) as answer:
        return [visit["path"] for visit in json.load(answer)]


def forget(site: str) -> None:
    """Have *site* forget what it was asked for."""
    with urlopen(f"{site}/forget", timeout=DEADLINE_S):
        pass
