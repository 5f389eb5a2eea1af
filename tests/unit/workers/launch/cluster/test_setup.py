"""What the settings of a cluster come to."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.config import Config
from concurcrawl.errors import ClusterError, ConfigError, MissingExtraError
from concurcrawl.modes import Mode, plan
from concurcrawl.workers.launch.cluster import dask, setup
from concurcrawl.workers.launch.cluster.engine import EngineLostError
from concurcrawl.workers.launch.cluster.setup import count_places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "address",
    ["scheduler:8786", "ucx://a:1", "tcp://a", "tcp://a:b", "tcp://:1", "/none.json"],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="of a Dask scheduler"):
        count_places(Config(cluster=address))


def test_a_scheduler_file_names_the_address(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "ucx://a:1"}), encoding="utf-8")
    with pytest.raises(ConfigError, match="'ucx://a:1'"):
        count_places(Config(cluster=str(file)))
    file.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}), encoding="utf-8")
    with pytest.raises(ClusterError, match=r"answers at tcp://127.0.0.1:9"):
        count_places(Config(cluster=str(file), cluster_timeout_s=1, cluster_wait_s=0))


def unanswered(cause: Exception) -> EngineLostError:
    error = EngineLostError(str(cause))
    error.__cause__ = cause
    return error


def test_a_scheduler_that_starts_together_with_the_crawl_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [*([unanswered(OSError("refused"))] * 3), 4]
    patience: list[float] = []

    def count_threads(_: str, timeout_s: float) -> int:
        patience.append(timeout_s)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    monkeypatch.setattr(dask, "count_threads", count_threads)
    monkeypatch.setattr(setup, "_PAUSE_S", 0)
    assert count_places(Config(cluster="tcp://a:1")) == 4
    assert patience == [5, 30, 30, 30]
    assert caplog.text.count("No Dask scheduler answers at tcp://a:1 (refused)") == 1

    answers.append(unanswered(ValueError("it has no TLS")))
    with pytest.raises(ClusterError, match="it has no TLS"):
        count_places(Config(cluster="tls://a:1"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_scheduler(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_threads(*_: object) -> int:
        signal.raise_signal(number)
        return 4

    heard: list[int] = []
    monkeypatch.setattr(dask, "count_threads", count_threads)
    before = signal.signal(number, lambda *_: heard.append(number))
    try:
        with pytest.raises(ClusterError, match="was stopped while it waited"):
            count_places(Config(cluster="tcp://a:1"))
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert heard == [number], "Scrapy's handlers are in place again"


def test_the_reason_is_what_was_behind_an_error_of_dask() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    late, closed = OSError("Timed out after 5 s"), OSError("in <TCPConnector>")
    late.__cause__ = TimeoutError()
    assert dask._reason(late) == "Timed out after 5 s"
    late.__cause__, closed.__cause__ = closed, refused
    assert dask._reason(late) == "Connection refused"


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "distributed", raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingExtraError, match=r"concurcrawl\[cluster\]"):
        count_places(Config(cluster="local"))


@pytest.mark.parametrize("address", ["7000", "host:", ":7000", "host:x", "host:70000"])
def test_other_addresses_to_listen_at_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="CONCURCRAWL_CLUSTER_LISTEN"):
        count_places(Config(cluster="local", cluster_listen=address))


@pytest.mark.parametrize(
    ("mode", "workers", "requests", "is_bound", "expected"),
    [
        (Mode.PARALLEL, 0, 16, False, ((1,) * 6, 0, False)),
        (Mode.PARALLEL, 2, 16, False, ((1,) * 2, 2, False)),
        (Mode.PARALLEL, 0, 4, True, ((1,) * 4, 4, False)),
        (Mode.HYBRID, 0, 16, False, ((3, 3, 3, 3, 2, 2), 16, True)),
        (Mode.HYBRID, 9, 12, False, ((2,) * 6, 9, True)),
        (Mode.HYBRID, 0, 0, False, ((16,) * 6, 0, False)),
        (Mode.ASYNC, 0, 8, False, ((8,), 1, False)),
    ],
)
def test_six_places_and_what_each_mode_makes_of_them(
    mode: Mode,
    workers: int,
    requests: int,
    is_bound: bool,
    expected: tuple[tuple[int, ...], int, bool],
) -> None:
    found = plan(
        mode,
        Config(cluster="local", workers=workers),
        concurrent_requests=requests,
        is_bound=is_bound,
        is_durable=True,
        places=6,
    )
    assert (found.slots, found.most, found.is_divided) == expected
