"""How workers are started: from scripts, notebooks and what is typed in."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import urlopen
from uuid import uuid4

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.crawls import (
    DEADLINE_S,
    PROJECT,
    Crawl,
    alive,
    crawl,
    environment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil

#: Pages that no other test asks for: the site says how often each was.
DEFINITIONS = """
import dataclasses, enum, scrapy, sys

SITE, TOKEN = "{site}", "{token}"

class Page(scrapy.Item):
    url = scrapy.Field()

@dataclasses.dataclass
class Seen:
    url: str

class Number(enum.Enum):
    FIRST = 0
    LAST = 4

def address(name, number):
    return f"{{SITE}}/status/200?{{TOKEN}}-{{name}}-{{number}}"

class Pages(scrapy.Spider):
    name = "a"

    def __init__(self, name=None, **kwargs):
        super().__init__(name, **kwargs)
        self.start_urls = [address(self.name, n) for n in range(Number.LAST.value)]

    def parse(self, response):
        kind = Page if response.url.endswith(str(Number.FIRST.value)) else Seen
        yield kind(url=response.url)

class Others(Pages):
    name = "b"

class Checked:
    def process_item(self, item):
        assert type(item) in (Page, Seen), type(item)
        return item

SETTINGS = {{
    "ADDONS": {{"concurcrawl.Addon": 500}},
    "CONCURCRAWL_START_METHOD": "{method}",
    "CONCURCRAWL_WORKERS": 2,
    "FEEDS": {{"%(name)s.jsonl": {{"format": "jsonlines", "overwrite": True}}}},
    "ITEM_PIPELINES": {{Checked: 1}},
    "MODE": "{mode}",
}}
"""

#: One after the other or together; the name is that of the feed, too.
TOGETHER = """
from scrapy.crawler import CrawlerProcess
process = CrawlerProcess(SETTINGS)
process.crawl(Pages)
process.crawl(Others)
process.crawl(Pages, name="c")
process.start()
print("the script goes on")
"""

ONE_BY_ONE = """
import asyncio
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.log import configure_logging

async def main():
    configure_logging()
    runner = AsyncCrawlerRunner({**SETTINGS, "TWISTED_REACTOR_ENABLED": False})
    await runner.crawl(Pages)
    await runner.crawl(Others)
    await runner.crawl(Pages, name="c")

