"""Servers that end when the process that started them does, however that ends."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

_STOP_S = 5.0


class Kept:
    """A server that runs until :meth:`stop`.

    Its keeper is a shell that waits for the end of the pipe at its standard input.

    Args:
        command: What to run. It must not turn itself into a daemon.
        listener: A socket that it inherits, in the way of nginx; None for none.
        folder: Where it runs; None for where we are.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        listener: socket.socket | None = None,
        folder: Path | None = None,
    ) -> None:
        fds = () if listener is None else (listener.fileno(),)
        named = {"NGINX": "".join(f"{fd};" for fd in fds)} if fds else {}
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", '"$@" & read -r _; kill $!; wait', "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is ours to hear
            pass_fds=fds,
            cwd=folder,
            env=os.environ | named,
        )

    def stop(self) -> None:
        """Stop it, and wait until it has."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        try:
            self._keeper.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            keeper = psutil.Process(self._keeper.pid)
            for process in [*keeper.children(), keeper]:
                process.kill()
            self._keeper.wait()
