"""Fork workers from a process that has Scrapy imported.

The add-on forks the *fork server* as early as it can: Scrapy is imported, no reactor is
installed and there is one thread. Each worker is later forked from it, in about 10 ms.
A fork of the supervisor itself would copy a running reactor.

One fork server serves all crawls of a process and ends with it. Each crawl has a
channel to it, and each worker has a connection to its supervisor. A crawl or worker
ends when its channel or connection is closed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy.settings import Settings
from scrapy.utils.misc import (
    is_generator_with_return_value,
    load_object,
    walk_modules_iter,
)
from typing_extensions import override

from concurcrawl.compat.pickling import multiprocess
from concurcrawl.compat.process import exit_now
from concurcrawl.modes import LOOP_HANDLER
from concurcrawl.tuning import gc as tuned_gc
from concurcrawl.workers import children
from concurcrawl.workers.launch.base import Launcher, WorkerConnection
from concurcrawl.workers.signals import leave_signals_to_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    #: The main function of a worker; it gets the worker's connection.
    Serve = Callable[[socket.socket], None]

#: Settings that name a component of every crawler.
_COMPONENTS = (
    "DUPEFILTER_CLASS",
    "ITEM_PROCESSOR",
    "LOG_FORMATTER",
    "REQUEST_FINGERPRINTER_CLASS",
    "STATS_CLASS",
    "TWISTED_DNS_RESOLVER",
)

#: Sent with one socket: over the server's own connection a new channel, over a channel
#: a worker's connection.
_OPEN = b"o"
#: Sent at the end. Closing the connection is not enough: processes that the supervisor
#: forked itself (a multiprocessing.Pool) have it open too.
_END = b"e"

#: Seconds between two checks that the supervisor lives, for the same reason.
_INTERVAL_S = 1.0

#: Seconds that a supervisor waits for workers that it killed.
_CLOSE_TIMEOUT_S = 30.0


class ForkServer:
    """A process that forks workers and reaps them.

    When the supervisor ends for any reason, it kills the remaining workers.
    """

    def __init__(self, serve: Serve) -> None:
        """Fork it.

        Args:
            serve: What a worker runs with its connection.
        """
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._owner = os.getpid()
        self._process = multiprocess.get_context("fork").Process(
            target=_run, args=(theirs, ours, self._owner, serve), name="fork-server"
        )
        self._process.start()
        theirs.close()
        # Before multiprocess's own exit handler, which would wait for it for ever.
        atexit.register(self.close)

    @property
    def is_alive(self) -> bool:
        """Whether it can fork for this process; a fork of its owner cannot use it."""
        return self._owner == os.getpid() and self._process.is_alive()

    def open_channel(self) -> socket.socket:
        """Return a new channel for a crawl.

        Raises:
            OSError: If the fork server is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [_OPEN], [theirs.fileno()])
        return ours

    def close(self) -> None:
        """End it and every remaining worker; wait until they are gone."""
        atexit.unregister(self.close)
        if self._owner == os.getpid():  # a fork of the supervisor has no part in it
            with contextlib.suppress(OSError):  # it was killed
                self._socket.send(_END)
            self._process.join()
        self._socket.close()


class ForkLauncher(Launcher):
    """Starts workers through a fork server."""

    def __init__(self, server: ForkServer) -> None:
        """Make one for a crawl.

        Raises:
            OSError: If the fork server is gone.
        """
        self._channel = server.open_channel()

    @override
    def start(self) -> WorkerConnection:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._channel, [_OPEN], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return WorkerConnection(ours)

    @override
    def close(self) -> None:
        if self._channel.fileno() < 0:
            return
        with self._channel, contextlib.suppress(OSError):  # the fork server was killed
            self._channel.settimeout(_CLOSE_TIMEOUT_S)
            self._channel.send(_END)
            while self._channel.recv(1):  # its end is closed when no worker is left
                pass


@dataclass(slots=True)
class _Crawls:
    """The open channels and the workers of each."""

    serve: Serve
    supervisor: socket.socket
    workers: dict[socket.socket, list[Any]] = field(default_factory=dict)

    def wait(self) -> list[Any]:
        """Return connections that are readable and sentinels of ended workers."""
        sentinels = [one.sentinel for some in self.workers.values() for one in some]
        connections = [self.supervisor, *self.workers]
        found: list[Any] = multiprocess.connection.wait(
            [*connections, *sentinels], _INTERVAL_S
        )
        return found

    def reap(self, ready: list[Any]) -> None:
        """Forget the workers that have ended."""
        for workers in self.workers.values():
            for worker in [one for one in workers if one.sentinel in ready]:
                worker.join()
                workers.remove(worker)

    def answer(self, channel: socket.socket) -> None:
        """Fork a worker, or end the crawl whose channel it is."""
        connection = _receive(channel)
        if connection is None:
            self.end(channel)
            return
        with connection:
            worker = multiprocess.get_context("fork").Process(
                target=self._become_worker, args=(connection,)
            )
            worker.start()
            self.workers[channel].append(worker)

    def end(self, channel: socket.socket) -> None:
        """Kill the workers of a crawl and what those started; close its channel."""
        workers = self.workers.pop(channel)
        started = children.of(*(worker.pid for worker in workers))
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()
        children.end(started)
        channel.close()

    def _become_worker(self, connection: socket.socket) -> None:
        # While they are open here, the supervisor would not see them close.
        for one in (self.supervisor, *self.workers):
            one.close()
        self.serve(connection)


def _run(
    theirs: socket.socket, ours: socket.socket, supervisor: int, serve: Serve
) -> None:
    ours.close()
    # An event loop of the supervisor may have it: our signals would wake that.
    signal.set_wakeup_fd(-1)
    asyncio.set_event_loop(None)  # a worker makes its own
    leave_signals_to_supervisor()
    _preload()
    crawls = _Crawls(serve, theirs)
    while os.getppid() == supervisor:
        ready = crawls.wait()
        crawls.reap(ready)
        for channel in [one for one in crawls.workers if one in ready]:
            crawls.answer(channel)
        if theirs in ready:
            new = _receive(theirs)
            if new is None:
                break
            crawls.workers[new] = []
    for channel in [*crawls.workers]:
        crawls.end(channel)
    exit_now(0)  # what the parent registered to run at exit is the parent's


def _receive(connection: socket.socket) -> socket.socket | None:
    """Return the socket that was sent over *connection*, or None at its end."""
    try:
        word, fds, _, _ = socket.recv_fds(connection, 1, 1)
    except ConnectionError:
        return None
    return socket.socket(fileno=fds[0]) if word == _OPEN else None


def _preload() -> None:
    """Import once what every worker needs, while the supervisor imports it too.

    Not the project's own modules: some of them import, and so install, the reactor,
    which each worker must choose for itself.
    """
    defaults = Settings()
    paths = [
        *defaults.getdict("DOWNLOADER_MIDDLEWARES_BASE"),
        *defaults.getdict("SPIDER_MIDDLEWARES_BASE"),
        *(defaults[name] for name in _COMPONENTS),
        defaults.getdict("DOWNLOAD_HANDLERS_BASE")["https"],
        LOOP_HANDLER,
        "concurcrawl.limits.profile_middleware.enable",
    ]
    for path in paths:
        load_object(path)
    # Scrapy reads the source of callbacks, which takes patterns that are compiled once.
    is_generator_with_return_value(walk_modules_iter)
    # What is here stays for good: collections need not look at it, nor copy its pages.
    gc.collect()
    tuned_gc.leave_out_what_is_here()
