"""The Retry-After header. Pure.

References:
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: No site means more than this; a larger number is a mistake or an attack.
LONGEST_S = 366 * 24 * 3600.0


def parse(value: bytes | None, now_s: float) -> float | None:
    """Return the seconds to wait.

    Args:
        value: The header, or None.
        now_s: The time in seconds since the epoch, for a header with a date.

    Returns:
        0 or more, at most :data:`LONGEST_S`; None if the header says nothing usable.
    """
    text = (value or b"").decode("ascii", "replace").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), LONGEST_S)
    try:
        then = parsedate_to_datetime(text)
        if then.tzinfo is None:  # "-0000": a date that admits to no zone
            then = then.replace(tzinfo=UTC)
        wait_s = (then - datetime.fromtimestamp(now_s, UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(0.0, wait_s), LONGEST_S)
