"""List the private parts that this package touches, and check that they exist.

Each function or class that touches some declares them with :func:`touches`. Nothing is
wrapped: a call costs what it would cost without.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, TypeVar

from concurcrawl.errors import MovedPartError

if TYPE_CHECKING:
    from collections.abc import Callable

_Thing = TypeVar("_Thing", bound="Callable[..., Any]")

#: Modules of this package that a crawl uses, by the feature that needs them.
USED = {
    "MODE": (
        *("callback_cache", "closing", "compression", "downloader", "engine"),
        *("executors", "middlewares", "project_code", "robots", "scraper", "signals"),
        *("slots", "spider_arguments", "stack", "stats_collector", "timers"),
    ),
    "workers": (
        *("cookies", "crawler", "log_lines", "main_module", "pickling"),
        *("process", "worker_engine"),
    ),
    "JOBDIR": ("csv_export", "feed_export", "start"),
    "CONCURCRAWL_FRONTIER_URL": ("closespider", "csv_export"),
    "Scrapy's download handler": ("http11",),
}

#: What to install instead of a release of a library that lacks a part.
_KNOWN_TO_WORK = {
    "scrapy": "install the release that is known to work: pip install scrapy==2.19.0",
    "twisted": "install a release that is known to work: pip install 'twisted<27'",
    "python": "use a Python that is known to work, 3.11 to 3.13",
}
_NAMES = {"scrapy": "Scrapy", "twisted": "Twisted", "python": "Python"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of another library.

    Attributes:
        module: Where it is defined.
        path: Its name there. Below a class it is an attribute, which ``__init__()`` may
            set; below a function it is a local variable.
    """

    module: str
    path: str

    def __str__(self) -> str:
        return f"{self.module}.{self.path}"

    @property
    def library(self) -> str:
        """The library that it belongs to, ``python`` for the standard library."""
        name = self.module.partition(".")[0]
        return "python" if name in sys.stdlib_module_names else name

    def is_there(self) -> bool:
        """Return whether it is where it was. Imports its module."""
        try:
            owner: Any = import_module(self.module)
        except ImportError:
            return False
        *owners, name = self.path.split(".")
        for one in owners:
            owner = getattr(owner, one, None)
        return _has(owner, name)


def _has(owner: Any, name: str) -> bool:
    if hasattr(owner, name):
        return True
    if isinstance(owner, type):
        # An instance has it: the names that a function uses are in its code.
        inits = [vars(cls).get("__init__") for cls in owner.__mro__]
        codes = [getattr(init, "__code__", None) for init in inits]
        return any(code is not None and name in code.co_names for code in codes)
    code = getattr(inspect.unwrap(owner), "__code__", None)
    return code is not None and name in code.co_varnames


#: The parts that each function or class of this package touches.
TOUCHED: dict[Callable[..., Any], tuple[Part, ...]] = {}


def touches(module: str = "", *paths: str) -> Callable[[_Thing], _Thing]:
    """Declare that a function or a class touches parts of *module*.

    May be repeated for other modules. Without arguments it leans on something that has
    no name, which its docstring describes.
    """

    def declare(thing: _Thing) -> _Thing:
        parts = tuple(Part(module, path) for path in paths)
        TOUCHED[thing] = parts + TOUCHED.get(thing, ())
        return thing

    return declare


def require(*uses: str) -> None:
    """Check that all parts exist which a crawl is about to touch.

    Args:
        uses: Keys of :data:`USED`.

    Raises:
        MovedPartError: If some are not.
    """
    names = {f"{__package__}.{name}" for use in uses for name in USED[use]}
    for name in names:
        import_module(name)
    parts = {
        part: None
        for thing, touched in TOUCHED.items()
        if thing.__module__ in names
        for part in touched
    }
    moved = [part for part in parts if not part.is_there()]
    if moved:
        raise _error(moved)


def _error(moved: list[Part]) -> MovedPartError:
    library = moved[0].library
    installed = (
        sys.version.partition(" ")[0]
        if library == "python"
        else metadata.version(library)
    )
    return MovedPartError(
        f"{_NAMES.get(library, library)} {installed}",
        " and ".join(sorted(str(part) for part in moved if part.library == library)),
        _KNOWN_TO_WORK.get(library, f"install another release of {library}"),
    )
