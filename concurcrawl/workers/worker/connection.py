"""A worker's end of the connection to its supervisor."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from concurcrawl.workers.protocol import framing
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.questions import Answer, Ask

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from concurcrawl.workers.protocol.messages.directions import ToSupervisor
    from concurcrawl.workers.protocol.messages.questions import Question

M = TypeVar("M")

#: Seconds that :meth:`Connection.exchange` blocks the event loop at most.
_ANSWER_S = 1.0

#: Seconds between two looks at whether all was written.
_DRAIN_S = 0.1


class Connection:
    """Sends messages, asks questions and keeps what has arrived.

    Invariant: between :meth:`close` and the end of the process only
    :meth:`send_last` sends.

    Attributes:
        received: Messages that have arrived and are not dispatched yet.
        is_reading: Whether they are dispatched. Pausing the transport instead would not
            do: as long as it is being made, an event loop may read all the same.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.received: deque[Any] = deque()
        self.is_reading = False
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._numbers = count()
        self._questions: dict[int, asyncio.Future[bytes]] = {}

    @property
    def is_open(self) -> bool:
        """Whether messages are sent."""
        return self._transport is not None

    async def open(self, protocol: asyncio.Protocol) -> None:
        """Hand the socket to the running event loop and *protocol*.

        Nothing is dispatched before :meth:`start_reading`.
        """
        await framing.connect(self._sock, lambda: protocol)

    def made(self, transport: asyncio.Transport) -> None:
        """Send over *transport* from now on."""
        self._transport = transport

    def start_reading(self) -> None:
        """Dispatch what the supervisor has sent and will send."""
        assert self._transport is not None
        self.is_reading = True
        self._dispatch_soon()

    def feed(self, data: bytes) -> None:
        """Add the messages that *data* completes to ``received``."""
        self.received += self._frames.feed(data)

    def send(self, message: ToSupervisor) -> None:
        """Send *message* as soon as the socket takes it; not after :meth:`close`."""
        if self._transport is not None:
            self._transport.write(frame(message))

    async def ask(self, question: Question) -> bytes:
        """Send *question* and return the supervisor's answer.

        Raises:
            Exception: The error that the supervisor answered with.
        """
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        self.send(Ask(number, question))
        return await answer

    def on_answer(self, message: Answer) -> None:
        """Give an answer to the task that waits for it."""
        future = self._questions.pop(message.number)
        if future.done():
            return
        if message.error is not None:
            future.set_exception(message.error)
        else:
            future.set_result(message.value)

    def exchange(
        self,
        message: ToSupervisor,
        kind: type[M],
        on_answer: Callable[[M], None],
        is_answered: Callable[[], bool],
    ) -> bool:
        """Send *message* and block until it is answered, a second at most.

        For a caller that cannot await: code that reads a stat. The supervisor answers
        in about a millisecond. Other messages that arrive meanwhile are dispatched in
        the next turn of the event loop, in their order.

        Args:
            message: The message.
            kind: Class of the answer.
            on_answer: Called with each message of that class.
            is_answered: Returns whether the answer was among them.

        Returns:
            Whether the answer is there or was waited for. Not if other messages are
            still to be sent: this one would have to wait for them.
        """
        if self._transport is None:
            return True  # the crawl ends; there will be no answer
        if not framing.send_now(self._sock, self._transport, frame(message)):
            return False
        for answer in framing.messages(self._sock, self._frames, _ANSWER_S):
            if isinstance(answer, kind):
                on_answer(answer)
            else:
                self.received.append(answer)
            if is_answered():
                break
        self._dispatch_soon()
        return True

    def _dispatch_soon(self) -> None:
        # The protocol dispatches all that was received whenever data arrives.
        assert self._transport is not None
        dispatch = self._transport.get_protocol().data_received  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_soon(dispatch, b"")

    async def close(self) -> None:
        """Return when all was written that is due; then send nothing more."""
        assert self._transport is not None
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - once a crawl
            await asyncio.sleep(_DRAIN_S)
        self._transport = None

    def send_last(self, message: ToSupervisor) -> None:
        """Send *message* now, from outside of the event loop, which has ended."""
        self._sock.setblocking(True)
        self._sock.sendall(frame(message))


class MessageDispatcher(asyncio.Protocol):
    """Calls the handler of each message that arrives."""

    def __init__(
        self,
        connection: Connection,
        handlers: Mapping[type, Callable[[Any], None]],
        on_batch: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            connection: Keeps the messages until their turn.
            handlers: One for each class of messages.
            on_batch: Called after the messages that arrived together.
            on_lost: Called when the connection is closed, by whichever end.
        """
        self._connection = connection
        self._handlers = handlers
        self._on_batch = on_batch
        self._on_lost = on_lost

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Here, not when the connection is open: data may be read before that.
        # uvloop's transports are no subclass of asyncio's.
        self._connection.made(transport)  # type: ignore[arg-type]

    @override
    def data_received(self, data: bytes) -> None:
        self._connection.feed(data)
        # An engine that is not running yet could neither work nor stop.
        if not self._connection.is_reading:
            return
        # A handler may block in exchange(), which adds to what has been received.
        while self._connection.received:
            message = self._connection.received.popleft()
            self._handlers[type(message)](message)
        self._on_batch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()
