"""Imports have no circle, and importing a module has no effects."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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


def test_folders_have_no_code_of_their_own() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
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
