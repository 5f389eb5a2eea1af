"""How often Python looks for garbage, in a process that does nothing but crawl."""

from __future__ import annotations

import gc

#: A page's tree is many thousand objects: Python's own thresholds look at each of them
#: again and again while it is built. Ours look seldom, but at all while few trees are
#: there: three times that, and parsing is no quicker but takes twice the memory.
_THRESHOLDS = (20_000, 8, 3)

#: What is imported and set up is there to stay: two looks at it took 10 to 20 ms of a
#: start. A spider that makes much more than that before it begins is still looked at.
_WHILE_SETTING_UP = (200_000, 8, 3)


def put_off() -> None:
    """Look for none while a crawl is set up; then call :func:`look_less_often`."""
    gc.set_threshold(*_WHILE_SETTING_UP)


def look_less_often() -> None:
    """Look for garbage when much more is new than Python would wait for."""
    gc.set_threshold(*_THRESHOLDS)


def leave_out_what_is_here() -> None:
    """Freeze all live objects, which live as long as the process: scans are wasted."""
    gc.freeze()
