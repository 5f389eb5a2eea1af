from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.tools.compare import kept, phases
from concurcrawl.tools.compare.kept import (
    LARGE,
    RECORDS,
    KeptRecords,
    compress_if_large,
)
from concurcrawl.tools.compare.report.trace import _run as one_run
from concurcrawl.tracing.record import to_line
from tests.support.compare.crawls_made_up import crawl
from tests.support.compare.made_up import RECORD

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    (folder / RECORDS).write_text(to_line(RECORD) * count, encoding="utf-8")


def test_runs_are_read_when_they_are_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "a", 3)
    write(tmp_path / "b", 2)
    records = KeptRecords(tmp_path, ["a", "b", "none"])
    (tmp_path / "b" / RECORDS).write_text("no record\n", encoding="utf-8")
    assert set(records) == {"a", "b"}
    assert list(records["a"]) == [RECORD] * 3
    assert records["a"][0] == RECORD
    assert records.get("none", ()) == ()
    with pytest.raises(ConfigError, match="line 1 is not a record"):
        len(records["b"])


def test_a_large_file_is_compressed_and_read_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a", 5)
    compress_if_large(tmp_path / "a", LARGE)
    assert kept.file_name(LARGE) == RECORDS
    assert (tmp_path / "a" / RECORDS).exists()
    compress_if_large(tmp_path / "a", LARGE + 1)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"{RECORDS}.gz"]
    assert list(KeptRecords(tmp_path, ["a"])["a"]) == [RECORD] * 5
    (tmp_path / "a" / f"{RECORDS}.gz").write_bytes(b"\x1f\x8b\x08 cut")
    with pytest.raises(ConfigError, match="whole"):
        len(KeptRecords(tmp_path, ["a"])["a"])


def test_in_memory_there_are_never_many_runs(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / str(number), LARGE)
    records = KeptRecords(tmp_path, ["0", "1", "2"])
    assert [len(some) for some in records.values()] == [LARGE] * 3
    assert len(records._loaded) == 2


def test_a_trace_of_very_many_requests_has_the_begin_and_says_so() -> None:
    run, records = crawl("serial", waiting_s=0.1, cpu_s=0.01, pages=50)
    most = len(records) - 1
    assert list(phases.beginning(records, most)) == records[:-1]
    assert phases.beginning(records, len(records)) is records
    (name, *_) = one_run(1, run, records, most)
    assert name["args"]["name"] == f"{run.folder} (the first 50 of 51 requests)"


def test_a_line_of_very_many_steps_keeps_its_peaks() -> None:
    _, records = crawl("async", waiting_s=0.1, cpu_s=0.001, slots=16, pages=5000)
    steps = phases.in_flight(records)
    assert len(steps) <= 4000
    assert max(count for _, count in steps) == 16
    assert steps[-1] == (max(map(phases.end_of_transfer, records)), 0)
