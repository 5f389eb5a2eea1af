"""A worker process: from the fork to the end."""

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
from concurcrawl.workers.worker.channel import SupervisorChannel
from concurcrawl.workers.worker.crawler import WorkerCrawler
from concurcrawl.workers.worker.exclusive import dbm_files

if TYPE_CHECKING:
    import socket

_STDERR = 2

#: How often a worker looks whether its parent is there.
_INTERVAL_S = 1.0


def serve(sock: socket.socket, main: MainModule | None = None) -> None:
    """Be a worker until the supervisor says stop or is gone.

    Args:
        sock: Connected to the supervisor, which sends a :class:`WorkerInit` first.
        main: What to make ``__main__`` of; None: it is there, as in a fork.
    """
    leave_signals_to_supervisor()
    _let_be_woken_without_hurry()
    tuned_gc.look_less_often()
    threading.Thread(target=_die_with_parent, daemon=True, name="lifeline").start()
    job = _first_message(sock)
    if job is None:
        return
    sys.path[:] = job.sys_path
    try:
        if main is not None:
            load(main, partial(_refuse, sock, UnguardedError(main.path or main.name)))
        _run(job, sock)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process
        _report(sock, error)
    finally:
        children.end_own()  # before the supervisor hears that we are gone, and ends
        sock.close()
        logging.shutdown()
        _close_files()
        sys.stdout.flush()
        sys.stderr.flush()
        exit_now(0)  # what was registered to run at exit is the supervisor's


def _refuse(sock: socket.socket, error: ConcurcrawlError) -> NoReturn:
    """End here and now: the script that we import is about to crawl."""
    _report(sock, error)
    exit_now(1)


def _report(sock: socket.socket, error: BaseException) -> None:
    """Send the supervisor why this worker cannot go on."""
    reason = str(error)
    if not isinstance(error, ConcurcrawlError):
        last = traceback.format_exception_only(error)[-1].strip()
        reason = "\n".join([last, *traceback.format_exception(error)])
    sock.setblocking(True)
    with contextlib.suppress(OSError):  # the supervisor is gone
        sock.sendall(frame(Failed(reason)))
        # It may not have connected yet. Closed by us now, what it sends then would
        # fail, and it would not read why.
        while sock.recv(1 << 16):
            pass


def _let_be_woken_without_hurry() -> None:
    """Have a thread that is woken wait until the one that woke it has had its turn.

    By default it takes the CPU at once, and gives it back because that one has the
    interpreter: for pages of 5 kB, a tenth of the time that they took.

    References:
        SCHED_BATCH in https://man7.org/linux/man-pages/man7/sched.7.html
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _close_files() -> None:
    """Write out what is in files that are open, as a program does at its end.

    A spider closes its own when it is closed, which only the supervisor's is.
    """
    files = [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), io.TextIOBase | io.BufferedIOBase)
    ]
    # From the outside in: text is in a file of bytes, which may be a compressed one.
    files.sort(
        key=lambda file: (
            isinstance(file, io.BufferedIOBase),
            type(file) is io.BufferedWriter,
        )
    )
    for file in files:
        with contextlib.suppress(Exception):  # closed, or anybody's
            if file.fileno() > _STDERR:
                file.close()


def _die_with_parent() -> None:
    """End at once when the process that started us is gone, whatever we are doing."""
    parent, pid = multiprocess.parent_process(), os.getppid()
    if parent is None:
        return
    # Its end closes a pipe, which other workers, or what they started, may hold open.
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
    (job,) = Frames().feed(header + body)
    assert isinstance(job, WorkerInit)
    return job


def _read(sock: socket.socket, size: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = sock.recv(size - len(chunks))
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)


def _run(job: WorkerInit, sock: socket.socket) -> None:
    crawl = Codec().decode(job.crawl)
    settings = Settings()
    for name, (value, priority) in crawl.settings.items():
        settings.set(name, value, priority)
    rank = 1 << 10  # above every source
    collector = stats_collector.merging(load_object(settings["STATS_CLASS"]))
    settings.set("STATS_CLASS", collector, rank)
    settings.set("CONCURRENT_REQUESTS", job.slots, rank)
    settings.set("CONCURCRAWL_THREADS", job.slots or Config().threads, rank)
    # Our lines go to the supervisor, which has the handlers that the user asked for.
    # Until we are connected nothing is logged: the supervisor has said it all by then.
    logging.root.handlers[:] = [logging.NullHandler()]
    if len(settings.getlist("CONCURCRAWL_SLOTS")) > 1:
        dbm_files.watch()
    process = AsyncCrawlerProcess(settings)
    channel = SupervisorChannel(job.name, sock)
    crawler = WorkerCrawler(crawl.spidercls, settings, channel, crawl.attributes)
    crawler.addons.addons += [
        build_from_crawler(load_object(addon), crawler) for addon in crawl.addons
    ]
    task = process.crawl(crawler, *crawl.args, **crawl.kwargs)
    process.start(install_signal_handlers=False)
    if (error := task.exception()) is not None:
        raise error
    channel.send_the_rest()
