"""The sdist and the wheel that people install: what is in them, and that they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.crawls import DEADLINE_S, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SPIDER = """
import concurcrawl
import scrapy


class Five(scrapy.Spider):
    name = "five"

    async def start(self):
        for number in range(5):
            url = f"{self.site}/echo?{number}"
            yield scrapy.Request(url, cb_kwargs={"n": number})

    def parse(self, response, n):
        yield {"n": n, "status": response.status, "package": concurcrawl.__file__}
"""

#: As in a project that was written for 0.1.0.
PROFILE = """
from concurcrawl.politeness import Profile

MINE = Profile(name="mine", hosts=("shop.example",))
"""

#: Names of distributions that only extras bring.
NOT_CORE = {"bokeh", "numpy", "redis", "scrapyd", "uvloop", "isal"}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run *command* away from this checkout: only what is installed is importable."""
    hidden = {"PYTHONPATH", "PYTHONHOME"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    done = run(*build, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the wheel and what it depends on, no extra.

    The dependencies are those of this environment, by links: that takes no network, and
    what is imported without being declared is not there.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in files_of_dependencies():
        (packages / path.name).symlink_to(path)
    done = run(
        *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python"),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def files_of_dependencies() -> set[Path]:
    """Return files and folders at the top of what the package needs without extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        Path(str(found.locate_file(top)))
        for name in needed(project["project"]["dependencies"])
        for found in (distribution(name),)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    }


def needed(requirements: list[str]) -> Iterator[str]:
    """Yield the names of all distributions that *requirements* bring."""
    waiting = [(Requirement(text), "") for text in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            yield name
            of_this = distribution(name).requires or ()
            waiting += [(Requirement(text), wanted) for text in of_this]


def test_the_wheel_has_the_package_whole_and_nothing_else(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "concurcrawl").rglob("*.*")
        if path.is_file() and path.suffix != ".pyc"
    }
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == package
    assert {path.rsplit(".", 1)[1] for path in package} == {
        *("py", "typed", "lua", "css", "html", "js", "csv", "toml")
    }
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_the_sdist_has_what_tests_documents_and_servers_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {path.name for path in ROOT.iterdir() if path.suffix in (".md", ".py")}
    assert beside | {"LICENSE", "Makefile", "scrapy.cfg", ".ci/run"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {"concurcrawl", "tests", "benchmarks", "deploy", "docs"} <= tops
    assert not tops & {".venv", ".nox", ".git", "build", "dist"}
    assert "tests/integration/test_packaging.py" in names


def test_core_needs_no_library_of_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert not NOT_CORE & set(needed(project["project"]["dependencies"]))
    assert {"scrapy", "twisted", "multiprocess", "beautifulsoup4"} <= set(
        needed(project["project"]["dependencies"])
    )


def test_the_installed_command_lists_its_commands(installed: Path) -> None:
    done = run(installed / "bin" / "concurcrawl", "--help", cwd=installed)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout


def test_the_installed_package_crawls(
    installed: Path, site: str, tmp_path: Path
) -> None:
    (tmp_path / "spider.py").write_text(SPIDER, encoding="utf-8")
    (tmp_path / "mine.py").write_text(PROFILE, encoding="utf-8")
    add_on = 'ADDONS={"concurcrawl.Addon": 500}'
    done = run(
        *(installed / "bin" / "python", "-m", "scrapy", "runspider", "spider.py"),
        *("-a", f"site={site}", "-s", add_on, "-s", "MODE=hybrid"),
        *("-s", "CONCURCRAWL_WORKERS=2", "-s", "COOKIES_ENABLED=0"),
        *("-s", "CONCURCRAWL_PROFILES=mine.MINE", "-O", "items.jsonl"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "'finish_reason': 'finished'" in done.stderr, done.stderr
    assert done.stderr.count("concurcrawl.politeness is now") == 1, done.stderr
    lines = (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    assert sorted(item["n"] for item in items) == [0, 1, 2, 3, 4]
    assert {item["status"] for item in items} == {200}
    assert all(Path(item["package"]).is_relative_to(installed) for item in items)


@pytest.mark.parametrize("words", [("compare",), ("advise",), ("report", ".")])
def test_without_its_extra_a_command_says_what_to_install(
    words: tuple[str, ...], installed: Path, tmp_path: Path
) -> None:
    done = run(installed / "bin" / "concurcrawl", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"concurcrawl {words[0]}: the report of a comparison needs Bokeh, which is not "
        "installed: pip install 'concurcrawl[compare]'\n"
    )
    assert list(tmp_path.iterdir()) == []  # it ended before it crawled or wrote


def test_the_installed_test_site_has_its_tables(installed: Path) -> None:
    code = (
        "from concurcrawl.tools.testsite import grammar, countries;"
        "from importlib.metadata import version;"
        "assert grammar.words();"
        "print(len(countries.countries()), version('concurcrawl'))"
    )
    done = run(installed / "bin" / "python", "-c", code, cwd=installed)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert done.stdout.split() == ["233", project["project"]["version"]], done.stderr
