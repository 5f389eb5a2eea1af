"""What a node has to say to Redis, in order, and who waits for the answers."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from concurcrawl.errors import ConcurcrawlError, FrontierError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from concurcrawl.frontier.redis.protocol import Operation

T = TypeVar("T")

#: Operations in one exchange: Redis does nothing else meanwhile.
_BATCH = 500

#: What a node that was taken for dead says again when it has joined anew: it depends
#: on no lease.
_LASTING = {
    "push",
    "keep",
    "settle",
    "stat",
    "cookies",
    "limits",
    "slow_down",
    "fail",
    "change_limits",
}


@dataclass(frozen=True, slots=True)
class Said:
    """An operation and who waits for its answer.

    Attributes:
        args: Its name and arguments.
        hear: Called with the answer.
        fail: Called with the reason if there will be none.
    """

    args: Operation
    hear: Callable[[Any], None] | None = None
    fail: Callable[[Exception], None] | None = None


class Batcher:
    """What is to be said in the next exchanges.

    Invariant: who waits is told either the answer or why there is none.

    Attributes:
        loop: The event loop of those who wait; None until a node joins.
        due: Set when there is something to say.
        failure: Why nothing can be said any more, or None.
        is_closed: Whether nobody may ask any more.
    """

    def __init__(self) -> None:
        """Make an empty one."""
        self._waiting: deque[Said] = deque()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.due = asyncio.Event()
        self.failure: Exception | None = None
        self.is_closed = False

    def __len__(self) -> int:
        """Return how many operations wait."""
        return len(self._waiting)

    def say(
        self,
        args: Operation,
        hear: Callable[[Any], None] | None = None,
        fail: Callable[[Exception], None] | None = None,
    ) -> None:
        """Add an operation; where nothing can be said any more only *fail* hears."""
        if self.failure is not None:
            if fail is not None:
                fail(self.failure)
            return
        self._waiting.append(Said(args, hear, fail))
        self.due.set()

    def ask(self, args: Operation, read: Callable[[Any], T]) -> asyncio.Future[T]:
        """Say something and return the future of its answer, as *read* reads it.

        Raises:
            FrontierError: If it is closed.
        """
        if self.is_closed:
            raise FrontierError("frontier_closed", "the frontier is closed")
        answer: asyncio.Future[T] = _Answer(loop=self.loop)

        def hear(raw: Any) -> None:
            if answer.done():
                return
            try:
                answer.set_result(read(raw))
            except ConcurcrawlError as error:
                answer.set_exception(error)

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.say(args, hear, fail)
        return answer

    def take_back(self, args: Operation) -> bool:
        """Drop an operation; return whether it was still here."""
        found = next((one for one in self._waiting if one.args == args), None)
        if found is not None:
            self._waiting.remove(found)
        return found is not None

    def next_batch(self) -> list[Said]:
        """Take out what one exchange says."""
        count = min(_BATCH, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

    def say_again(self, refused: Sequence[Said]) -> None:
        """Of *refused* and of what waits, keep only what depends on no lease."""
        said = [*refused, *self._waiting]
        self._waiting.clear()
        for one in said:
            if one.args[0] in _LASTING:
                self._waiting.append(one)
            else:
                self.lose([one])

    def lose(self, refused: Sequence[Said]) -> None:
        """Tell who waits that others have what this was about."""
        for one in refused:
            if one.fail is not None:
                one.fail(LeaseLostError(0))

    def give_up(self, error: FrontierError, sent: Sequence[Said]) -> None:
        """Tell all who wait, for what was *sent* too, that there will be no answer."""
        self.failure = error
        for one in [*sent, *self._waiting]:
            if one.fail is not None:
                one.fail(error)
        self._waiting.clear()


class _Answer(asyncio.Future[T]):
    """An answer that nobody need wait for: an error that nobody sees is no news."""

    def set_exception(self, exception: Any, /) -> None:
        super().set_exception(exception)
        self.exception()  # marks it as seen
