"""The run that decides: what fails it, and that it is the one people can make."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest
from nox.command import CommandFailed

import noxfile
from tests.support.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

    import nox


SKIPS = "import pytest\n\ndef test_skips():\n    pytest.skip('no server')\n"
SKIPS_ALL = "import pytest\npytest.importorskip('no_such_module')\n"
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    assert 1 == 2\n"
NOTHING = ""

#: Two tests that fail in their first run only, and one that never does.
FLAKY = """
from pathlib import Path
import pytest

@pytest.mark.xdist_group("group")
@pytest.mark.parametrize("name", ["a@b::[c", "d"])
def test_flaky(name):
    ran = Path(name).exists()
    Path(name).touch()
    assert ran

def test_sound():
    pass
"""


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
        (SKIPS, "true", 6),
        (SKIPS_ALL, "true", 6),
        (SKIPS + FAILS, "true", 6),
        (NOTHING, "true", 5),
    ],
)
def test_a_run_in_ci_fails_if_a_test_was_skipped_or_none_ran(
    code: str, ci: str, exit_code: int, tmp_path: Path
) -> None:
    found = run(tmp_path, code, ci)
    assert found.returncode == exit_code, found.stdout
    said = "FAILED: 1 skipped; with CI set, a skipped test is a failure."
    assert (said in found.stdout) == (exit_code == 6)
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


class FakeSession:
    """Runs commands in a folder, as a session of nox does in the tree."""

    name = "tests"
    posargs = ("test_it.py",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warned: list[str] = []
        self.runs: list[tuple[str, ...]] = []

    def warn(self, sentence: str) -> None:
        self.warned.append(sentence)

    def run(
        self, *command: str, external: bool, success_codes: tuple[int, ...] = (0,)
    ) -> None:
        assert external
        self.runs.append(command)
        code = self.exit_code(command)
        if code not in success_codes:
            raise CommandFailed(f"Returned code {code}", return_code=code)

    def exit_code(self, command: tuple[str, ...]) -> int:
        command += ("-c", os.devnull, "--rootdir", str(self.folder))
        done = subprocess.run(command, cwd=self.folder, timeout=DEADLINE_S, check=False)
        return done.returncode


class Scripted(FakeSession):
    """Only says that tests failed."""

    def __init__(self, folder: Path, failed: int, codes: tuple[int, ...]) -> None:
        super().__init__(folder)
        self._failed = dict.fromkeys(map(str, range(failed)), True)
        self._codes = iter(codes)

    def exit_code(self, command: tuple[str, ...]) -> int:
        note_failures(self.folder, self._failed)
        return next(self._codes)


def note_failures(folder: Path, failed: dict[str, bool]) -> None:
    notes = folder / ".nox" / "cache" / "tests" / "v" / "cache" / "lastfailed"
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text(json.dumps(failed), encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that noxfile.py takes for its own."""
    monkeypatch.setattr(noxfile, "ROOT", tmp_path)
    return tmp_path


def run_tests(session: FakeSession, *options: str) -> None:
    noxfile.run_tests(cast("nox.Session", session), sys.executable, *options)


def test_the_few_tests_that_failed_are_run_once_more_and_named(tree: Path) -> None:
    (tree / "test_it.py").write_text(FLAKY, encoding="utf-8")
    note_failures(tree, {"test_it.py::test_of_an_earlier_run": True})
    session = FakeSession(tree)
    run_tests(session, "-n", "2", "--dist", "loadgroup")
    failed = ["test_it.py::test_flaky[a@b::[c]", "test_it.py::test_flaky[d]"]
    _, again = session.runs
    assert again[-4:] == ("-n", "0", *failed)
    assert session.warned == [
        f"failed, now run once more, alone: {', '.join(failed)}",
        f"failed once and passed alone: {', '.join(failed)}",
    ]


@pytest.mark.parametrize(
    ("failed", "codes"),
    [(5, (1, 1)), (5, (1, 6)), (6, (1,)), (0, (1,)), (1, (6,)), (1, (2,))],
    ids=[
        "fails again",
        "is skipped then",
        "too many fail",
        "pytest names none",
        "another was skipped",
        "was interrupted",
    ],
)
def test_a_session_fails_whose_tests_do_not_all_pass_in_the_end(
    failed: int, codes: tuple[int, ...], tree: Path
) -> None:
    session = Scripted(tree, failed, codes)
    with pytest.raises(CommandFailed):
        run_tests(session)
    assert len(session.runs) == len(codes)
    assert not any("passed" in sentence for sentence in session.warned)
