"""Values that Scrapy stores nowhere, read from the frames of the call stack.

Since Python 3.13 ``frame.f_locals`` of a function is a proxy (PEP 667): its ``keys()``
is a list, not a set. Only single names are looked up here, which works everywhere.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from scrapy.crawler import Crawler


@touches("scrapy.cmdline", "execute.cmdname")
def scrapy_command() -> str | None:
    """Return the name of the ``scrapy`` command that is running, None in a script.

    Nothing else knows the name. ``sys.argv`` no longer has it, as Scrapy removes it
    there; ``sys.orig_argv`` is that of the script where a script calls
    ``execute(["scrapy", "crawl", ...])``; and the settings that commands bring are
    alike for several of them.

    Touches: the local variable ``cmdname`` of ``scrapy.cmdline.execute()`` (Scrapy
    2.19.0), a caller of every hook that runs while a command makes its crawler. If it
    moves, it is None, as in a script: ``fetch`` and ``shell`` in a project with a
    ``MODE`` then start workers, and crawls do without uvloop. Wished for: the command's
    name in the settings.
    """
    for frame in frames():
        # Not __name__, which is "__main__" under "python -m scrapy.cmdline".
        spec = frame.f_globals.get("__spec__")
        if getattr(spec, "name", None) == "scrapy.cmdline":
            name = frame.f_locals.get("cmdname")
            if isinstance(name, str):
                return name
    return None


@touches(
    "scrapy.crawler",
    *("Crawler.crawl.args", "Crawler.crawl.kwargs"),
    *("Crawler.crawl_async.args", "Crawler.crawl_async.kwargs"),
)
def spider_arguments(crawler: Crawler) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return what *crawler* makes its spider with, None if no caller says it.

    Only for a crawler whose spider was made before the add-on was loaded; see
    :mod:`concurcrawl.compat.spider_arguments`, which is asked first.

    Touches: the local variables ``self``, ``args`` and ``kwargs`` of
    ``Crawler.crawl()`` and ``crawl_async()`` (Scrapy 2.19.0), one of which is a caller
    of everything that is made for a crawl. If one moves, the crawl is refused with a
    sentence. Wished for: as for :func:`concurcrawl.compat.spider_arguments.record`.
    """
    for frame in frames():
        variables = frame.f_locals
        if variables.get("self") is crawler:
            args, kwargs = variables.get("args"), variables.get("kwargs")
            if isinstance(args, tuple) and isinstance(kwargs, dict):
                return args, kwargs
    return None


@touches("sys", "_getframe")
def frames() -> Iterator[FrameType]:
    """Yield the frames of the callers, from the innermost to the outermost.

    Touches: ``sys._getframe()`` (CPython 3.11 to 3.13), which is documented for
    specialists. If it moves, as for the functions above. Wished for: a name without an
    underscore; ``inspect.stack()`` reads the sources of all.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
