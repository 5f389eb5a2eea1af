"""What is committed to the frontier in one step."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Completed, Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Sequence

    from concurcrawl.durable.kept_state import KeptState, StateChanges
    from concurcrawl.durable.own_filter import Answers, DurableFilter
    from concurcrawl.frontier.base import Entry, Frontier, Lease, Output
    from concurcrawl.frontier.sqlite import SqliteFrontier


@dataclass(slots=True)
class RequestCommit:
    """What came of a request, or of none.

    Attributes:
        entries: The requests to push.
        lease: The lease to end, or None.
        items: The items to keep.
        output: The output of ``start()`` that the request is, if it is one.
        answers: What a filter of the project's own has answered.
        state: Changes of ``spider.state``.
        claims: Fingerprints of requests that were done as a part of the lease.
    """

    entries: Iterable[Entry]
    lease: Lease | None = None
    items: Iterable[bytes] = ()
    output: Output | None = None
    answers: Answers | None = None
    state: StateChanges | None = None
    claims: Sequence[bytes] = ()


def commit_to(frontier: Frontier, commit: RequestCommit) -> Awaitable[Completed]:
    """Commit requests and items, and end the lease.

    Raises:
        LeaseLostError: If others hold the lease; nothing was done.
    """
    if commit.lease is not None:
        return frontier.ack(commit.lease.lease_id, commit.entries, commit.items)
    # Both before either is awaited: over Redis they are one exchange.
    pushed = frontier.push(commit.entries, None, commit.output)
    items = [*commit.items]
    kept = frontier.keep(items, {}) if items else Done([])
    if isinstance(pushed, Done) and isinstance(kept, Done):
        return Done(Completed(pushed.value, kept.value))
    return _both(pushed, kept)


async def _both(pushed: Awaitable[list[bool]], kept: Awaitable[list[int]]) -> Completed:
    return Completed(await pushed, await kept)


class JobCommitter:
    """Commits to a file what the parts of a ``JOBDIR`` have to note in the same step.

    Invariant: no code of the project runs within the transaction.
    """

    def __init__(
        self,
        frontier: SqliteFrontier,
        own_filter: DurableFilter | None,
        state: KeptState | None,
    ) -> None:
        self._frontier = frontier
        self._own_filter = own_filter
        self._state = state

    def commit(self, commit: RequestCommit) -> Awaitable[Completed]:
        """Commit all of it or nothing."""
        if self._is_one_call(commit):
            return commit_to(self._frontier, commit)
        with self._transaction(commit):
            return commit_to(self._frontier, commit)

    def _is_one_call(self, commit: RequestCommit) -> bool:
        has_more = commit.answers or commit.state or commit.claims
        return not has_more and (commit.lease is not None or not commit.items)

    @contextmanager
    def _transaction(self, commit: RequestCommit) -> Iterator[None]:
        with self._frontier.transaction():
            if self._own_filter is not None:
                if commit.answers is not None:
                    self._own_filter.commit(commit.answers)
                self._own_filter.resolve(commit.claims)
            if self._state is not None and commit.state is not None:
                self._state.commit(commit.state)
            yield
