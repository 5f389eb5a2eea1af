"""README.md, CONTRIBUTING.md, CHANGELOG.md and the pages in docs/ match the code."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

import pytest

from concurcrawl import cli, errors
from concurcrawl.config import PREFIX, Config, markdown_table
from tests.support import metrics_table, settings_table
from tests.support.crawls import DEADLINE_S, ROOT, environment
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCS = ROOT / "docs"
PACKAGE = ROOT / "concurcrawl"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.glob("*.md")),
]

#: What begins like a setting and is read from the environment.
FROM_ENVIRONMENT = {"CONCURCRAWL_FRONTIER_PASSWORD", "CONCURCRAWL_DEPLOY_AUTH"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code_of(text: str) -> list[str]:
    """Return fenced blocks and code in lines: "make sure" is English elsewhere."""
    return re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)


def commands_of(text: str) -> Iterator[str]:
    """Yield the commands of console blocks, continued lines joined."""
    for block in re.findall(
        r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL
    ):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("$ "):
                yield line.strip().removeprefix("$ ")


def anchors_of(text: str) -> set[str]:
    """Return the anchors of headings, as GitHub and MyST make them."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@each_page
def test_each_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\(\s*(?!https?://|mailto:)([^)\s]+)\s*\)", prose)
    links += re.findall(r"(?:src|srcset)=\"([^\"]+)\"", text)
    links += re.findall(r"```\{(?:image|include)\} (\S+)", text)
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_there = target.exists() and (
            not anchor or anchor in anchors_of(target.read_text(encoding="utf-8"))
        )
        if not is_there:
            broken.append(link)
    assert broken == []


@each_page
def test_the_repository_has_one_address(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    source = project["project"]["urls"]["Source"]
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https://[\w.]+/[\w-]+/concurcrawl\b", text)) <= {source}


@each_page
def test_each_make_target_that_is_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = code_of(page.read_text(encoding="utf-8"))
    named = {
        target
        for part in code
        for target in re.findall(r"(?:^|[`\s])make ([a-z-]+)", part)
    }
    assert named - targets == set()


@each_page
def test_each_module_and_import_path_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m ([\w.]+)", text)) - {"build", "pip"}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    if page.name != "changelog.md":
        paths = re.findall(r"(?<!/)concurcrawl(?:/[\w.]+)+/?", "".join(code_of(text)))
        stats = set(re.findall(r'"(concurcrawl/[\w/]+)"', sources()))
        missing = [path for path in paths if not (ROOT / path).exists()]
        assert set(missing) - stats == set()


@cache
def sources() -> str:
    return "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))


@each_page
def test_each_setting_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    settings = {PREFIX + field.name.upper() for field in fields(Config)}
    known = settings | FROM_ENVIRONMENT | {f"{PREFIX}MODE"}
    assert set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", text)) - known == set()


@cache
def options_of(command: str) -> set[str]:
    """Return the options of ``concurcrawl COMMAND``, none if there is no such one."""
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        cli.main([command, "--help"])
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", said.getvalue()))


@each_page
def test_each_command_and_option_that_is_shown_exists(page: Path) -> None:
    unknown = []
    for command in commands_of(page.read_text(encoding="utf-8")):
        words = shlex.split(command, comments=True)
        if words[:1] == ["concurcrawl"]:
            used = {word.partition("=")[0] for word in words if word.startswith("-")}
            known = options_of(words[1])
            if not known or used - known:
                unknown.append(command)
    assert unknown == []


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    page = settings_table.PATH.read_text(encoding="utf-8")
    assert settings_table.BEGIN in page
    assert page == settings_table.replace_table(page, markdown_table())


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_picture_of_the_package_names_each_room_and_each_module_beside_them() -> (
    None
):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(
        r"^```text\n(concurcrawl/\n.*?)^```$", readme, re.MULTILINE | re.DOTALL
    )
    assert found, "README.md has no fenced block whose first line is 'concurcrawl/'"
    picture = found[1].partition("benchmarks/")[0]
    rooms = {path.parent.name for path in PACKAGE.rglob("*.py")}
    assert set(re.findall(r"(\w+)/", picture)) == rooms
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py\b", picture)) == modules


def test_each_stat_of_the_page_is_counted_somewhere() -> None:
    page = (DOCS / "stats.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(concurcrawl/[\w/]+)`", page, re.MULTILINE))
    text = "\n".join(texts_of_the_source())
    assert named
    assert [stat for stat in named if not re.search(rf"{stat}\b", text)] == []


@cache
def texts_of_the_source() -> tuple[str, ...]:
    """Return the texts in the package, with a % or {} where something is put in."""
    found: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "{}"
                    for part in node.values
                ]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def test_each_sentence_of_troubleshooting_is_one_that_the_code_can_say() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    symptoms = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    texts = texts_of_the_source()
    unknown = [
        symptom
        for symptom in symptoms
        for piece in symptom.split("…")
        if len(piece) > 3 and not any(piece.strip(" .") in text for text in texts)
    ]
    assert len(symptoms) > 50
    assert unknown == []


def test_each_error_is_in_troubleshooting() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ConcurcrawlError)
    }
    names.remove("ConcurcrawlError")
    assert names - set(re.findall(r"`(\w+Error)`", page)) == set()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet"]
    done = run([*command, "-d", str(tmp_path / "trees"), str(DOCS), "built"], tmp_path)
    assert done.stderr == ""
    built = {path.stem for path in (tmp_path / "built").glob("*.html")}
    assert {page.stem for page in DOCS.glob("*.md")} <= built


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def run_shown(command: str, folder: Path) -> None:
    """Run a command of a page, with the ``scrapy`` of this Python."""
    scrapy = f"{shlex.quote(sys.executable)} -m scrapy "
    done = run(["sh", "-c", re.sub(r"^scrapy ", scrapy, command)], folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_project_of_the_first_hour_gives_the_same_items_in_two_modes(
    tmp_path: Path,
) -> None:
    page = (DOCS / "first-hour.md").read_text(encoding="utf-8")
    part = page.partition("## A project of your own")[2].partition("## Before")[0]
    spider, setting = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    new, _, _, *crawls = commands_of(part)  # "cd" and the test site are done here
    run_shown(new, tmp_path)
    project = tmp_path / "atlas"
    (project / "atlas/spiders/populations.py").write_text(spider, encoding="utf-8")
    with (project / "atlas/settings.py").open("a", encoding="utf-8") as file:
        file.write(setting)
    options = ("--port", "0", "--until-stdin-closes")
    with serving("concurcrawl", "testsite", *options) as url:
        for command in crawls:
            run_shown(
                command.replace("http://localhost:8000", url.rstrip("/")), project
            )
    items = (project / "b").read_text(encoding="utf-8").splitlines()
    assert len(set(items)) == 5


def test_the_table_of_metrics_is_the_one_of_the_code() -> None:
    page = metrics_table.PATH.read_text(encoding="utf-8")
    assert metrics_table.BEGIN in page
    assert page == metrics_table.replaced(page)
