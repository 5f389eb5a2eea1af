"""Thresholds of the garbage collector for a process that does nothing but crawl.

Gain, with the freeze: 12 % of the CPU where pages of 600 kB are parsed in the mode
concurrent and 7 % for pages of 5 kB in the mode async (25 and 2,000 pages, medians of
four interleaved rounds). At the start of a crawl 10 to 20 ms.
"""

from __future__ import annotations

import gc

#: A parsed page is many thousand objects. With Python's own thresholds they are scanned
#: again and again while it is built. Three times these values made parsing no faster
#: and took twice the memory.
_THRESHOLDS = (20_000, 8, 3)

#: Modules and settings stay alive: two scans of them took 10 to 20 ms of a start. The
#: objects of a spider that makes very many before it begins are still scanned.
_WHILE_SETTING_UP = (200_000, 8, 3)


def put_off() -> None:
    """Collect rarely while a crawl is set up; then call :func:`look_less_often`."""
    gc.set_threshold(*_WHILE_SETTING_UP)


def look_less_often() -> None:
    """Collect less often than Python does by default."""
    gc.set_threshold(*_THRESHOLDS)


def leave_out_what_is_here() -> None:
    """Freeze all live objects, which live as long as the process: scans are wasted."""
    gc.freeze()
