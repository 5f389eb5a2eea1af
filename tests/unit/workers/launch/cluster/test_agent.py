"""What an agent reports of the machine that it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from concurcrawl.workers.launch.cluster import agent
from concurcrawl.workers.launch.cluster.order import Order, versions

if TYPE_CHECKING:
    import pytest


def test_an_error_that_no_one_thought_of_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RecursionError("too deep")

    monkeypatch.setattr(agent, "_connected", fail)
    order = Order(
        host="127.0.0.1",
        port=1,
        key=b"",
        number=1,
        archive="",
        main=b"",
        versions=versions(),
        has_tls=False,
        timeout_s=1.0,
    )
    report = agent.run(order, "node7")
    assert report.machine == "node7"
    assert (
        "no worker can be started there: RecursionError('too deep')" in report.problem
    )
