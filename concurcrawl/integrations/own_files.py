"""Find middlewares that write a file, by reading their code. None is called.

Each worker has its own middlewares, so a file that a middleware opens for writing is
opened in each of them. That may work, so it is only reported.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules whose databases only one process at a time can open for writing.
_DBM = {"dbm", "gdbm", "ndbm"}

#: Flags of ``dbm.open`` that write; the default reads.
_DBM_WRITES = re.compile(r"[cnw][fsu]*")

#: Modes of ``open`` that write from the beginning; appending is safe in many processes.
_WRITES = re.compile(r"[wx][bt]?\+?[bt]?|r[bt]?\+[bt]?")

#: Methods of ``pathlib.Path`` that do.
_WRITERS = {"write_text", "write_bytes"}


class Use(Enum):
    """How a class uses files."""

    NONE = auto()
    WRITES = auto()
    EXCLUSIVE = auto()


def use_of(cls: type) -> Use:
    """Return how the methods of *cls* and of its bases use files.

    Scrapy's own bases are left out.
    """
    codes = [code for method in _methods(cls) for code in _nested(method)]
    names = {name for code in codes for name in code.co_names}
    if any(map(_has_database, codes)):
        return Use.EXCLUSIVE
    if names & _WRITERS or any(map(_opens_to_write, codes)):
        return Use.WRITES
    return Use.NONE


def _has_database(code: CodeType) -> bool:
    names, texts = {*code.co_names}, _texts(code)
    if "shelve" in names and "open" in names:
        return "r" not in texts  # it writes by default
    return bool(names & _DBM) and any(map(_DBM_WRITES.fullmatch, texts))


def _opens_to_write(code: CodeType) -> bool:
    return "open" in code.co_names and any(map(_WRITES.fullmatch, _texts(code)))


def _texts(code: CodeType) -> list[str]:
    return [const for const in code.co_consts if isinstance(const, str)]


def _methods(cls: type) -> Iterator[CodeType]:
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == "scrapy":
            continue
        for thing in vars(base).values():
            function: Any = getattr(thing, "__func__", thing)  # of a class method
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                yield code


def _nested(code: CodeType) -> Iterator[CodeType]:
    """Yield *code* and that of the functions in it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _nested(const)