asyncio.run(main())
print("the script goes on")
"""

SCRIPTS = {"together": TOGETHER, "one by one": ONE_BY_ONE}


class Program:
    """Spiders of a script, in a folder of their own, and what came of them."""

    def __init__(self, site: str, folder: Path) -> None:
        self._site = site
        self.folder = folder
        self._token = uuid4().hex

    def text(self, body: str, mode: str = "parallel", method: str = "auto") -> str:
        return (
            DEFINITIONS.format(
                site=self._site, token=self._token, mode=mode, method=method
            )
            + body
        )

    def run(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "script.py").write_text(text, encoding="utf-8")
        return subprocess.run(
            [sys.executable, *(arguments or ("script.py",))],
            input=text if arguments == ("-",) else None,
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def items(self, name: str) -> Counter[str]:
        """Return the pages in a feed, by the ends of their addresses."""
        feed = (self.folder / f"{name}.jsonl").read_text(encoding="utf-8")
        urls = [json.loads(line)["url"] for line in feed.splitlines()]
        return Counter(url.partition(f"{self._token}-")[2] for url in urls)

    def visits(self) -> Counter[str]:
        """Return how often the site was asked for each page."""
        with urlopen(f"{self._site}/log", timeout=DEADLINE_S) as answer:
            paths = [visit["path"] for visit in json.load(answer)]
        mark = f"{self._token}-"
        return Counter(path.partition(mark)[2] for path in paths if mark in path)


def pages(*names: str) -> Counter[str]:
    return Counter(f"{name}-{number}" for name in names for number in range(4))


def guarded(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"if __name__ == '__main__':\n{lines}"


@pytest.fixture
def program(site: str, tmp_path: Path) -> Program:
    return Program(site, tmp_path)


def assert_whole(program: Program, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "the script goes on" in done.stdout
    assert "ERROR" not in done.stderr
    assert {name: program.items(name) for name in "abc"} == {
        name: pages(name) for name in "abc"
    }
    assert program.visits() == pages("a", "b", "c")


@pytest.mark.parametrize(
    ("script", "mode"), [("together", "parallel"), ("one by one", "hybrid")]
)
def test_several_crawls_of_a_script_without_a_guard_share_what_forks_workers(
    script: str, mode: str, program: Program
) -> None:
    assert_whole(program, program.run(program.text(SCRIPTS[script], mode)))


@pytest.mark.parametrize(
    ("script", "mode"), [("together", "hybrid"), ("one by one", "parallel")]
)
def test_several_crawls_of_a_script_with_a_guard_have_spawned_workers(
    script: str, mode: str, program: Program
) -> None:
    text = program.text(guarded(SCRIPTS[script]), mode, "spawn")
    assert_whole(program, program.run(text))


@pytest.mark.parametrize(
    "before",
    [
        "SETTINGS['CONCURCRAWL_START_METHOD'] = 'spawn'\n",
        "from twisted.internet import asyncioreactor; asyncioreactor.install()\n",
        "import threading; end = threading.Event()\n"  # noqa: ISC004 - two lines
        "threading.Thread(target=end.wait, daemon=True).start()\n",
    ],
    ids=["told to", "a reactor", "a thread"],
)
def test_a_script_without_a_guard_is_refused_where_workers_are_spawned(
    before: str, program: Program
) -> None:
    earlier = program.folder / "a.jsonl"
    earlier.write_text("of an earlier crawl\n", encoding="utf-8")
    done = program.run(program.text(before + TOGETHER))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"{program.folder / 'script.py'} would crawl again in each worker: workers are "
        "spawned here and import the script. Put what runs the crawl below "
        "'if __name__ == \"__main__\":', or use MODE=serial, concurrent or async."
    )
    assert program.visits() == Counter()
    assert earlier.read_text(encoding="utf-8") == "of an earlier crawl\n"


def test_a_worker_whose_script_crawls_when_it_is_imported_says_so(
    program: Program,
) -> None:
    # The crawl with workers is guarded; another one, without, is not.
    done = program.run(
        program.text(
            """
import asyncio
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.log import configure_logging

def run(**others):
    async def main():
        settings = {**SETTINGS, "TWISTED_REACTOR_ENABLED": False, **others}
        await AsyncCrawlerRunner(settings).crawl(Pages)
    asyncio.run(main())

configure_logging()
run(MODE="async")
if __name__ == "__main__":
    run(FEEDS={})
""",
            method="spawn",
        )
    )
    assert "cannot start: " in done.stderr
    assert "would crawl again in each worker" in done.stderr
    assert "Traceback" not in done.stderr
    assert program.items("a") == pages("a")  # of the first, as it was
    assert program.visits() == pages("a")


def test_to_fork_is_refused_where_that_is_impossible(program: Program) -> None:
    reactor = "from twisted.internet import asyncioreactor; asyncioreactor.install()\n"
    done = program.run(program.text(reactor + TOGETHER, method="fork"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "CONCURCRAWL_START_METHOD='fork': must be auto or spawn here: a reactor was "
        "installed before the crawl was set up"
    )
    assert program.visits() == Counter()


@pytest.mark.parametrize(("way", "method"), [("-", "spawn"), ("-c", "auto")])
def test_what_is_typed_in_needs_no_guard(
    way: str, method: str, program: Program
) -> None:
    text = program.text(TOGETHER, method=method)
    done = program.run(text, *([way, text] if way == "-c" else [way]))
    assert_whole(program, done)


def test_what_cannot_be_sent_to_spawned_workers_is_refused(program: Program) -> None:
    locked = "import threading\nlock = threading.Lock()\nPages.held = lock\n"
    # The other CrawlerProcess keeps what ends a crawl that has not begun to itself.
    body = TOGETHER.replace("CrawlerProcess", "AsyncCrawlerProcess")
    done = program.run(program.text(locked + body, method="spawn"), "-")
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    assert "cannot be sent to spawned workers: cannot pickle '_thread.lock'" in sentence
    assert program.visits() == Counter()


@pytest.mark.parametrize("mode", ["parallel", "hybrid"])
def test_spiders_of_a_notebook_crawl(mode: str, program: Program) -> None:
    runner = """
