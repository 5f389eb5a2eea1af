"""Read from a crawl's exit code and log why it failed or was held back. Pure."""

from __future__ import annotations

import re
from signal import Signals


def why_failed(
    *, exit_code: int, answered: bool, timeout_s: float | None, log: str
) -> str | None:
    """Return why a run failed, in one sentence, or None if it did not.

    Args:
        exit_code: Of the crawl; minus the signal if one ended it.
        answered: Whether it produced anything to compare.
        timeout_s: The time it was stopped after, or None if it ended by itself.
        log: The end of its log.
    """
    if timeout_s is not None:
        return f"did not end within {timeout_s:g} s (--timeout)"
    if exit_code < 0:
        what = f"was ended by {_signal_name(-exit_code)}"
    elif exit_code:
        what = f"exit code {exit_code}"
    elif not answered:
        what = "produced no pages and no items"
    else:
        return None
    reason = reason_in_log(log)
    return f"{what}: {reason}" if reason else what


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


_TROUBLE = re.compile(r"Error|Exception|\berror\b|CRITICAL|Killed|Traceback")

#: All control characters but those that end a line or indent it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]")

_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] [A-Z]+: ")


def reason_in_log(log: str, *, lines: int = 2) -> str:
    """Pick the lines of a crawl's log that say why it failed.

    Args:
        log: The end of the log.
        lines: How many lines to keep.

    Returns:
        The last lines that name an error, else the last line; joined, without time
        stamps, at most 300 characters. Empty if the log is. Control characters, which
        a quoted page may contain, are replaced.
    """
    log = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", log)
    # Indented lines are the frames of a traceback: where, not what.
    whole = [
        _printable(line)
        for line in log.splitlines()
        if line.strip() and not line[0].isspace()
    ]
    named = [
        line
        for line in whole
        if _TROUBLE.search(line) and not line.startswith("Traceback")
    ]
    if named:  # twisted's line of an unhandled error quotes the error that follows
        quoted = named[-1].rpartition(": ")[2]
        kept = [line for line in named[-lines:-1] if quoted not in line]
        return " | ".join([*kept, named[-1]])[-300:]
    return "".join(whole[-1:])[-300:]


def held_back(log: str) -> str | None:
    """Return the log line about a setting that limits the mode, or None.

    Args:
        log: The beginning of the log.
    """
    for line in log.splitlines():
        if "holds it back" in line:
            return _printable(line)
    return None


def _printable(line: str) -> str:
    """Return the message of a log line, safe to print to a terminal.

    It may quote a page, including control sequences.
    """
    text = _LOG_PREFIX.sub("", line).strip()
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text
    )
