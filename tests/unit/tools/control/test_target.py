"""What a command says when there is no crawl, or it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from concurcrawl.control.address import FILE
from tests.integration.control.commands import steer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["stop", "{}/none"], 1, "it does not exist (without a JOBDIR it goes when"),
        (["stop", "{}"], 1, "no crawl with a door runs; start the crawl with"),
        (["stop", "{}/other.json"], 1, "does not say where a control door is"),
        (["stop", "{}/dead"], 1, "no crawl answers at unix:"),
        (["stop", "http://127.0.0.1:1"], 1, "no crawl answers at http://127.0.0.1:1"),
        (["stop", "http://127.0.0.1:x"], 1, "no crawl answers at http://127.0.0.1:x"),
        (["stop", "{}", "--job", "a"], 1, "--job goes with a redis:// address"),
        (["stop", "redis:///", "--job", "a"], 1, "must be like redis://host:6379/0"),
        (["add", "{}"], 2, "must be at least one, here, in a --file or by -"),
        (["add", "{}", "--file", "{}/none"], 2, "No such file"),
        (["add", "{}", "http://a/", "--file", "f"], 2, "must be left out where URLs"),
        (["limits", "{}", "a"], 2, "--in-flight=None: must be given, or --delay"),
        (["limits", "{}", "a", "--in-flight", "0"], 2, "must be a whole number >= 1"),
        (["limits", "{}", "a", "--delay", "x"], 2, "must be a number >= 0 (seconds)"),
    ],
)
def test_a_command_fails_with_one_sentence(
    words: list[str], code: int, why: str, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "dead").mkdir()
    found = {"address": f"unix:{tmp_path}/gone.sock"}
    (tmp_path / "dead" / FILE).write_text(json.dumps(found))
    words = [word.format(tmp_path) for word in words]
    exit_code, said = steer(*words)
    assert (exit_code, said.count("concurcrawl ")) == (code, 1)
    assert why in said
