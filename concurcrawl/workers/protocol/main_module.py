"""The ``__main__`` module of a spawned worker.

A script is imported once more, as Python's own multiprocessing does it. Where there is
none (a notebook, ``python -c``, standard input, the ``__main__.py`` of a package), the
definitions in ``__main__`` that the spider needs are sent by value.
"""

from __future__ import annotations

import linecache
import os
import pickle
import runpy
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class MainModule:
    """Where ``__main__`` comes from; it is empty if all attributes are.

    Attributes:
        name: The module to import, of ``python -m``.
        path: The script to import.
        definitions: Names and values to define instead, pickled.
        sources: Lines of interactive input, by the name of their pseudo file; Scrapy
            reads the source of callbacks.
    """

    name: str = ""
    path: str = ""
    definitions: bytes = b""
    sources: tuple[tuple[str, tuple[str, ...]], ...] = ()


def load(main: MainModule, on_crawl: Callable[[], None]) -> None:
    """Load the ``__main__`` module of this process, a worker.

    Args:
        main: Where it comes from.
        on_crawl: Called if the script begins a crawl because it is imported, also in
            a thread of its own; must not return.

    Raises:
        Exception: Any error of the script.
    """
    global _on_crawl  # noqa: PLW0603 - one per process, like __main__
    if not (main.name or main.path):
        _define(main)
        return
    _on_crawl = os.getpid(), on_crawl
    name = "__mp_main__"
    if main.name:
        found = runpy.run_module(main.name, run_name=name, alter_sys=True)
    else:
        found = runpy.run_path(main.path, run_name=name)
    module = ModuleType(name)
    vars(module).update(found)
    sys.modules["__main__"] = sys.modules[name] = module


#: The worker's pid and its ``on_crawl``, once its script is imported.
_on_crawl: tuple[int, Callable[[], None]] | None = None


def crawl_begins() -> None:
    """End this process if it is a worker whose imported script starts a crawl."""
    if _on_crawl is not None and _on_crawl[0] == os.getpid():
        _on_crawl[1]()


def _define(main: MainModule) -> None:
    module = ModuleType("__main__")
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    if main.definitions:
        vars(module).update(pickle.loads(main.definitions))  # noqa: S301 - our supervisor's
    for file, lines in main.sources:
        text = "".join(lines)
        # With None as its time, linecache never checks the file on the disk.
        linecache.cache[file] = len(text), None, list(lines), file
