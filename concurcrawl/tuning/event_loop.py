"""Which event loop a crawl runs on, if nobody has chosen one."""

from __future__ import annotations

from importlib.util import find_spec

#: The import path of uvloop's loop, for ``ASYNCIO_EVENT_LOOP``.
_QUICK = "uvloop.Loop"


def quickest() -> str | None:
    """Return the import path of the quickest loop here; None means asyncio's own.

    uvloop is written in C. It is there if the extra ``fast`` is installed.
    """
    return _QUICK if find_spec("uvloop") is not None else None
