"""libcurl's multi interface on an asyncio loop: many transfers, no threads.

References:
    https://curl.se/libcurl/c/libcurl-multi.html ("Multi-socket")
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pycurl

from concurcrawl.http.handles import Certificates, CurlHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What libcurl waits for at a socket, as the directions of the loop.
_DIRECTIONS = {
    pycurl.POLL_IN: pycurl.CSELECT_IN,
    pycurl.POLL_OUT: pycurl.CSELECT_OUT,
    pycurl.POLL_INOUT: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}
#: CURLPIPE_NOTHING: a connection serves one transfer at a time, as in threads.
_NO_MULTIPLEXING = 0
#: Connections that are kept at least; more than in flight, for sites that take turns.
_KEPT = 128
#: A timeout that comes later than this finds a loop that something has blocked.
_LATE_S = 0.05


class AsyncMulti:
    """Transfers that share one set of connections. Used in the loop's thread only.

    Its handles set no callbacks for opening and closing sockets: a connection outlives
    the handle that opened it.

    Invariant: no code but this module's and the transfers' own callbacks runs within a
    call of libcurl, which may not be called again there.

    Args:
        width: Transfers that are expected at a time.
    """

    def __init__(self, width: int) -> None:
        self._loop = asyncio.get_running_loop()
        most = max(_KEPT, 2 * width)
        self._certificates = Certificates(2 * most)
        self._idle: list[CurlHandle] = []
        self._running: dict[pycurl.Curl, asyncio.Future[None]] = {}
        self._timeouts: dict[asyncio.Future[None], asyncio.TimerHandle] = {}
        self._directions: dict[int, int] = {}
        self._timer: asyncio.Handle | None = None
        self._is_closed = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, most)
        self._multi.setopt(pycurl.M_PIPELINING, _NO_MULTIPLEXING)

    @contextmanager
    def handle(self) -> Iterator[CurlHandle]:
        """Lend a handle for one transfer."""
        handle = self._idle.pop() if self._idle else CurlHandle(self._certificates)
        try:
            yield handle
        finally:
            if self._is_closed:
                handle.close()
            else:
                self._idle.append(handle)

    async def perform(self, handle: CurlHandle, timeout_s: float) -> None:
        """Make the transfer that *handle* is prepared for.

        Raises:
            pycurl.error: If libcurl gives up, or after *timeout_s* seconds.
        """
        done = self._running[handle.curl] = self._loop.create_future()
        # Not libcurl's own timeout: it would end a transfer whose answer has arrived
        # while a callback of the spider blocked the loop.
        due_s = self._loop.time() + timeout_s
        self._expire_at(due_s, handle.curl, done)
        try:
            self._multi.add_handle(handle.curl)
            # Not in the loop's next turn, as libcurl asks: the request would leave
            # after all that this turn has left to do.
            self._act(pycurl.SOCKET_TIMEOUT, 0)
            await done
        finally:
            self._timeouts.pop(done).cancel()
            self._remove(handle.curl)

    def abort(self, handle: CurlHandle) -> None:
        """End the transfer of *handle* and close its connection, if it is running."""
        self._fail(handle.curl, pycurl.E_ABORTED_BY_CALLBACK, "aborted")

    def close(self) -> None:
        """Abort all transfers and close all connections."""
        self._is_closed = True
        for curl in tuple(self._running):
            self._fail(curl, pycurl.E_ABORTED_BY_CALLBACK, "aborted")
        while self._idle:
            self._idle.pop().close()
        self._multi.close()
        self._set_timer(-1)
        for descriptor in tuple(self._directions):
            self._watch(pycurl.POLL_REMOVE, descriptor)

    def _expire_at(
        self, due_s: float, curl: pycurl.Curl, done: asyncio.Future[None]
    ) -> None:
        # By the future: the handle may serve another transfer when a timer fires.
        self._timeouts[done] = self._loop.call_at(
            due_s, self._expire, due_s, curl, done
        )

    def _expire(
        self, due_s: float, curl: pycurl.Curl, done: asyncio.Future[None]
    ) -> None:
        late_s = self._loop.time() - due_s
        if late_s > _LATE_S:
            # What has arrived meanwhile gets the chance to be read.
            self._expire_at(self._loop.time() + late_s, curl, done)
        elif not done.done():
            self._fail(curl, pycurl.E_OPERATION_TIMEDOUT, "timed out")

    def _fail(self, curl: pycurl.Curl, code: int, message: str) -> None:
        done = self._running.get(curl)
        if done is None:
            return
        self._remove(curl)
        if not done.done():
            done.set_exception(pycurl.error(code, message))

    def _remove(self, curl: pycurl.Curl) -> None:
        if self._running.pop(curl, None) is not None:
            self._multi.remove_handle(curl)

    def _act(self, descriptor: int, directions: int) -> None:
        """Let libcurl read and write, then resolve what has ended."""
        self._multi.socket_action(descriptor, directions)
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                done = self._running[curl]
                self._remove(curl)
                if not done.done():
                    done.set_result(None)
            for curl, code, message in failed:
                self._fail(curl, code, message)

    def _set_timer(self, delay_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay_ms == 0:
            self._timer = self._loop.call_soon(self._on_timer)
        elif delay_ms > 0:
            self._timer = self._loop.call_later(delay_ms / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _watch(self, event: int, descriptor: int, *_: Any) -> None:
        """Wait at a socket for what libcurl wants to know."""
        before = self._directions.pop(descriptor, 0)
        wanted = _DIRECTIONS.get(event, 0)
        if wanted:
            self._directions[descriptor] = wanted
        for direction, add, remove in (
            (pycurl.CSELECT_IN, self._loop.add_reader, self._loop.remove_reader),
            (pycurl.CSELECT_OUT, self._loop.add_writer, self._loop.remove_writer),
        ):
            if wanted & direction and not before & direction:
                add(descriptor, self._act, descriptor, direction)
            elif before & direction and not wanted & direction:
                remove(descriptor)
