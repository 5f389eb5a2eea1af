"""Imports have no circle, and importing a module has no effects."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from concurcrawl.compat import parts
from tests.support import private_names, scrapy_internals
from tests.support.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT / "concurcrawl"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def path_of(name: str) -> Path:
    return (PACKAGE / Path(*name.split("."))).with_suffix(".py")


def is_module(name: str) -> bool:
    return path_of(name).exists()


#: Folders have no code of their own; the package's is there for who uses it.
MODULES = sorted(
    name_of(path) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"
)


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ours that *path* imports, late imports included.

    What it imports only to name types is left out: two parts of one process that talk
    to each other name each other's type, and at run time neither needs the other.
    """
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node: ast.AST = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)  # type: ignore[arg-type]
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        ours = [name.removeprefix("concurcrawl.") for name in names]
        yield from (name for name in ours if is_module(name))


def test_imports_have_no_circle() -> None:
    TopologicalSorter({name: [*imported(path_of(name))] for name in MODULES}).prepare()


def test_no_class_name_is_used_twice() -> None:
    places: dict[str, list[str]] = {}
    for name in MODULES:
        for node in ast.walk(ast.parse(path_of(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {cls: names for cls, names in places.items() if len(names) > 1} == {}


def test_folders_have_no_code_of_their_own() -> None:
    # Errors are caught by users, who need not know in which module each one is.
    exported = PACKAGE / "errors/__init__.py"
    for path in set(PACKAGE.rglob("*/__init__.py")) - {exported}:
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path


def test_the_rule_sees_late_imports_and_not_those_for_types(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "if TYPE_CHECKING:\n"
        "    from concurcrawl.addon import Addon\n"
        "from concurcrawl import stats, nothing\n"
        "def late():\n"
        "    import concurcrawl.workers.supervisor.pool\n",
        encoding="utf-8",
    )
    assert sorted(imported(module)) == ["stats", "workers.supervisor.pool"]


def python(code: str) -> str:
    """Return what *code* prints in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    ).stdout


def test_importing_anything_installs_no_reactor() -> None:
    names = [f"concurcrawl.{name}" for name in MODULES if name != "__main__"]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    assert "twisted.internet.reactor" not in python(code).split()


@pytest.mark.parametrize(
    "module",
    [
        "tools.testsite.server",
        "frontier.sqlite",
        "tools.compare.report.terminal",
        "cli",
    ],
)
def test_what_needs_no_scrapy_does_not_wait_for_it(module: str) -> None:
    code = f"import sys, concurcrawl.{module}; print('scrapy' in sys.modules)"
    assert python(code) == "False\n"


# What libraries keep to themselves ----------------------------------------------


def in_compat(name: str) -> bool:
    return name.startswith("compat.")


def test_what_is_private_is_touched_in_compat_only() -> None:
    found = [
        f"{name}:{line}: {text}"
        for name in MODULES
        if not in_compat(name)
        for line, text in private_names.uses(path_of(name).read_text(encoding="utf-8"))
    ]
    assert found == []


def test_classes_share_no_private_name_with_a_librarys_base() -> None:
    found = {
        f"{name}.{cls.__qualname__}": shared
        for name in MODULES
        if not in_compat(name) and name != "__main__"
        for cls in vars(import_module(f"concurcrawl.{name}")).values()
        if inspect.isclass(cls) and cls.__module__ == f"concurcrawl.{name}"
        if (shared := private_names.shared(cls))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "engine._slot.closing = None",
        "slot = self._crawler.engine._slot",
        "from scrapy.exceptions import _InvalidOutput",
        "import twisted.web._newclient",
        "from twisted.web._newclient import HTTP11ClientProtocol",
        "getattr(engine, '_start', None)",
        "vars(engine)['_slot']",
        "engine.__dict__['_slot']",
        "operator.attrgetter('engine._slot')",
        "engine.pause = pause  # type: ignore[method-assign]",
        "setattr(manager, name, wrapped(getattr(manager, name)))",
        "import dbm; dbm.open = noting_open",
        "other.__secret",
    ],
)
def test_the_rule_sees_each_way_to_touch_something_private(line: str) -> None:
    assert [*private_names.uses(line)] == [(1, line)]


@pytest.mark.parametrize(
    "line",
    [
        "self._slot = cls._slot or super()._slot",
        "said = written._replace(delay_s=2)._asdict()",
        "name = type(self).__name__ + getattr(self, '__doc__')",
        "setattr(sys, 'stdout', stream)",
        "_, slot = slots[_]",
    ],
)
def test_the_rule_leaves_alone_what_is_our_own_or_public(line: str) -> None:
    assert [*private_names.uses(line)] == []


def test_the_rule_sees_what_a_class_overrides_or_asks_of_its_base() -> None:
    class Base:
        def __init__(self) -> None:
            self._slot = self._place = 0

        def _start(self) -> int:
            return self._place

    class Derived(Base):
        def _start(self) -> int:
            return self._slot + self._our_own

        _our_own = 3

    assert private_names.shared(Derived).keys() == {"_start", "_slot"}


def test_compat_declares_the_private_parts_that_it_touches() -> None:
    for name in filter(in_compat, MODULES):
        module = import_module(f"concurcrawl.{name}")
        touched = " ".join(
            str(part)
            for thing, declared in parts.TOUCHED.items()
            if thing.__module__ == module.__name__
            for part in declared
        )
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private_names.is_private(node.attr):
                owner = node.value
                is_self = isinstance(owner, ast.Name) and owner.id == "self"
                if not is_self:
                    assert node.attr in touched, f"{name}:{node.lineno}"


def test_a_start_looks_for_each_part_that_compat_declares() -> None:
    for name in filter(in_compat, MODULES):
        import_module(f"concurcrawl.{name}")
    used = {f"concurcrawl.compat.{name}" for one in parts.USED.values() for name in one}
    declared = {thing.__module__ for thing, found in parts.TOUCHED.items() if found}
    assert declared <= used


def test_the_page_about_internals_is_made_from_compat() -> None:
    page = scrapy_internals.PATH.read_text(encoding="utf-8")
    assert page == scrapy_internals.text(), (
        "write it anew: python -m tests.support.scrapy_internals"
    )
