"""The run that decides: what fails it, and that it is the one people can make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import noxfile
from tests.support.crawls import DEADLINE_S, ROOT, environment

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


def fake_python(path: Path, version: str) -> Path:
    """Make a program that answers as a Python of *version* does, or fails if empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = f"echo {version}" if version else "exit 127"
    path.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_pythons_are_found_on_the_path_and_behind_shims_that_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, shims = tmp_path / "bin", tmp_path / "shims"
    versions = tmp_path / "pyenv" / "versions"
    on_path = fake_python(system / "python3.98", "3.98.1")
    fake_python(shims / "python3.98", "")
    fake_python(shims / "python3.99", "")
    fake_python(versions / "3.99.9" / "bin" / "python3.99", "3.99.9")
    latest = fake_python(versions / "3.99.10" / "bin" / "python3.99", "3.99.10")
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{system}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert noxfile.find("3.98") == str(on_path)
    assert noxfile.find("3.99") == str(latest)
    assert noxfile.find("3.97") is None
    assert noxfile.wanted("3.97 3.99") == ([("3.99", str(latest))], ["3.97"])


def test_the_default_python_is_none_of_the_others() -> None:
    assert noxfile.wanted(noxfile.default()) == ([], [])


def test_classifiers_name_the_pythons_that_are_tested() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'Python :: (3\.\d+)"', text)
    assert classified == [v for v in noxfile.VERSIONS if v != "3.14"]
