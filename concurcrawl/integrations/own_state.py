"""Find attributes that a spider's ``closed()`` reads and its callbacks change.

Callbacks run in workers, each with a spider of its own: what they collect on ``self``
is missing in the supervisor. The source is read, and nothing in it is called.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_Method = ast.FunctionDef | ast.AsyncFunctionDef

#: Methods of lists, sets, dicts, deques and counters that change them.
_CHANGES = {
    *("append", "appendleft", "extend", "insert", "add", "update", "setdefault"),
    *("pop", "popleft", "popitem", "remove", "discard", "clear", "subtract"),
}

#: Methods that run before the first callback, or in the supervisor.
_NOT_CALLBACKS = {
    *("__init__", "from_crawler", "update_settings", "start", "start_requests"),
    "closed",
}

#: Attributes whose changes are collected from workers.
_COLLECTED = {"state", "crawler"}


def gathered(cls: type, reader: str, others: Collection[str] = ()) -> list[str]:
    """Return the attributes that *reader* reads and callbacks of *cls* change.

    Args:
        cls: Class of a spider.
        reader: Name of the method that reads.
        others: Names of more methods that run in the supervisor.
    """
    methods = _methods(cls)
    if reader not in methods:
        return []
    left_out = {*_NOT_CALLBACKS, *others, reader}
    changed = {
        name
        for method in methods.values()
        if method.name not in left_out
        for name in _changed(method)
    }
    read = {
        node.attr
        for node in ast.walk(methods[reader])
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    return sorted((read & changed) - _COLLECTED)


def _methods(cls: type) -> dict[str, _Method]:
    """Return the methods by name; Scrapy's own are left out."""
    found: dict[str, _Method] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in {"scrapy", "builtins"}:
            continue
        for node in _parsed(base):
            if isinstance(node, ast.ClassDef):
                found |= {
                    one.name: one for one in node.body if isinstance(one, _Method)
                }
    return found


def _parsed(cls: type) -> list[ast.stmt]:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return []  # made by exec(), or in C: there is no source to read


def _changed(method: _Method) -> Iterator[str]:
    """Yield the attributes of ``self`` that are set, or whose content changes."""
    for node in ast.walk(method):
        target: ast.AST | None = None
        if isinstance(node, ast.Attribute | ast.Subscript):
            target = None if isinstance(node.ctx, ast.Load) else node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value if node.func.attr in _CHANGES else None
        name = _attribute_of_self(target)
        if name:
            yield name


def _attribute_of_self(node: ast.AST | None) -> str:
    """Return the ``x`` of ``self.x``, ``self.x["y"].z`` and so on."""
    name = ""
    while isinstance(node, ast.Attribute | ast.Subscript):
        name = node.attr if isinstance(node, ast.Attribute) else ""
        node = node.value
    return name if isinstance(node, ast.Name) and node.id == "self" else ""
