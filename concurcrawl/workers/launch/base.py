"""The contract of everything that starts workers."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from concurcrawl.workers import children

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class WorkerConnection:
    """The connection to a worker, and what the supervisor must know of its process.

    This one is to a process of this machine.

    Attributes:
        sock: Closes when the worker ends, however that comes about.
        host: The machine that it runs on; empty for this one.
    """

    host = ""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @property
    def is_local(self) -> bool:
        """Whether the worker's process id is one of this machine."""
        return True

    @property
    def was_cut_off(self) -> bool:
        """Whether its machine was lost, so that no request is to blame."""
        return False

    @property
    def clock_offset_s(self) -> float:
        """Seconds to add to the worker's monotonic clock to have ours."""
        return 0.0

    @property
    def wall_offset_s(self) -> float:
        """Seconds to add to the worker's wall clock to have ours."""
        return 0.0

    def when_certain(self, lost: Callable[[], None]) -> None:
        """Call *lost* once it is known why the connection has closed."""
        lost()

    def kill(self, pid: int | None) -> None:
        """Kill the worker's process and what it has started.

        Args:
            pid: The process, or None if it has not said which one it is.
        """
        if pid is None:
            return
        started = children.of(pid)
        with contextlib.suppress(ProcessLookupError):  # its end is about to be told
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        # They have some time to end, and the event loop has other things to do.
        threading.Thread(target=children.end, args=(started,)).start()


class Launcher(ABC):
    """Starts the workers of one crawl.

    All methods are called in the thread of the event loop. No worker outlives the
    process of its launcher, even if that is killed.

    Attributes:
        is_elastic: Whether workers come and go by themselves. :meth:`start` then
            returns one that has come, and a lost one is not replaced by the pool.
        brings_code: Whether workers import the project from where the launcher has
            put it, and not from the folders of this machine.
    """

    is_elastic = False
    brings_code = False

    @abstractmethod
    def start(self) -> WorkerConnection:
        """Start a worker and return the connection to it.

        The connection closes when the worker ends for any reason.

        Raises:
            OSError: If the operating system cannot start a process.
            ConcurcrawlError: If workers cannot be started in this process.
        """

    async def open(self, members: Members) -> None:  # noqa: B027 - most have nothing to do
        """Begin; called once the event loop runs.

        Args:
            members: Told of workers that come and go, if this launcher is elastic.
        """

    @abstractmethod
    def close(self) -> None:
        """Kill the workers that this launcher started; wait until they are gone.

        Workers of other crawls are left alone. A second call does nothing.
        """

    async def aclose(self) -> None:
        """Close, without blocking the event loop where that takes time."""
        self.close()


class Members(ABC):
    """What an elastic launcher tells of its workers."""

    @property
    @abstractmethod
    def is_ending(self) -> bool:
        """Whether no more workers are wanted."""

    @abstractmethod
    def arrived(self) -> None:
        """Take in that :meth:`Launcher.start` has another worker."""

    @abstractmethod
    def leaving(self, connection: WorkerConnection) -> None:
        """Have a worker finish what it holds and end: its machine goes away."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """End the crawl: no worker can be started."""
