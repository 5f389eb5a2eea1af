"""Find the names of ``__main__`` that a definition needs."""

from __future__ import annotations

import dis
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_READS = {"LOAD_GLOBAL", "LOAD_NAME"}


def mentioned(names: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return *names* of *namespace* with everything that they refer to there.

    Args:
        names: The names to start with; missing ones are ignored.
        namespace: The namespace of the module.
    """
    search = _Search(namespace)
    found: dict[str, Any] = {}
    pending = [*names]
    while pending:
        name = pending.pop()
        if name in namespace and name not in found and not _is_pythons(name):
            found[name] = namespace[name]
            pending += search.names(found[name])
    return found


def _is_pythons(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


class _Search:
    """Finds the names that values refer to; visits each value once."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._names = {id(value): name for name, value in namespace.items()}
        self._seen: dict[int, Any] = {}  # with the values: the ids of others may return

    def names(self, value: Any) -> Iterator[str]:
        pending = [value]
        while pending:
            one = pending.pop()
            if id(one) in self._seen or isinstance(one, ModuleType):
                continue  # workers import modules
            self._seen[id(one)] = one
            if isinstance(one, FunctionType | type) and id(one) in self._names:
                yield self._names[id(one)]
            if isinstance(one, FunctionType) and one.__globals__ is self._namespace:
                yield from _globals_of(one.__code__)
            pending += self._parts(one)

    def _parts(self, value: Any) -> Iterable[Any]:
        parts: Iterable[Any]
        match value:
            case type():
                parts = self._parts_of_class(value)
            case FunctionType():
                parts = [*_cells(value), value.__defaults__, value.__kwdefaults__]
            case staticmethod() | classmethod() | MethodType():
                parts = [value.__func__]
            case property():
                parts = [value.fget, value.fset, value.fdel]
            case partial():
                parts = [value.func, value.args, value.keywords]
            case dict():
                parts = [*value.keys(), *value.values()]
            case list() | tuple() | set() | frozenset():
                parts = value
            case _:  # its class, and what it holds, as the rules of a CrawlSpider do
                parts = [type(value), getattr(value, "__dict__", None)]
        return parts

    def _parts_of_class(self, cls: type) -> Iterable[Any]:
        if id(cls) not in self._names and cls.__module__ not in _MAIN:
            return []  # workers import it
        return [*cls.__mro__[1:], type(cls), *vars(cls).values()]


#: How ``__main__`` is called; the second where it has been imported.
_MAIN = ("__main__", "__mp_main__")


def _cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty yet
            continue


def _globals_of(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)
