"""What a worker has logged, as the supervisor logs it."""

from __future__ import annotations

import pickle

import pytest

from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.protocol.messages.results import LogLine


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_line_has_the_time_of_our_clock(
    is_whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    about = {"created": 1000.25, "msecs": 250.0, "exc_info": None, "extra": 7}
    whole = pickle.dumps(about) if is_whole else None
    line = LogLine("spider", 30, 1000.25, "a message", None, whole)
    with caplog.at_level("INFO"):
        log_forwarding.log(line, "worker-1@there", None, pickle.loads, offset_s=-60.5)
    (record,) = caplog.records
    assert (record.created, record.msecs) == (939.75, 750.0)
    assert record.getMessage() == "[worker-1@there] a message"
    assert getattr(record, "extra", None) == (7 if is_whole else None)
