"""Servers that several tests share: real ones, each a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crawls import DEADLINE_S, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The URL of the site that the test project's spiders crawl."""
    command = [sys.executable, "-m", "tests.site.server"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()  # blocks until it listens
        assert url, f"the site ended with code {process.wait(DEADLINE_S)}"
        try:
            yield url
        finally:
            process.stdin.close()
            process.wait(DEADLINE_S)
