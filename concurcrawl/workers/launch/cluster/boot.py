"""The first of a worker process that an agent has started."""

from __future__ import annotations

import base64
import gc
import os
import pickle
import socket
import threading
from typing import Any

from concurcrawl.tuning import gc as tuned_gc
from concurcrawl.workers import children
from concurcrawl.workers.worker.main import serve


def run(told: dict[str, Any]) -> None:
    """Be a worker.

    Args:
        told: By the agent, of this machine: the number of the connection's file
            descriptor, and what to have for ``__main__``.
    """
    tuned_gc.leave_out_what_is_here()  # as forked workers do
    gc.enable()
    from_agent = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # what a callback starts has no part in it
    os.close(null)
    threading.Thread(target=_end_with, args=(from_agent,), daemon=True).start()
    sock = socket.socket(fileno=told["connection"])
    serve(sock, pickle.loads(base64.b64decode(told["main"])))  # noqa: S301 - our agent's


def _end_with(from_agent: int) -> None:
    """End at once when the agent does, whatever we are doing."""
    while os.read(from_agent, 1):
        pass
    children.end_now()
