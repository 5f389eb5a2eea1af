"""What README.md says is so."""

from __future__ import annotations

import re

import pytest

from concurcrawl.config import markdown_table
from tests.support.crawls import ROOT

PACKAGE = ROOT / "concurcrawl"


@pytest.fixture(scope="module")
def readme() -> str:
    path = ROOT / "README.md"
    assert path.exists(), "README.md is to be written"
    return path.read_text(encoding="utf-8")


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def layout(readme: str) -> str:
    """Return the picture of the package: the fenced block that begins with its name."""
    found = re.search(
        r"^```[a-z]*\nconcurcrawl/\n.*?^```$", readme, re.MULTILINE | re.DOTALL
    )
    assert found, "README.md has no fenced block whose first line is 'concurcrawl/'"
    return found[0]


def test_the_settings_table_is_the_one_of_the_code(readme: str) -> None:
    begin, end = "<!-- settings:begin -->\n", "<!-- settings:end -->"
    assert begin in readme
    assert end in readme
    table = readme.split(begin)[1].split(end, maxsplit=1)[0]
    assert table.strip() == markdown_table().strip()


def test_every_make_target_that_is_named_exists(readme: str) -> None:
    # In code only: "make sure" is English.
    code = re.findall(r"```.*?```|`[^`\n]+`", readme, re.DOTALL)
    named = {
        target
        for part in code
        for target in re.findall(r"(?:^|[`\s])make ([a-z-]+)", part)
    }
    assert {"compare", "test"} <= named
    assert named - targets() == set()


def test_the_picture_of_the_package_names_each_room_and_each_module_beside_them(
    readme: str,
) -> None:
    found = layout(readme).partition("benchmarks/")[0]
    rooms = {path.parent.name for path in PACKAGE.rglob("*.py")}
    assert set(re.findall(r"(\w+)/", found)) == rooms
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py\b", found)) == modules


def test_every_file_that_is_linked_exists(readme: str) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
