"""The main function of a worker process."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import struct
import sys
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings
from scrapy.utils.misc import build_from_crawler, load_object

from concurcrawl.compat import stats_collector
from concurcrawl.compat.pickling import multiprocess
from concurcrawl.compat.process import exit_now
from concurcrawl.config import Config
from concurcrawl.errors import ConcurcrawlError, UnguardedError
from concurcrawl.tuning import gc as tuned_gc
from concurcrawl.workers import children
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.main_module import MainModule, load
from concurcrawl.workers.protocol.messages.lifecycle import Failed, WorkerInit
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.signals import leave_signals_to_supervisor
from concurcrawl.workers.worker.app import WorkerApp
from concurcrawl.workers.worker.crawler import WorkerCrawler
from concurcrawl.workers.worker.exclusive import DbmFiles

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_STDERR = 2

#: Seconds between two checks that the parent process is alive.
_INTERVAL_S = 1.0


def serve(sock: socket.socket, main: MainModule | None = None) -> None:
    """Run a worker until the supervisor stops it or is gone; then end the process.

    Args:
        sock: Connected to the supervisor, which sends a :class:`WorkerInit` first.
        main: The ``__main__`` module to load; None after a fork, which has it.
    """
    leave_signals_to_supervisor()
    _prefer_running_threads()
    tuned_gc.look_less_often()
    threading.Thread(
        target=_end_with_parent, daemon=True, name="parent watchdog"
    ).start()
    init = _first_message(sock)
    if init is None:
        return
    if init.path.entries:  # else the agent of a cluster has set it
        sys.path[:] = init.path.entries
    try:
        if main is not None:
            load(main, partial(_refuse, sock, UnguardedError(main.path or main.name)))
        _run(init, sock)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process
        _report(sock, error)
    finally:
        children.end_own()  # first: the supervisor may end once the socket is closed
        sock.close()
        logging.shutdown()
        _close_files()
        sys.stdout.flush()
        sys.stderr.flush()
        exit_now(0)  # after a fork the exit handlers are the supervisor's


def _refuse(sock: socket.socket, error: ConcurcrawlError) -> NoReturn:
    """End the process: the imported script is about to start a crawl of its own."""
    _report(sock, error)
    exit_now(1)


def _report(sock: socket.socket, error: BaseException) -> None:
    """Send the supervisor the error that ends this worker."""
    reason = str(error)
    if not isinstance(error, ConcurcrawlError):
        last = traceback.format_exception_only(error)[-1].strip()
        reason = "\n".join([last, *traceback.format_exception(error)])
    sock.setblocking(True)
    with contextlib.suppress(OSError):  # the supervisor is gone
        sock.sendall(frame(Failed(reason)))
        # The supervisor may not have connected yet. If the socket were closed now, its
        # first message would fail and it would never read the reason.
        while sock.recv(1 << 16):
            pass


def _prefer_running_threads() -> None:
    """Let a thread that wakes another keep the CPU until its time slice ends.

    By default Linux switches to the woken thread at once, which only finds that the
    other one holds the interpreter. That was a tenth of the time of pages of 5 kB when
    threads downloaded, and is 2 to 5 % of it in the event loop.

    References:
        SCHED_BATCH in https://man7.org/linux/man-pages/man7/sched.7.html
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _close_files() -> None:
    """Flush and close all open files, as the interpreter does at a normal exit.

    A spider closes its files in ``closed()``, which is called in the supervisor only.
    """
    files = [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), io.TextIOBase | io.BufferedIOBase)
    ]
    # Outer layers first: text wraps bytes, which may be compressed before they are
    # buffered.
    files.sort(
        key=lambda file: (
            isinstance(file, io.BufferedIOBase),
            type(file) is io.BufferedWriter,
        )
    )
    for file in files:
        with contextlib.suppress(Exception):  # closed already, or a project's own class
            if file.fileno() > _STDERR:
                file.close()


def _end_with_parent() -> None:
    """End this process at once when its parent is gone, even during a callback."""
    parent, pid = multiprocess.parent_process(), os.getppid()
    if parent is None:
        return
    # join() alone waits for the end of a pipe that other workers, and processes they
    # started, may hold open.
    while parent.is_alive() and os.getppid() == pid:
        parent.join(_INTERVAL_S)
    children.end_now()


def _first_message(sock: socket.socket) -> WorkerInit | None:
    header = _read(sock, 8)
    if header is None:
        return None
    body = _read(sock, struct.unpack("!Q", header)[0])
    if body is None:
        return None
    (init,) = Frames().feed(header + body)
    assert isinstance(init, WorkerInit)
    return init


def _read(sock: socket.socket, size: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = sock.recv(size - len(chunks))
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)


@contextlib.contextmanager
def _first_in_path(folder: str) -> Iterator[None]:
    """Import from *folder* before all others, if there is one."""
    if not folder:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)  # only that: a module may add others when imported


def _run(init: WorkerInit, sock: socket.socket) -> None:
    with _first_in_path(init.path.first):
        crawl = Codec().decode(init.crawl)
    settings = Settings()
    for name, (value, priority) in crawl.settings.items():
        settings.set(name, value, priority)
    rank = 1 << 10  # above every source
    collector = stats_collector.merging(load_object(settings["STATS_CLASS"]))
    settings.set("STATS_CLASS", collector, rank)
    settings.set("CONCURRENT_REQUESTS", init.slots, rank)
    settings.set("CONCURCRAWL_THREADS", init.slots or Config().threads, rank)
    # Log lines go to the supervisor, which has the handlers that the user configured.
    # Until there is a connection nothing is logged: the supervisor logs the same start.
    logging.root.handlers[:] = [logging.NullHandler()]
    files = DbmFiles()
    if len(settings.getlist("CONCURCRAWL_SLOTS")) > 1:
        files.watch()
    process = AsyncCrawlerProcess(settings)
    make_app = partial(WorkerApp, init.name, sock, files)
    crawler = WorkerCrawler(crawl.spidercls, settings, crawl.attributes, make_app)
    crawler.addons.addons += [
        build_from_crawler(load_object(addon), crawler) for addon in crawl.addons
    ]
    task = process.crawl(crawler, *crawl.args, **crawl.kwargs)
    process.start(install_signal_handlers=False)
    if (error := task.exception()) is not None:
        raise error
    crawler.app.outbox.send_last()
