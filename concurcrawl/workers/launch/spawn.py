"""Spawn workers: each one is a new interpreter.

That works on every operating system and takes most of a second.
"""

from __future__ import annotations

import atexit
import socket
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from concurcrawl.compat.main_module import hidden
from concurcrawl.compat.pickling import multiprocess
from concurcrawl.workers.launch.base import Launcher, WorkerConnection
from concurcrawl.workers.worker.main import serve

if TYPE_CHECKING:
    from concurcrawl.workers.protocol.main_module import MainModule


class SpawnLauncher(Launcher):
    """Spawns workers."""

    def __init__(self, main: MainModule) -> None:
        """Make one for a crawl.

        Args:
            main: What workers get as ``__main__``.
        """
        self._main = main
        self._processes: list[Any] = []
        atexit.register(self.close)

    @override
    def start(self) -> WorkerConnection:
        ours, theirs = socket.socketpair()
        with theirs, hidden():
            process = multiprocess.get_context("spawn").Process(
                target=serve, args=(theirs, self._main), name="concurcrawl-worker"
            )
            process.start()
        self._processes.append(process)
        return WorkerConnection(ours)

    @override
    def close(self) -> None:
        atexit.unregister(self.close)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        self._processes.clear()
