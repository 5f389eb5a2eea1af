from __future__ import annotations

import pytest

from benchmarks.profile import (
    IMPORTS,
    OTHER,
    by_layer,
    into,
    layer_of,
    microseconds,
    processes,
    table,
)
from concurcrawl.errors import ConcurcrawlError

MAIN = 'process 7:"python /work/benchmarks/scrapy_pages.py"'
ENGINE = "ExecutionEngine.crawl (scrapy/core/engine.py:453)"


@pytest.mark.parametrize(
    ("frames", "layer"),
    [
        ([ENGINE, "PyDict_Next (libpython3.11.so.1.0)"], "Scrapy"),
        ([ENGINE, "urlsplit (urllib/parse.py:494)"], "Scrapy"),
        ([ENGINE, "acquire (concurcrawl/frontier/sqlite.py:9)"], "ours: frontier"),
        (["_commit (concurcrawl/addon.py:9)"], "ours: the rest"),
        ([ENGINE, "sqlite3_step (libsqlite3.so.0.8.6)"], "SQLite"),
        ([ENGINE, "save (_pickle.c:4497)", "memcpy (libc.so.6)"], "pickle"),
        ([ENGINE, "Curl_read (libcurl-330bcbb6.so.4.8.0)"], "libcurl"),
        (["run (twisted/internet/asyncioreactor.py:257)"], "Twisted"),
        (["UVStream_write (uvloop/loop.c:110085)"], "asyncio, uvloop"),
        (["0x7fa14584524a (libc.so.6)"], OTHER),
        ([ENGINE, "_find_and_load (<frozen importlib._bootstrap>:1176)"], IMPORTS),
        ([ENGINE, "epoll_pwait (libc.so.6)"], None),
        (
            [ENGINE, "wait (threading.py:327)", "pthread_cond_timedwait (libc.so.6)"],
            None,
        ),
    ],
)
def test_a_sample_belongs_to_the_innermost_code_that_is_somebodys(
    frames: list[str], layer: str | None
) -> None:
    assert layer_of([MAIN, *frames]) == layer


def test_samples_are_counted_by_process_and_layer() -> None:
    child = f'{MAIN};process 9:"python -c fork"'
    raw = (
        f"{MAIN};{ENGINE} 3\n{child};{ENGINE} 5\n{MAIN};{ENGINE};memcpy (libc.so.6) 2\n"
    )
    found = processes(raw)
    assert list(found) == [7, 9]
    assert by_layer(found[7]) == {"Scrapy": 5}
    assert by_layer(found[9]) == {"Scrapy": 5}


def test_the_cpu_of_a_process_is_divided_among_its_layers() -> None:
    found = microseconds({"Scrapy": 3, "Twisted": 1}, cpu_s=8.0, pages=10_000)
    assert found == {"Scrapy": 600.0, "Twisted": 200.0}
    assert table({"async": found}).splitlines() == [
        "| layer | async |",
        "| :--- | ---: |",
        "| Scrapy | 600 |",
        "| Twisted | 200 |",
        "| **all** | **800** |",
    ]


def test_the_table_goes_between_its_marks() -> None:
    text = "a\n<!-- profile:begin -->\nold\n<!-- profile:end -->\nb\n"
    new = "a\n<!-- profile:begin -->\nnew\n<!-- profile:end -->\nb\n"
    assert into(text, "new") == new
    with pytest.raises(ConcurcrawlError, match="lacks"):
        into("no marks", "new")
