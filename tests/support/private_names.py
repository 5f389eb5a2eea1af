"""Finds where code touches what other libraries keep to themselves."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Methods of named tuples: the underscore keeps them apart from fields, and Python's
#: documentation has them.
_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}

_BY_NAME = {"attrgetter", "delattr", "getattr", "hasattr", "methodcaller", "setattr"}

#: Where mypy was told that a method is replaced.
_REPLACED = re.compile(r"#\s*type:\s*ignore\[[^]]*\bmethod-assign\b")


def is_private(name: object) -> bool:
    """Return whether *name* begins with an underscore and is not Python's own."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"_\w*[^\W_]\w*", name) is not None
        and not (name.startswith("__") and name.endswith("__"))
        and name not in _NAMED_TUPLES
    )


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each use in *source* of something that is not its own.

    That is a private attribute of anything but ``self``, ``cls`` and ``super()``, by
    whatever means, a private module or name that is imported, and a method or a
    module's attribute that is replaced.
    """
    tree = ast.parse(source)
    imported = {name for node in ast.walk(tree) for name in _bound(node)}
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        if _REPLACED.search(line):
            yield number, line.strip()
    for node in ast.walk(tree):
        if (
            _is_private_attribute(node)
            or _is_private_import(node)
            or _is_by_name(node)
            or _is_replaced(node, imported)
        ):
            number = node.lineno  # type: ignore[attr-defined]
            yield number, lines[number - 1].strip()


def _is_private_attribute(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and not _is_own(node.value)
    )


def _is_own(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_private_import(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        return node.module != "__future__" and any(map(is_private, names))
    if isinstance(node, ast.Import):
        return any(is_private(n) for one in node.names for n in one.name.split("."))
    return False


def _is_by_name(node: ast.AST) -> bool:
    """Return whether a private name is in a string, as in ``getattr(x, "_y")``."""
    if isinstance(node, ast.Subscript):  # vars(x)["_y"], x.__dict__["_y"]
        owner = node.value
        is_vars = isinstance(owner, ast.Call) and _called(owner) == "vars"
        is_dict = isinstance(owner, ast.Attribute) and owner.attr == "__dict__"
        return (is_vars or is_dict) and is_private(_constant(node.slice))
    if not isinstance(node, ast.Call) or _called(node) not in _BY_NAME:
        return False
    if _called(node) == "setattr" and len(node.args) > 2:
        wraps = any(
            isinstance(one, ast.Call) and _called(one) == "getattr"
            for one in ast.walk(node.args[2])
        )
        if wraps:
            return True
    # Of "a._b", the last is what counts.
    return any(
        is_private(name)
        for arg in node.args
        for name in str(_constant(arg) or "").split(".")
    )


def _is_replaced(node: ast.AST, imported: set[str]) -> bool:
    """Return whether an attribute of something that was imported is assigned."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in imported
    )


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0]


def _called(node: ast.Call) -> str:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return str(name)


def _constant(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def shared(cls: type) -> dict[str, str]:
    """Return the private names that *cls* has in common with others' bases.

    Its own are those in its body: methods, attributes of the class, and what it asks
    ``self``, ``cls`` and ``super()`` for.

    Returns:
        The base by the name.
    """
    theirs = {
        name: f"{base.__module__}.{base.__qualname__}"
        for base in reversed(cls.__mro__[1:])
        if not is_ours(base) and base is not object
        for name in _private_names_of(base)
    }
    return {name: theirs[name] for name in _own_names(cls) & theirs.keys()}


def is_ours(cls: type) -> bool:
    """Return whether *cls* is defined in the package."""
    return cls.__module__.partition(".")[0] == "concurcrawl"


def _private_names_of(base: type) -> Iterator[str]:
    for name, value in vars(base).items():
        yield from filter(is_private, [name, *_names_in(value)])


def _names_in(value: Any) -> Iterator[str]:
    """Yield the names of attributes that a function uses."""
    for one in (value, *(getattr(value, name, None) for name in ("fget", "__func__"))):
        code = getattr(inspect.unwrap(one) if callable(one) else one, "__code__", None)
        if isinstance(code, CodeType):
            yield from code.co_names


def _own_names(cls: type) -> set[str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {
        node.id
        for statement in body.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(body):
        if isinstance(node, ast.Attribute) and _is_own(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return {name for name in found if is_private(name)}
