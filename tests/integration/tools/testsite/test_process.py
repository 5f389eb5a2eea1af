from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

import concurcrawl
from concurcrawl.errors import SiteError
from concurcrawl.tools.testsite.process import SiteProcess

PARENT = """
import sys
from concurcrawl.tools.testsite.process import SiteProcess
with SiteProcess(pages=1) as testsite:
    print(testsite.pid, flush=True)
    sys.stdin.read()
"""


EGG_PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from concurcrawl.tools.testsite.process import SiteProcess
with SiteProcess(pages=1) as testsite:
    print(sys.modules["concurcrawl.tools.testsite.process"].__file__)
    print(testsite.counts().requests)
"""


def gone(pid: int, deadline_s: float = 30) -> bool:
    """Wait until *pid* does not run; one that nobody has reaped does not."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_it_is_there_within_and_gone_after() -> None:
    with SiteProcess(pages=1) as testsite:
        pid = testsite.pid
        assert pid is not None
        assert psutil.pid_exists(pid)
        assert testsite.list_url.startswith(testsite.url)
        assert testsite.counts().requests == 0

    assert not psutil.pid_exists(pid)
    assert testsite.pid is None
    testsite.stop()  # twice is once


def test_it_is_gone_after_an_error_within() -> None:
    testsite = SiteProcess(pages=1)
    with pytest.raises(ZeroDivisionError), testsite:  # noqa: PT012 - pid is needed
        pid = testsite.pid
        raise ZeroDivisionError

    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_it_is_gone_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()

    assert gone(pid)


def test_a_test_site_that_died_is_an_error_not_a_hang() -> None:
    with SiteProcess(pages=1) as testsite:
        assert testsite.pid is not None
        psutil.Process(testsite.pid).kill()
        assert gone(testsite.pid)
        with pytest.raises(SiteError, match="does not answer"):
            testsite.counts()


def test_a_wrong_option_is_told_in_the_test_site_words() -> None:
    with pytest.raises(SiteError, match=r"code 2: --pages=0: must be from 1 to 233"):
        SiteProcess(pages=0).start()


def test_a_test_site_that_is_late_is_an_error() -> None:
    testsite = SiteProcess(pages=1, start_timeout_s=0.001)
    with pytest.raises(SiteError, match=r"did not start within 0\.001 s"):
        testsite.start()

    assert testsite.pid is None


def test_one_that_is_not_running_has_no_address() -> None:
    with pytest.raises(SiteError, match="not running"):
        _ = SiteProcess().url


def test_it_starts_from_an_egg_that_only_this_process_knows(tmp_path: Path) -> None:
    root = Path(concurcrawl.__file__).parent
    egg = tmp_path / "project.egg"
    with zipfile.ZipFile(egg, "w") as archive:
        for package in (
            "concurcrawl",
            "concurcrawl/tools",
            "concurcrawl/tools/testsite",
        ):
            archive.writestr(f"{package}/__init__.py", "")
        for file in (root / "errors").glob("*.py"):
            archive.write(file, f"concurcrawl/errors/{file.name}")
        for file in (root / "tools" / "testsite").iterdir():
            if file.suffix in {".py", ".csv", ".toml"} and file.stem != "__init__":
                archive.write(file, f"concurcrawl/tools/testsite/{file.name}")

    done = subprocess.run(
        [sys.executable, "-c", EGG_PARENT, str(egg)],
        cwd=tmp_path,  # where nothing else is called concurcrawl
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.split() == [
        str(egg / "concurcrawl/tools/testsite/process.py"),
        "0",
    ]
