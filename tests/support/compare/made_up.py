"""Invented runs and records, for tests of the pure parts."""

from __future__ import annotations

from dataclasses import replace

from concurcrawl.tools.compare.runs import Run
from concurcrawl.tools.compare.setup import Setup
from concurcrawl.tracing.record import Record

SLOTS = {"serial": 1, "concurrent": 16, "async": 16, "parallel": 2, "hybrid": 16}

SETUP = Setup(slots=SLOTS, processes={"parallel": 2, "hybrid": 2, "serial": 1}, cores=2)

PAGES = tuple((f"Page_{n}.html", f"{n:064x}") for n in range(10))

RUN = Run(
    mode="serial",
    round=1,
    status="ok",
    reason=None,
    exit_code=0,
    started_s=1000.0,
    wall_s=10.0,
    cpu_s=2.0,
    peak_rss_bytes=100 << 20,
    peak_pss_bytes=80 << 20,
    peak_processes=1,
    strays=0,
    sampling_cpu_s=0.1,
    machine_cpu_s=None,
    startup_s=0.8,
    steady_s=9.0,
    requests=11,
    failures=0,
    peak_in_flight=1,
    peak_in_flight_seen_by="test site",
    site_cpu_s=0.5,
    pages=PAGES,
    items=10,
    items_digest="same",
    folder="save/serial-1",
)

RECORD = Record(
    url="http://127.0.0.1:1/a",
    status=200,
    size_bytes=10,
    worker="main",
    pid=1,
    thread="reactor",
    queued_s=1000.0,
    asked_s=1001.0,
    first_byte_s=1001.2,
    downloaded_s=1001.5,
    done_s=1002.0,
    callback_cpu_s=0.1,
    error=None,
)


def run(mode: str, wall_s: float, **changes: object) -> Run:
    return replace(RUN, mode=mode, wall_s=wall_s, **changes)  # type: ignore[arg-type] # what differs is up to the test


def failed(mode: str, reason: str) -> Run:
    return run(
        mode, 1.0, status="failed", reason=reason, exit_code=1, pages=(), items=0
    )
