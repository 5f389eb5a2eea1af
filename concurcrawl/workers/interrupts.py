"""What the processes behind a supervisor do when they are told to end: nothing."""

from __future__ import annotations

import signal


def leave_signals_to_supervisor() -> None:
    """Do nothing on the signals that a terminal or a service sends to all of us."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            # Not SIG_IGN: what a callback starts (a browser, say) would inherit it.
            signal.signal(getattr(signal, name), lambda *_: None)
