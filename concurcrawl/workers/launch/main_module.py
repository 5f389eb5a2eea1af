"""Collect what workers need of ``__main__``, and check that it can be sent."""

from __future__ import annotations

import linecache
import pickletools
import sys
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from concurcrawl.compat import main_module as compat
from concurcrawl.compat.stack import scrapy_command
from concurcrawl.errors import NotDefinableError, UnguardedError
from concurcrawl.workers.launch.guard import is_guarded
from concurcrawl.workers.launch.mentioned import mentioned
from concurcrawl.workers.protocol.main_module import MainModule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def check_guard() -> None:
    """Check that workers can import the running script.

    Raises:
        UnguardedError: If importing it would start a crawl.
    """
    script = _script()
    if script is None or scrapy_command():
        return
    at = compat.running_line()
    if not is_guarded(script.read_bytes(), at[1] if at else None):
        raise UnguardedError(str(script))


def check_spider(spidercls: type) -> None:
    """Check that *spidercls* can be sent to workers if ``__main__`` defines it.

    Raises:
        NotDefinableError: If it cannot be sent to them.
    """
    is_typed_in = spidercls.__module__ == "__main__" and _script() is None
    if is_typed_in and not scrapy_command():
        _packed([spidercls.__qualname__.partition(".")[0]])


def describe(crawl: bytes) -> MainModule:
    """Return what workers need of ``__main__``.

    Args:
        crawl: The encoded :class:`~concurcrawl.workers.protocol.messages.CrawlSpec`.

    Raises:
        NotDefinableError: If it cannot be sent to them.
    """
    if scrapy_command():  # of Scrapy's own script they need nothing
        return MainModule()
    main = sys.modules["__main__"]
    script = _script()
    if script is None:
        return _packed(_names_in(crawl, vars(main)))
    name = getattr(getattr(main, "__spec__", None), "name", None)
    return MainModule(name=name) if name else MainModule(path=str(script))


def describe_elsewhere(crawl: bytes) -> MainModule:
    """Return what workers on other machines need of ``__main__``.

    Its script is in the archive of the project, at the top.

    Args:
        crawl: As for :func:`describe`.

    Raises:
        NotDefinableError: If it cannot be sent to them.
        UnguardedError: If they would crawl when they import it.
    """
    check_guard()
    main = describe(crawl)
    return replace(main, path=Path(main.path).name) if main.path else main


def _script() -> Path | None:
    """Return the file that workers can import as ``__main__``, or None."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None) or ""
    file = getattr(main, "__file__", None)
    at = compat.running_line()
    is_typed_in = at is not None and at[0].startswith("<")  # python -i script.py
    if file is None or is_typed_in or name.rpartition(".")[2] == "__main__":
        return None
    path = Path(file).absolute()
    return path if path.suffix != ".pyc" and path.is_file() else None


def _names_in(crawl: bytes, namespace: dict[str, Any]) -> Iterator[str]:
    """Yield the classes and functions of ``__main__`` that *crawl* names."""
    start = crawl.index(b"\x80")  # where the pickle begins
    for _, text, _ in pickletools.genops(crawl[start:]):
        name = text.partition(".")[0] if isinstance(text, str) else ""
        if isinstance(namespace.get(name), FunctionType | type):
            yield name


def _packed(names: Iterator[str] | list[str]) -> MainModule:
    found = mentioned(names, vars(sys.modules["__main__"]))
    if not found:
        return MainModule()
    import cloudpickle  # most crawls need no definitions

    try:
        # Not dill: it makes no Enum, and an Item that cannot be instantiated.
        definitions = cloudpickle.dumps(found)
    except Exception as error:
        raise NotDefinableError(", ".join(sorted(found)), str(error)) from error
    return MainModule(definitions=definitions, sources=_sources(found))


def _sources(found: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    functions = [
        function
        for value in found.values()
        for function in (value, *_attributes(value))
        if isinstance(function, FunctionType)
    ]
    files = {function.__code__.co_filename for function in functions}
    lines = {file: tuple(linecache.getlines(file)) for file in files}
    return tuple((file, some) for file, some in lines.items() if some)


def _attributes(value: object) -> Iterable[object]:
    return vars(value).values() if isinstance(value, type) else ()
