"""What the standard library keeps to itself."""

from __future__ import annotations

import asyncio
import dbm.dumb
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from concurcrawl.compat import main_module, project_code
from concurcrawl.compat.dbm_files import watch_opens
from concurcrawl.compat.executors import busy_threads
from concurcrawl.compat.pickling import with_a_temporary_folder
from concurcrawl.compat.timers import timers

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    import pytest


def test_threads_that_work_are_counted() -> None:
    before = busy_threads()
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        over.wait()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(begun.is_set).result()
        pool.submit(work)
        begun.wait()
        assert busy_threads() == before + 1
        over.set()


def test_timers_are_found_but_for_those_of_sleeps() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        sleeping = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        before = [*timers()]
        timer = loop.call_later(60, print)
        assert [one for one in timers() if one not in before] == [timer]
        timer.cancel()
        assert [*timers()] == before
        sleeping.cancel()

    asyncio.run(check())


def test_dbm_files_are_told_that_are_opened_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbm, "open", dbm.open)  # to be restored
    told: list[str] = []
    watch_opens(told.append)
    path = str(tmp_path / "seen")
    dbm.open(path, "c").close()
    dbm.open(path).close()
    assert told == [path]


def test_there_is_a_temporary_folder_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with with_a_temporary_folder():
        assert tempfile.tempdir is not None
    assert tempfile.tempdir is None


def test_what_is_started_does_not_see_the_main_module() -> None:
    main = sys.modules["__main__"]
    with main_module.hidden():
        assert not hasattr(sys.modules["__main__"], "__file__")
    assert sys.modules["__main__"] is main


def test_the_line_that_a_script_is_at_is_known(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from concurcrawl.compat.main_module import running_line\n"
        "def crawl():\n"
        "    return running_line()\n"
        "print(crawl())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{(str(script), 4)}\n"


def test_a_process_ends_without_what_was_registered_for_its_end() -> None:
    code = (
        "import atexit; from concurcrawl.compat.process import exit_now;"
        "atexit.register(print, 'at exit'); exit_now(3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")


def test_the_code_of_a_project_that_scrapy_calls_is_found() -> None:
    found: list[Any] = []

    def frame_of(module: str, function: str, call: Any) -> Any:
        namespace = {"__name__": module, "call": call}
        exec(f"def {function}(): return call()", namespace)
        return namespace[function]

    def look() -> None:
        frame: FrameType | None = project_code.hanging_code(sys._getframe(1))
        found.append(None if frame is None else frame.f_code.co_name)

    parse = frame_of("shop.spiders", "parse", look)
    frame_of("scrapy.core.scraper", "call_spider_async", parse)()
    frame_of("concurcrawl.compat.middlewares", "_process_request", parse)()
    frame_of("scrapy.core.engine", "close_spider_async", parse)()
    frame_of("scrapy.core.scraper", "call_spider_async", look)()
    assert found == ["parse", "parse", None, None]