from scrapy.crawler import AsyncCrawlerRunner
runner = AsyncCrawlerRunner({**SETTINGS, "TWISTED_REACTOR_ENABLED": False})
"""
    later = "class Later(Pages):\n    name = 'c'\n"
    crawls = "await runner.crawl(Pages)\nawait runner.crawl(Later)"
    cells = [program.text("", mode), runner, later, crawls]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    NotebookClient(
        notebook,
        timeout=DEADLINE_S,
        resources={"metadata": {"path": str(program.folder)}},
    ).execute(env=environment())
    assert (program.items("a"), program.items("c")) == (pages("a"), pages("c"))
    assert program.visits() == pages("a", "c")


def test_without_a_folder_for_temporary_files_a_crawl_is_in_memory(
    site: str, tmp_path: Path
) -> None:
    # No file can be made longer than nothing, whatever folder it is in.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scrapy", "crawl", "closes", "-a", f"site={site}"),
            *("-s", "MODE=hybrid", "-o", "-:jsonlines"),
            *("-s", f"PIPELINE_FILE={tmp_path / 'none'}"),
        ],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with_files = crawl("closes", site, tmp_path, "-s", "MODE=hybrid")
    assert Counter(done.stdout.splitlines()) == with_files.items


WAITING = """
import time
from pathlib import Path

class Waiting(Pages):
    def parse(self, response):
        Path(f"at-{self.name}-{response.url[-1]}").touch()
        time.sleep(600)
"""


@contextmanager
def started(program: Program, text: str) -> Iterator[Crawl]:
    (program.folder / "script.py").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=program.folder, env=environment()
    )
    running = Crawl(process, program.folder)
    tree: list[psutil.Process] = []
    try:
        yield running
    finally:
        tree = running.tree()
        process.kill()
        process.wait(DEADLINE_S)
        for one in tree:
            if one.is_running():
                one.kill()


def wait_for_files(folder: Path, pattern: str, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len([*folder.glob(pattern)]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("method", ["auto", "spawn"])
def test_no_process_outlives_a_script_that_is_killed_in_its_second_crawl(
    method: str, program: Program
) -> None:
    body = TOGETHER.replace("crawl(Others)", "crawl(Waiting, name='b')").replace(
        'crawl(Pages, name="c")', "crawl(Waiting, name='c')"
    )
    text = program.text(WAITING + guarded(body), method=method)
    with started(program, text) as running:
        wait_for_files(program.folder, "at-*", 4)  # two workers of each
        left = running.tree()
        assert len(left) >= 4
        running.send(signal.SIGKILL)
        running.process.wait(DEADLINE_S)
        assert alive(left) == []


def test_a_crawl_that_ends_leaves_the_workers_of_another(program: Program) -> None:
    # The one with the long pages is not hurt by the end of the other.
    slow = "import time\nclass Slow(Pages):\n    def parse(self, response):\n"
    slow += "        time.sleep(0.3)\n        return super().parse(response)\n"
    body = TOGETHER.replace("crawl(Others)", "crawl(Slow, name='b')")
    assert_whole(program, program.run(program.text(slow + body)))
