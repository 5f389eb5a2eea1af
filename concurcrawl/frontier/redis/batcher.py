"""The operations of a node that wait for an exchange, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from concurcrawl.errors import ConcurcrawlError, FrontierError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from concurcrawl.frontier.redis.operations import Operation

T = TypeVar("T")

#: Operations in one exchange: Redis does nothing else meanwhile.
_BATCH = 500

#: Bytes of payloads after which an exchange takes no more operations. Redis refuses an
#: argument of 512 MB, and has all of it in memory twice while the script runs.
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An operation and what to call with its answer.

    Attributes:
        operation: The operation.
        on_answer: Called with the answer.
        on_failure: Called with the reason if there will be none.
    """

    operation: Operation
    on_answer: Callable[[Any], None] | None = None
    on_failure: Callable[[Exception], None] | None = None


class Batcher:
    """Collects operations for the next exchanges.

    Invariant: for each operation that asks for it, either the answer or the reason why
    there is none is reported, once.

    Attributes:
        loop: The event loop of the answers; None until a node joins.
        due: Set when an operation waits.
        failure: Why nothing can be sent any more, or None.
        is_closed: Whether :meth:`call` raises.
    """

    def __init__(self) -> None:
        """Make an empty one."""
        self._waiting: deque[Outgoing] = deque()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.due = asyncio.Event()
        self.failure: Exception | None = None
        self.is_closed = False

    def __len__(self) -> int:
        """Return how many operations wait."""
        return len(self._waiting)

    def send(
        self,
        operation: Operation,
        on_answer: Callable[[Any], None] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """Add an operation; if nothing can be sent any more, call only *on_failure*."""
        if self.failure is not None:
            if on_failure is not None:
                on_failure(self.failure)
            return
        self._waiting.append(Outgoing(operation, on_answer, on_failure))
        self.due.set()

    def call(self, operation: Operation, read: Callable[[Any], T]) -> asyncio.Future[T]:
        """Add an operation and return the future of its answer, as *read* reads it.

        Raises:
            FrontierError: If it is closed.
        """
        if self.is_closed:
            raise FrontierError("frontier_closed", "the frontier is closed")
        answer: asyncio.Future[T] = _Answer(loop=self.loop)

        def on_answer(raw: Any) -> None:
            if answer.done():
                return
            try:
                answer.set_result(read(raw))
            except ConcurcrawlError as error:
                answer.set_exception(error)

        def on_failure(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.send(operation, on_answer, on_failure)
        return answer

    def withdraw(self, operation: Operation) -> bool:
        """Drop an operation; return whether it was still here."""
        found = next((one for one in self._waiting if one.operation == operation), None)
        if found is not None:
            self._waiting.remove(found)
        return found is not None

    def next_batch(self) -> list[Outgoing]:
        """Take out the operations of one exchange: those that wait, or the first."""
        batch: list[Outgoing] = []
        size = 0
        while self._waiting and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += batch[-1].operation.size
        return batch

    def resend(self, refused: Sequence[Outgoing]) -> None:
        """Of *refused* and of those that wait, keep only what depends on no lease."""
        outgoing = [*refused, *self._waiting]
        self._waiting.clear()
        for one in outgoing:
            if one.operation.needs_lease:
                self.lose([one])
            else:
                self._waiting.append(one)

    def lose(self, refused: Sequence[Outgoing]) -> None:
        """Report of *refused* that the leases were lost."""
        for one in refused:
            if one.on_failure is not None:
                one.on_failure(LeaseLostError(0))

    def give_up(self, error: FrontierError, sent: Sequence[Outgoing]) -> None:
        """Report *error* for all operations, also for those that were *sent*."""
        self.failure = error
        for one in [*sent, *self._waiting]:
            if one.on_failure is not None:
                one.on_failure(error)
        self._waiting.clear()


class _Answer(asyncio.Future[T]):
    """An answer that need not be awaited: asyncio does not warn of its error."""

    @override
    def set_exception(self, exception: Any, /) -> None:
        super().set_exception(exception)
        self.exception()  # marks it as seen
