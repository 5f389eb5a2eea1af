"""The test site's log: when each request came and went."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, fields

LOG_PATH = "/_testsite/log"

MOST_ENTRIES = 200_000
_LONGEST_TEXT = 500  # a client chooses paths and agents


@dataclass(slots=True, kw_only=True)
class LogEntry:
    """One request.

    Attributes:
        t: When it arrived, in seconds of the system's monotonic clock
            (``time.monotonic`` of every process on the machine).
        done: When the last byte of its answer was with the operating system, or the
            connection was gone; None while it is under way.
        path: As requested, with the query.
        group: The name in its ``Host`` header, without the port.
        agent: Its ``User-Agent``.
        status: Of the answer; None if there was none.
        fault: How the answer was spoilt; None if it was not.
        in_flight_at_arrival: Requests under way on all hosts, this one included.
    """

    t: float
    done: float | None = None
    path: str
    group: str
    agent: str
    status: int | None = None
    fault: str | None = None
    in_flight_at_arrival: int


class RequestLog:
    """The last requests, oldest first. One thread only.

    Args:
        most: Older entries make room for newer ones above this number.
    """

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=most)

    def add(self, entry: LogEntry) -> None:
        """Keep *entry*; how it ends is filled in later."""
        entry.path = entry.path[:_LONGEST_TEXT]
        entry.agent = entry.agent[:_LONGEST_TEXT]
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()

    def to_json_lines(self) -> str:
        """Return one JSON object a line."""
        return "".join(f"{json.dumps(asdict(entry))}\n" for entry in self._entries)


def from_json_lines(text: str) -> list[LogEntry]:
    """Read what :meth:`RequestLog.to_json_lines` wrote.

    Raises:
        ValueError: If *text* is no such log.
    """
    names = [field.name for field in fields(LogEntry)]
    try:
        rows = [json.loads(line) for line in text.split("\n") if line]
        return [LogEntry(**{name: row[name] for name in names}) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the test site's log: {text[:80]!r}") from error
