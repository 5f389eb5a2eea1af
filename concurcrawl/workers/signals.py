"""What the processes of a crawl do when they are told to end."""

from __future__ import annotations

import itertools
import signal
import threading


def leave_signals_to_supervisor() -> None:
    """Do nothing on the signals that a terminal or a service sends to all of us."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            # Not SIG_IGN: what a callback starts (a browser, say) would inherit it.
            signal.signal(getattr(signal, name), lambda *_: None)


def end_cleanly_with_terminal() -> None:
    """Take the end of the terminal as a SIGTERM, whatever that does then.

    Who ignores it (``nohup``) or has a use of its own for it keeps that.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(number) is signal.SIG_DFL:
        signal.signal(number, _terminate_once)


_hangups = itertools.count()


def _terminate_once(*_: object) -> None:
    # A shell and the kernel both send one, the second perhaps before the first has got
    # further than here, and a second SIGTERM would be "now".
    if next(_hangups) == 0:
        signal.raise_signal(signal.SIGTERM)
