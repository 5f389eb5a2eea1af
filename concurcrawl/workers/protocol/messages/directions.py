"""Which messages go which way."""

from __future__ import annotations

from concurcrawl.workers.protocol.messages.leases import (
    Dispatch,
    Idle,
    Recall,
    Returned,
)
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    Failed,
    FileOpened,
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Ready,
    Stop,
    WorkerInit,
)
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
    Throttled,
)
from concurcrawl.workers.protocol.messages.questions import Answer, Ask
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult
from concurcrawl.workers.protocol.messages.signals import Subscribe
from concurcrawl.workers.protocol.messages.state import (
    ChangeState,
    ReadStats,
    SetAttributes,
    SetCookies,
    SetState,
    SetStats,
)

ToWorker = (
    WorkerInit
    | Dispatch
    | Subscribe
    | SetCookies
    | SetState
    | ChangeState
    | SetAttributes
    | SetStats
    | Throttled
    | SlotChanged
    | Recall
    | Pause
    | Answer
    | Ping
    | Inspect
    | Drain
    | Stop
)
#: What concerns requests, their limits and the engine, but not the worker's own state.
Traffic = (
    Ask
    | Idle
    | Returned
    | RequestSent
    | RequestLeft
    | CrawlDelay
    | SlotChanged
    | FileOpened
    | Pause
)
ToSupervisor = (
    Ready
    | Failed
    | Pong
    | Inspected
    | PartialResult
    | RequestResult
    | ReadStats
    | Traffic
)
