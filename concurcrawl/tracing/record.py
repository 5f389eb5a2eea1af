"""One record per request: when it was sent, where it ran, how long it took.

Records are sent between processes and written to files, so they hold plain values only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The name of the event loop's thread in records.
REACTOR = "reactor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The trace of one request.

    All times are seconds since the epoch, as ``time.time()`` gives them, so that
    processes of one machine can be laid on one axis.

    Attributes:
        url: URL of the request.
        status: HTTP status, or None if no response came.
        size_bytes: Body as it came over the network, before decoding; 0 if none came.
        worker: ``main`` or ``worker-N``.
        pid: The process that downloaded it and ran its callback.
        thread: Name of the thread that downloaded it, ``reactor`` for the event loop's.
        queued_s: When it was pushed to the frontier.
        asked_s: When it reached the downloader.
        first_byte_s: When its headers had come, or None.
        downloaded_s: When its body had come, or None.
        done_s: When its callback had ended.
        callback_cpu_s: CPU seconds of its callback.
        error: Class and message of the exception if it failed, or None.
        connect_s: Seconds for name resolution, connection and TLS handshake; 0 on an
            open connection. None if it was not measured apart from the wait for the
            first byte.
        pipeline_s: Seconds in which at least one of its items was in the pipelines.
            Before ``done_s`` if the worker is ``main``, else after it. None if it was
            not measured.
        pipeline_cpu_s: CPU seconds of those, in the thread that runs the pipelines;
            None likewise.
        method: HTTP method of the request.
        retries: How often it had been made before, as Scrapy's retry middleware counts.
    """

    url: str
    status: int | None
    size_bytes: int
    worker: str
    pid: int
    thread: str
    queued_s: float
    asked_s: float
    first_byte_s: float | None
    downloaded_s: float | None
    done_s: float
    callback_cpu_s: float
    error: str | None
    connect_s: float | None = None
    pipeline_s: float | None = None
    pipeline_cpu_s: float | None = None
    method: str = "GET"
    retries: int = 0

    def shifted(self, offset_s: float) -> Record:
        """Return this record as the clock of another machine shows it.

        Args:
            offset_s: Seconds to add. When the request was queued is left as it is: the
                supervisor's clock has shown that.
        """
        times = ("asked_s", "first_byte_s", "downloaded_s", "done_s")
        known = {name: getattr(self, name) for name in times}
        moved = {name: at + offset_s for name, at in known.items() if at is not None}
        return replace(self, **moved)


def to_line(record: Record) -> str:
    """Return *record* as one line of JSON, with its newline."""
    # In ASCII: U+2028 and its like would end a line, lone surrogates have no UTF-8.
    return json.dumps(asdict(record), ensure_ascii=True) + "\n"


def from_lines(lines: Iterable[str]) -> Iterator[Record]:
    """Read what :func:`to_line` wrote, in this version, an earlier or a later one.

    Keys of later versions are ignored; keys that earlier ones lack are None.

    Raises:
        ValueError: If a line is not a record.
    """
    names = [f.name for f in fields(Record)]
    for number, line in enumerate(lines, 1):
        try:
            raw = json.loads(line)
            yield Record(**{key: raw[key] for key in names if key in raw})
        except (ValueError, TypeError) as error:
            raise ValueError(f"line {number} is not a record: {line[:80]!r}") from error
