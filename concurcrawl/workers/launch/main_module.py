"""What a spawned worker has for ``__main__``.

A script is imported once more, as Python's own multiprocessing does it. Where there is
none (a notebook, ``python -c``, standard input, the ``__main__.py`` of a package), what
the spider needs of ``__main__`` is sent by value.
"""

from __future__ import annotations

import linecache
import os
import pickle
import pickletools
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from concurcrawl.compat import main_module as compat
from concurcrawl.compat.stack import scrapy_command
from concurcrawl.errors import NotDefinableError, UnguardedError
from concurcrawl.workers.launch.guard import is_guarded
from concurcrawl.workers.launch.mentioned import mentioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class MainModule:
    """What to make ``__main__`` of; nothing if all is empty.

    Attributes:
        name: The module to import, of ``python -m``.
        path: The script to import.
        definitions: What to define instead, packed.
        sources: The lines of what was typed in, by the name of their "file": Scrapy
            reads the source of callbacks.
    """

    name: str = ""
    path: str = ""
    definitions: bytes = b""
    sources: tuple[tuple[str, tuple[str, ...]], ...] = ()


def check_guard() -> None:
    """Check that workers can import the script that runs.

    Raises:
        UnguardedError: If they would crawl when they import it.
    """
    script = _script()
    if script is None or scrapy_command():
        return
    at = compat.running_line()
    if not is_guarded(script.read_bytes(), at[1] if at else None):
        raise UnguardedError(str(script))


def check_spider(spidercls: type) -> None:
    """Check that workers can have *spidercls* if ``__main__`` defines it.

    Raises:
        NotDefinableError: If it cannot be sent to them.
    """
    is_typed_in = spidercls.__module__ == "__main__" and _script() is None
    if is_typed_in and not scrapy_command():
        _packed([spidercls.__qualname__.partition(".")[0]])


def describe(crawl: bytes) -> MainModule:
    """Return what workers need of ``__main__``.

    Args:
        crawl: The encoded :class:`~concurcrawl.workers.protocol.messages.Crawl`.

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


def load(main: MainModule, on_crawl: Callable[[], None]) -> None:
    """Make ``__main__`` of this process, a worker.

    Args:
        main: What it is.
        on_crawl: Called if the script begins a crawl because it is imported, also in
            a thread of its own; must not return.

    Raises:
        Exception: Any that the script raises.
    """
    global _on_crawl  # noqa: PLW0603 - one a process, as there is one __main__
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


#: The worker whose script was imported, and what it does when that crawls.
_on_crawl: tuple[int, Callable[[], None]] | None = None


def crawl_begins() -> None:
    """End this process if it is a worker: its script was imported, and crawls."""
    if _on_crawl is not None and _on_crawl[0] == os.getpid():
        _on_crawl[1]()


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


def _define(main: MainModule) -> None:
    module = ModuleType("__main__")
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    if main.definitions:
        vars(module).update(pickle.loads(main.definitions))  # noqa: S301 - our supervisor's
    for file, lines in main.sources:
        text = "".join(lines)
        # Without a time it is never looked for on the disk.
        linecache.cache[file] = len(text), None, list(lines), file
