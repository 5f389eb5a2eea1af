"""``concurcrawl report FILE``: the records of one crawl as a page."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from concurcrawl import cli
from concurcrawl.tracing.record import to_line
from tests.support.compare.made_up import RECORD

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "http://a.example/<script>alert(1)</script>"


def report(file: Path) -> tuple[int, str]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        return cli.main(["report", str(file)]), " ".join(text.getvalue().split())


def test_records_of_a_crawl_become_a_page(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    failed = replace(RECORD, url=EVIL, status=None, error="TimeoutError: <late>")
    late = replace(RECORD, asked_s=RECORD.asked_s + 1, done_s=RECORD.done_s + 1)
    file.write_text("".join(map(to_line, [RECORD, failed, late])), encoding="utf-8")
    assert report(file) == (0, f"Report: {tmp_path / 'shop.html'}")
    page = (tmp_path / "shop.html").read_text(encoding="utf-8")
    assert "<h1>A crawl: shop.jsonl</h1>" in page
    assert '<th scope="row">requests</th><td>3</td>' in page
    assert "TimeoutError: &lt;late&gt;" in page
    assert "<script>alert(1)" not in page
    assert all(f'id="chart-{n}"' in page for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "it is empty"), ("{}\n", "line 1 is not a record")],
)
def test_what_has_no_records_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(text, encoding="utf-8")
    code, printed = report(file)
    assert code == 2
    assert reason in printed
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]
