"""What a worker's spider and middlewares have started ends with the worker.

In plain Scrapy the spider's ``closed`` ends a browser that its ``__init__`` started.
Each worker makes the spider, and its ``closed`` runs in the supervisor.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NoReturn

from concurcrawl.compat.process import exit_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psutil

#: Time that a process has to end by itself before it is killed.
_GRACE_S = 3.0

#: Helpers of Python's own, which end when the last process that uses them has.
_HELPERS = ("resource_tracker", "semaphore_tracker")


def of(*pids: int) -> list[psutil.Process]:
    """Return what the processes *pids* have started, and what those have, and so on.

    What has a session of its own (``start_new_session=True``, a daemon) is left out:
    it was meant to go on.
    """
    if not pids:
        return []
    import psutil

    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            session = _session_of(pid)
            found += [
                process
                for process in psutil.Process(pid).children(recursive=True)
                if _session_of(process.pid) == session and not _is_helper(process)
            ]
    return found


def end(processes: Sequence[psutil.Process]) -> None:
    """End *processes*: by SIGTERM, and by SIGKILL what is left after 3 seconds."""
    if not processes:
        return
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, _GRACE_S)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def end_own() -> None:
    """End what this process has started."""
    if _has_children():
        end(of(os.getpid()))


def end_now() -> NoReturn:
    """End this process and what it has started: its supervisor is gone."""
    try:
        end_own()
    finally:
        exit_now(1)


def _has_children() -> bool:
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _session_of(pid: int) -> int:
    """Return the session of a process; 0 where there are none."""
    return os.getsid(pid) if hasattr(os, "getsid") else 0


def _is_helper(process: psutil.Process) -> bool:
    return any(word in part for part in process.cmdline() for word in _HELPERS)
