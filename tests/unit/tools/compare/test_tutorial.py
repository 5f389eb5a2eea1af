"""The tutorial's table, beside the same made here."""

from __future__ import annotations

from concurcrawl.tools.compare import tutorial


def test_what_was_measured_here_stands_beside_the_tutorials_figures() -> None:
    headings, rows = tutorial.beside({"serial": 140.04, "concurrent": None})
    assert headings == ("", "tutorial", "here", "mode")
    assert rows == (
        ("one by one", "137.37 s", "140.0 s", "serial"),
        ("16 threads", "11.23 s", "failed", "concurrent"),
    )
