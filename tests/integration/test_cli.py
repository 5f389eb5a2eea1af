from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def concurcrawl(*words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "concurcrawl", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=100,  # a machine may be busy
        check=False,
    )


def test_help_lists_the_commands() -> None:
    done = concurcrawl("--help")
    assert done.returncode == 0
    assert "compare" in done.stdout
    assert "report" in done.stdout
    assert "advise" in done.stdout
    assert "testsite" in done.stdout


@pytest.mark.parametrize(
    ("command", "option"), [("compare", "--rounds"), ("testsite", "--latency")]
)
def test_a_command_has_help_of_its_own(command: str, option: str) -> None:
    done = concurcrawl(command, "--help")
    assert done.returncode == 0
    assert option in done.stdout


def test_the_old_name_of_the_test_site_still_works() -> None:
    done = concurcrawl("mirror", "--help")
    assert done.returncode == 0
    assert "--latency" in done.stdout
    assert done.stderr == "concurcrawl mirror is deprecated; use concurcrawl testsite\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["race"], "invalid choice: 'race'"),
        (["compare", "--fast"], "unrecognized arguments: --fast"),
        (["compare", "--rounds", "0"], "--rounds='0': must be"),
        (["testsite", "--port", "-1"], "--port"),
    ],
)
def test_a_wrong_word_is_told_in_one_line(words: list[str], sentence: str) -> None:
    done = concurcrawl(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
