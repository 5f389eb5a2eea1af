"""Messages about what all processes share: cookies, spider state, stats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from concurcrawl.workers.protocol.cookies import CookieChange


@dataclass(frozen=True, slots=True)
class SetCookies:
    """Supervisor to worker: cookies that another process got or dropped."""

    changes: tuple[CookieChange, ...]


@dataclass(frozen=True, slots=True)
class SetState:
    """Supervisor to worker, at its start: all of ``spider.state``.

    Attributes:
        payload: The dict, pickled.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class ChangeState:
    """Supervisor to worker: changes of ``spider.state`` in other processes."""

    changes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Supervisor to worker: plain attributes of the spider that changed there.

    Attributes:
        changes: Encoded pairs of a name and its
            :data:`~concurcrawl.durable.state.Change`.
    """

    changes: bytes


class ReadStats(NamedTuple):
    """Worker to supervisor: send the total of a stat, now and whenever it changes.

    Attributes:
        number: Matches the :class:`SetStats` that answers.
        key: The stat; None for all of them.
    """

    number: int
    key: str | None


class SetStats(NamedTuple):
    """Supervisor to worker: changed totals of the stats that the worker reads.

    Attributes:
        values: Totals by key, encoded.
        results: How many of the worker's results are included in them.
        number: That of the :class:`ReadStats` that this answers, or None.
    """

    values: bytes
    results: int
    number: int | None = None
