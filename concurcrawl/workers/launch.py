"""Where worker processes come from.

On Linux a *nursery* is forked as early as the add-on can: Scrapy is imported by then,
no reactor is installed, there is one thread. Each worker is a fork of the nursery, in
about 10 ms, at any later time. Forking later from the supervisor itself would copy a
running reactor. Where that is not possible, workers are spawned.

Each worker talks over a socket that the supervisor made; its end is the end of the
worker, however that came about.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import multiprocess
from multiprocess.connection import wait as wait_for_any
from scrapy.settings import Settings
from scrapy.utils.misc import (
    is_generator_with_return_value,
    load_object,
    walk_modules_iter,
)
from scrapy.utils.reactor import is_reactor_installed

from concurcrawl import garbage
from concurcrawl.workers.interrupts import leave_signals_to_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

#: Settings that name a component which each crawler has.
_COMPONENTS = (
    "DUPEFILTER_CLASS",
    "ITEM_PROCESSOR",
    "LOG_FORMATTER",
    "REQUEST_FINGERPRINTER_CLASS",
    "STATS_CLASS",
    "TWISTED_DNS_RESOLVER",
)

#: Told to the nursery with each socket it gets.
_FORK = b"f"

_nursery: Nursery | None = None


class Nursery:
    """A process that does nothing but fork workers and bury them.

    When the supervisor ends, for whatever reason, it kills those that are left.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        """Fork it.

        Args:
            serve: What a worker runs with its socket.
        """
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._process = multiprocess.get_context("fork").Process(
            target=_nurse, args=(theirs, ours, serve), name="concurcrawl-nursery"
        )
        self._process.start()
        theirs.close()
        # Before multiprocess's own exit handler, which would wait for it for ever.
        atexit.register(self.close)

    def fork(self, sock: socket.socket) -> None:
        """Start a worker at the other end of *sock*'s pair.

        Raises:
            OSError: If the nursery is gone.
        """
        socket.send_fds(self._socket, [_FORK], [sock.fileno()])

    def close(self) -> None:
        """End the nursery and every worker that is left; wait until they are gone."""
        atexit.unregister(self.close)
        self._socket.close()
        self._process.join()


def prepare() -> None:
    """Fork the nursery, if this process is still fit for forking."""
    global _nursery  # noqa: PLW0603 - one a process, as there is one reactor
    fit = (
        sys.platform == "linux"
        and threading.active_count() == 1
        and not is_reactor_installed()
    )
    if _nursery is None and fit:
        from concurcrawl.workers.process import serve  # imports the rest of Scrapy

        _nursery = Nursery(serve)


class Launcher:
    """Starts workers and makes sure that none is left."""

    def __init__(self) -> None:
        self._nursery = _take_nursery()
        self._spawned: list[Any] = []
        atexit.register(self.close)

    def start(self) -> socket.socket:
        """Start a worker and return the socket to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            if self._nursery is not None:
                with contextlib.suppress(OSError):  # the nursery was killed: spawn
                    self._nursery.fork(theirs)
                    return ours
            from concurcrawl.workers.process import serve

            process = multiprocess.get_context("spawn").Process(
                target=serve, args=(theirs,), name="concurcrawl-worker"
            )
            process.start()
            self._spawned.append(process)
        return ours

    def close(self) -> None:
        """Kill what is left, and wait until it is gone."""
        atexit.unregister(self.close)
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
        for process in self._spawned:
            process.kill()
            process.join()
        self._spawned.clear()


def _take_nursery() -> Nursery | None:
    global _nursery
    taken, _nursery = _nursery, None
    return taken


def _nurse(
    theirs: socket.socket,
    ours: socket.socket,
    serve: Callable[[socket.socket], None],
) -> None:
    ours.close()
    leave_signals_to_supervisor()
    _preload()
    context = multiprocess.get_context("fork")
    children: list[Any] = []
    while True:
        ready = wait_for_any([theirs, *(child.sentinel for child in children)])
        for child in [child for child in children if child.sentinel in ready]:
            child.join()
            children.remove(child)
        if theirs not in ready:
            continue
        word, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        if not word:
            break
        with socket.socket(fileno=fds[0]) as sock:
            child = context.Process(target=_nursed, args=(theirs, sock, serve))
            child.start()
            children.append(child)
    for child in children:
        child.kill()
        child.join()
    os._exit(0)  # what the parent registered to run at exit is the parent's


def _preload() -> None:
    """Import what every worker needs, once, while the supervisor imports it too.

    Not the project's own modules: some import the reactor, and it would be installed
    before a worker can choose its own.
    """
    defaults = Settings()
    paths = [
        *defaults.getdict("DOWNLOADER_MIDDLEWARES_BASE"),
        *defaults.getdict("SPIDER_MIDDLEWARES_BASE"),
        *(defaults[name] for name in _COMPONENTS),
        defaults.getdict("DOWNLOAD_HANDLERS_BASE")["https"],
        "concurcrawl.handler.ThreadedDownloadHandler",
        "concurcrawl.middlewares.profile.enable",
    ]
    for path in paths:
        load_object(path)
    # Scrapy reads the source of callbacks, which takes patterns that are compiled once.
    is_generator_with_return_value(walk_modules_iter)
    # What is here stays for good: collections need not look at it, nor copy its pages.
    gc.collect()
    garbage.leave_out_what_is_here()


def _nursed(
    theirs: socket.socket, sock: socket.socket, serve: Callable[[socket.socket], None]
) -> None:
    theirs.close()
    serve(sock)
