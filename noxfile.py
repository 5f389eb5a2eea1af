"""Runs the tests on every Python that is here; ``make test`` calls it.

All tests run on the default Python, which is that of ``.venv`` and of nox itself. The
newest one runs all but those marked ``once``, and so does each that ``PYTHONS`` names;
the ones between run a part of these. Each has an environment under ``.nox`` that is
kept until ``pyproject.toml``, this file or that Python changes. The session ``plugins``
has real plugins of Scrapy besides, and runs ``tests/plugins`` on the default Python.

The few tests that fail are run once more, one at a time, as CPython's test runner does;
a session fails if any of them fails again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nox
from nox.command import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The Pythons that are looked for. Classifiers name those that tests have passed on.
VERSIONS = ("3.11", "3.12", "3.13", "3.14")

ROOT = Path(__file__).parent

#: Prints the version of a Python that can run the tests: CPython, with its lock.
_PROBE = """
import platform, sys, sysconfig
if platform.python_implementation() == "CPython":
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        print(platform.python_version())
"""

#: How long a Python may take to say its version; a broken one may hang.
_PROBE_S = 30


def find(version: str) -> str | None:
    """Return the path of a Python that runs, None if there is none.

    Args:
        version: Such as ``3.12``, or a path.
    """
    if os.sep in version:
        return version if _version(version) else None
    for path in _candidates(version):
        found = _version(str(path))
        if found is not None and found.startswith(f"{version}."):
            return str(path)
    return None


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    folders = os.environ.get("PATH", "").split(os.pathsep)
    # A shim of pyenv runs only where its version is chosen: look at the versions too.
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = root.glob(f"versions/{version}.*/bin")
    latest_first = sorted(installed, key=_numbers, reverse=True)
    for folder in (*map(Path, filter(None, folders)), *latest_first):
        path = folder / name
        if os.access(path, os.X_OK) and path.is_file():
            yield path


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _version(path: str) -> str | None:
    try:
        done = subprocess.run(
            [path, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def default() -> str:
    """Return the version of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def wanted(pythons: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Choose the Pythons besides the default one.

    Args:
        pythons: What ``PYTHONS`` is set to; empty for all that are found.

    Returns:
        Version and path of each; and the versions that were not found.
    """
    found, missing = [], []
    for version in pythons.split() or VERSIONS:
        if version == default():
            continue
        path = find(version)
        if path is None:
            missing.append(version)
        else:
            found.append((version, path))
    return found, missing


_PYTHONS = os.environ.get("PYTHONS", "")
_others, _missing = wanted(_PYTHONS)


#: Processes of pytest: crawls wait for their sites about half of the time, so one more
#: than there are cores.
_PROCESSES = str((os.cpu_count() or 1) + 1)

#: What runs on Pythons between the default and the newest one: all unit tests and
#: contracts, and each spider of the test project in worker processes.
_BETWEEN = ("tests/unit", "tests/contracts", "tests/integration/test_any_spider.py")


#: How many tests may fail in a run whose failures are run once more.
_FEW = 5

#: pytest's exit code if tests failed, and that is all.
_TESTS_FAILED = 1


def run_tests(
    session: nox.Session, python: str, *options: str, codes: Sequence[int] = (0,)
) -> None:
    """Run pytest, and the few tests that failed once more, one at a time.

    Args:
        session: The session of nox; it fails if this raises.
        python: The program to run.
        options: How tests are spread over processes, and what ``pyproject.toml`` lacks;
            what selects tests is taken from the session.
        codes: Exit codes of pytest that are a success.

    Raises:
        CommandFailed: A test failed twice, or more than a few failed, or pytest said
            that something else was wrong.
    """
    cache = ROOT / ".nox" / "cache" / session.name
    pytest = (python, "-m", "pytest", "-o", f"cache_dir={cache}", *options)
    selected = ("--cache-clear", *session.posargs)
    try:
        session.run(*pytest, *selected, success_codes=codes, external=True)
    except CommandFailed as error:
        failed = _failed_tests(cache) if error.return_code == _TESTS_FAILED else []
        if not 0 < len(failed) <= _FEW:
            raise
    else:
        return
    session.warn(f"failed, now run once more, alone: {', '.join(failed)}")
    session.run(*pytest, "-n", "0", *failed, external=True)
    session.warn(f"failed once and passed alone: {', '.join(failed)}")


def _failed_tests(cache: Path) -> list[str]:
    """Return what pytest has noted there, as it wants to be told."""
    notes = cache / "v" / "cache" / "lastfailed"
    if not notes.exists():
        return []
    failed = json.loads(notes.read_text(encoding="utf-8"))
    # pytest-xdist appends the group that a test belongs to.
    return sorted(re.sub(r"\]@[^]]*$", "]", test) for test in failed)


def _spread(how: str) -> tuple[str, ...]:
    return ("-n", _PROCESSES, "--dist", how)


def _on_default(session: nox.Session) -> None:
    run_tests(session, sys.executable, *_spread("worksteal"))


def _on_other(session: nox.Session) -> None:
    _install(session)
    options = (*_spread("worksteal"), "-m", "not once")
    is_newest = session.name == f"tests-{_others[-1][0]}"
    if session.posargs:
        # Where only some are asked for, all of them may be of those that run once.
        run_tests(session, "python", *options, codes=(0, 5))
    elif is_newest or _PYTHONS:
        run_tests(session, "python", *options)
    else:
        testpaths = f"testpaths={' '.join(_BETWEEN)}"
        run_tests(session, "python", *options, "-o", testpaths)


def _with_plugins(session: nox.Session) -> None:
    """Run real plugins from PyPI; all of one plugin in the same process."""
    named = [argument for argument in session.posargs if _is_path(argument)]
    if named and not any("plugins" in path for path in named):
        session.skip("no test of plugins is named")
    _install(session, "plugins")
    # Their metadata exclude this Scrapy, or newer Pythons, but they run.
    alone = ("--no-deps", "--ignore-requires-python", "--group", "plugins-alone")
    session.install("--quiet", *alone)
    options = (*_spread("loadgroup"), "-o", "testpaths=tests/plugins")
    codes = (0, 5) if session.posargs else (0,)
    run_tests(session, "python", *options, codes=codes)


def _is_path(argument: str) -> bool:
    return (ROOT / argument.partition("::")[0]).exists()


def _install(session: nox.Session, *groups: str) -> None:
    """Install what tests need, unless that was done since it last changed."""
    ready = Path(session.virtualenv.location) / "ready"
    sources = (ROOT / "pyproject.toml", ROOT / "noxfile.py")
    changed = max(source.stat().st_mtime for source in sources)
    if ready.exists() and ready.stat().st_mtime >= changed:
        return
    ready.unlink(missing_ok=True)
    session.install("--quiet", "--upgrade", "pip>=25.1")  # the first with --group
    wanted_groups = [word for group in groups for word in ("--group", group)]
    session.install(
        *("--quiet", "--editable", ".[compare,fast]", "--group", "test", *wanted_groups)
    )
    ready.touch()


def _say_what_is_missing(session: nox.Session) -> None:
    """Name the Pythons that nothing was run on; it is an error if one was asked for."""
    sentence = f"not tested, as it was not found: Python {', '.join(_missing)}"
    if _PYTHONS:
        session.error(sentence)
    session.warn(sentence)


if not _PYTHONS or default() in _PYTHONS.split():
    nox.session(name=f"tests-{default()}", venv_backend="none")(_on_default)
    _plugins = nox.session(name="plugins", python=sys.executable, reuse_venv=True)
    _plugins(_with_plugins)
for _name, _path in _others:
    nox.session(
        name=f"tests-{Path(_name).name.removeprefix('python')}",
        python=_path,
        reuse_venv=True,
    )(_on_other)
if _missing:
    nox.session(name="missing", venv_backend="none")(_say_what_is_missing)
