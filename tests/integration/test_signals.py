"""However the suite is started, what it starts has the signals of a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

#: Started by a test, it says which of the three it ignores.
CASE = """
import subprocess, sys

ASK = "import signal as s;" + "print([n for n in ('SIGHUP', 'SIGINT', 'SIGQUIT')" + (
    " if s.getsignal(getattr(s, n)) is s.SIG_IGN])"
)

def test_a_child_ignores_nothing():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    assert done.stdout == "[]\\n"

def test_the_runner_goes_on_after_a_hangup():
    import signal
    signal.raise_signal(signal.SIGHUP)
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_under_nohup_and_in_the_background_tests_start_ordinary_processes(
    processes: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(CASE, encoding="utf-8")
    done = subprocess.run(
        [
            *("sh", "-c", 'trap "" HUP INT QUIT; exec "$@"', "sh"),
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-n", processes),
            *("-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", str(tmp_path), str(tmp_path)),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
