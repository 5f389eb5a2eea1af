"""Threads for blocking calls, with a reactor or without one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from scrapy.exceptions import CannotResolveHostError, DownloadTimeoutError
from scrapy.utils.asyncio import is_asyncio_available
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IResolutionReceiver
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IHostResolution

_T = TypeVar("_T")


class Threads(ABC):
    """Threads beside an event loop. Only :meth:`call_soon` is safe in every thread."""

    @abstractmethod
    async def run(self, blocking: Callable[[], _T]) -> _T:
        """Run *blocking* in a thread. Cancelling does not end the thread."""

    @abstractmethod
    def call_soon(self, call: Callable[[], object]) -> None:
        """Run *call* in the loop's thread soon. Safe in every thread."""

    @abstractmethod
    async def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Return the addresses of *host*: one or more.

        Raises:
            CannotResolveHostError: If there is none.
            DownloadTimeoutError: If it takes longer than *timeout_s* seconds.
        """

    @abstractmethod
    def at_exit(self, call: Callable[[], object]) -> None:
        """Run *call* at the end of the process, before it waits for the threads."""

    @abstractmethod
    def close(self) -> None:
        """Accept no more calls, and drop those of :meth:`at_exit`."""


class ReactorThreads(Threads):
    """The reactor's own thread pool.

    On asyncio's reactor threads call its loop directly: ``callFromThread()`` would make
    a timer for each call.
    """

    def __init__(self) -> None:
        # Not at import time: this installs a reactor if there is none.
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._exit_triggers: list[Any] = []
        self._loop = asyncio.get_running_loop() if is_asyncio_available() else None

    async def run(self, blocking: Callable[[], _T]) -> _T:
        """Run *blocking* in the pool."""
        if self._loop is None:
            # Imports the reactor as well.
            from twisted.internet.threads import deferToThreadPool

            pool = self._reactor.getThreadPool()
            deferred = deferToThreadPool(self._reactor, pool, blocking)
            return await maybe_deferred_to_future(deferred)
        loop, done = self._loop, self._loop.create_future()

        def finish(is_success: bool, result: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, done, is_success, result)

        self._reactor.getThreadPool().callInThreadWithCallback(finish, blocking)
        result: _T = await done
        return result

    def call_soon(self, call: Callable[[], object]) -> None:
        """Run *call* in the reactor's thread."""
        if self._loop is None:
            self._reactor.callFromThread(call)
        else:
            self._loop.call_soon_threadsafe(call)

    async def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Resolve *host* as Scrapy's own handlers do."""
        # By the reactor and not by libcurl, so that Scrapy's DNS settings have their
        # effect and names resolve as with Scrapy's own handlers.
        receiver = _Addresses()
        self._reactor.nameResolver.resolveHostName(receiver, host, portNumber=port)
        receiver.found.addTimeout(timeout_s, self._reactor)
        try:
            found = await maybe_deferred_to_future(receiver.found)
        except DeferredTimeoutError as error:
            raise DownloadTimeoutError(
                f"Looking up {host} took longer than {timeout_s} seconds."
            ) from error
        except DNSLookupError as error:
            raise CannotResolveHostError(f"{host}: {error}") from error
        if not found:
            raise CannotResolveHostError(f"{host}: no address found")
        return found

    def at_exit(self, call: Callable[[], object]) -> None:
        """Run *call* before the reactor joins its pool."""
        trigger = self._reactor.addSystemEventTrigger("before", "shutdown", call)
        self._exit_triggers.append(trigger)

    def close(self) -> None:
        """Leave the pool to the reactor."""
        while self._exit_triggers:
            try:
                self._reactor.removeSystemEventTrigger(self._exit_triggers.pop())
            except ValueError:  # the reactor is stopping and has run it
                continue


def _settle(done: asyncio.Future[Any], is_success: bool, result: Any) -> None:
    if done.done():  # cancelled
        return
    if is_success:
        done.set_result(result)
    else:
        assert isinstance(result, Failure)
        assert result.value is not None
        done.set_exception(result.value)


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses that a name resolver finds."""

    def __init__(self) -> None:
        self.found: Deferred[list[str]] = Deferred()
        self._hosts: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803 - Twisted's names
        """Do nothing."""

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802
        """Keep one address."""
        host = getattr(address, "host", None)
        if host and host not in self._hosts:
            self._hosts.append(host)

    def resolutionComplete(self) -> None:  # noqa: N802
        """Resolve ``found`` with the addresses."""
        if not self.found.called:
            self.found.callback(self._hosts)


class LoopThreads(Threads):
    """An executor beside the running asyncio loop, for Scrapy without a reactor.

    Not the loop's default executor: that has five threads on a small machine.

    Args:
        count: Maximum number of threads.
    """

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="download")

    async def run(self, blocking: Callable[[], _T]) -> _T:
        """Run *blocking* in the executor."""
        return await self._loop.run_in_executor(self._executor, blocking)

    def call_soon(self, call: Callable[[], object]) -> None:
        """Run *call* in the loop."""
        self._loop.call_soon_threadsafe(call)

    async def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Resolve *host* as asyncio does."""
        look_up = self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.wait_for(look_up, timeout_s)
        except TimeoutError as error:
            raise DownloadTimeoutError(
                f"Looking up {host} took longer than {timeout_s} seconds."
            ) from error
        except (OSError, UnicodeError) as error:
            raise CannotResolveHostError(f"{host}: {error}") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def at_exit(self, call: Callable[[], object]) -> None:
        """Do nothing: asyncio cancels all tasks at its end, which aborts transfers."""

    def close(self) -> None:
        """Drop calls that have not begun, without waiting."""
        self._executor.shutdown(wait=False, cancel_futures=True)
