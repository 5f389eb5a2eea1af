from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.tracing.record import Record, from_lines, to_line

RECORD = Record(
    url="http://a.example/Åland",
    status=200,
    size_bytes=600_000,
    worker="worker-1",
    pid=42,
    thread="download_3",
    queued_s=1.5,
    asked_s=2.5,
    first_byte_s=2.75,
    downloaded_s=3.0,
    done_s=3.125,
    callback_cpu_s=0.0625,
    error=None,
)

FAILED = Record(
    url="http://a.example/\n\u2028",
    status=None,
    size_bytes=0,
    worker="main",
    pid=42,
    thread="reactor",
    queued_s=1.5,
    asked_s=2.5,
    first_byte_s=None,
    downloaded_s=None,
    done_s=3.125,
    callback_cpu_s=0.0,
    error='DownloadTimeoutError: took "longer"',
)


def test_a_record_is_a_line_of_json_with_each_field() -> None:
    line = to_line(RECORD)
    assert line.endswith("\n")
    assert json.loads(line) == asdict(RECORD)


def test_what_was_written_is_read() -> None:
    text = to_line(RECORD) + to_line(FAILED)
    assert list(from_lines(text.splitlines())) == [RECORD, FAILED]


#: Lone surrogates too: what a server sends may be decoded to them.
any_text = st.text(st.characters(exclude_categories=()))


@given(url=any_text, error=st.none() | any_text, at_s=st.floats(allow_nan=False))
def test_any_text_and_time_survives_a_file(
    url: str, error: str | None, at_s: float
) -> None:
    record = Record(**{**asdict(RECORD), "url": url, "error": error, "done_s": at_s})
    written = to_line(record).encode()
    assert list(from_lines(written.decode().splitlines())) == [record]


def test_what_a_later_version_adds_is_passed_over() -> None:
    line = json.dumps({**asdict(RECORD), "protocol": "h3"})
    assert list(from_lines([line])) == [RECORD]


@pytest.mark.parametrize("line", ["", "{}", "[1, 2]", "null", to_line(RECORD)[:-9]])
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is not a record: ") as raised:
        list(from_lines([to_line(RECORD), line]))
    assert repr(line[:80]) in str(raised.value)


def test_a_record_of_an_earlier_version_does_not_tell_what_came_later() -> None:
    raw = json.loads(to_line(RECORD))
    for name in ("connect_s", "pipeline_s", "pipeline_cpu_s"):
        del raw[name]
    (record,) = from_lines([json.dumps(raw)])
    assert record == RECORD
    assert record.connect_s is None


def test_a_record_of_another_clock_is_moved_but_for_when_it_was_queued() -> None:
    moved = RECORD.shifted(10.0)
    assert moved.queued_s == RECORD.queued_s
    assert moved.asked_s == RECORD.asked_s + 10.0
    assert moved.done_s == RECORD.done_s + 10.0
    assert FAILED.shifted(10.0).first_byte_s is None
