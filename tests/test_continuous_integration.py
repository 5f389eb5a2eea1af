"""The run that decides: what fails it, and that it is the one people can make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

SKIPS = "import pytest\n\ndef test_skips():\n    pytest.skip('no server')\n"
SKIPS_ALL = "import pytest\npytest.importorskip('no_such_module')\n"
PASSES = "def test_passes():\n    pass\n"
NOTHING = ""


def run(folder: Path, code: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_passes.py").write_text(PASSES if code else "", encoding="utf-8")
    (folder / "test_it.py").write_text(code, encoding="utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest"),
            *("-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", str(folder), str(folder)),
        ],
        env={**environment(), "CI": ci},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "ci", "exit_code"),
    [
        (PASSES, "true", 0),
        (SKIPS, "", 0),
        (SKIPS, "true", 1),
        (SKIPS_ALL, "true", 1),
        (NOTHING, "true", 5),
    ],
)
def test_a_run_in_ci_fails_if_a_test_was_skipped_or_none_ran(
    code: str, ci: str, exit_code: int, tmp_path: Path
) -> None:
    found = run(tmp_path, code, ci)
    assert found.returncode == exit_code, found.stdout
    said = "FAILED: 1 skipped; with CI set, a skipped test is a failure."
    assert (said in found.stdout) == (exit_code == 1)
    assert re.search(r" in \d+\.\d\ds", found.stdout.splitlines()[-1])


def test_ci_runs_what_people_run() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in script
    assert script[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
