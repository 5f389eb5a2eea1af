"""The contract of everything that starts workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


class Launcher(ABC):
    """Starts the workers of one crawl.

    All methods are called in the thread of the event loop. No worker outlives the
    process of its launcher, even if that is killed.
    """

    @abstractmethod
    def start(self) -> socket.socket:
        """Start a worker and return the connection to it.

        The connection closes when the worker ends for any reason.

        Raises:
            OSError: If the operating system cannot start a process.
            ConcurcrawlError: If workers cannot be started in this process.
        """

    @abstractmethod
    def close(self) -> None:
        """Kill the workers that this launcher started; wait until they are gone.

        Workers of other crawls are left alone. A second call does nothing.
        """
