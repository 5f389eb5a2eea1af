"""Callbacks that block for ever, and terminals that close."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_stop import options, wait_for_pages
from tests.support.crawls import (
    DEADLINE_S,
    PROJECT,
    alive,
    crawl,
    crawling,
    environment,
)

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = ("-s", "CONCURCRAWL_CALLBACK_TIMEOUT_S=1")


@pytest.mark.parametrize("mode", ["parallel", "hybrid"])
def test_a_callback_that_never_ends_is_set_aside_and_the_rest_is_done(
    mode: str, site: str, tmp_path: Path
) -> None:
    found = crawl("hangs", site, tmp_path, *options(mode), *TIMEOUT)
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(12)}
    assert found.stats["finish_reason"] == "finished"
    assert found.stats["concurcrawl/dead_lettered"] == 1
    assert found.log.count("has not answered for 1 s: something in it blocks") == 3
    assert "status/200?loop> is dead-lettered: 3 workers died" in found.log


def test_with_a_jobdir_that_counts_in_modes_of_one_process_too(
    site: str, tmp_path: Path
) -> None:
    job = ("-s", f"JOBDIR={tmp_path / 'job'}")
    found = crawl("hangs", site, tmp_path, *options("serial"), *TIMEOUT, *job)
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(12)}
    assert found.stats["concurcrawl/dead_lettered"] == 1


def test_workers_that_wait_for_their_site_are_left_alone(
    site: str, tmp_path: Path
) -> None:
    slow = ("-a", "pages=4", "-a", "wait=3")
    found = crawl("slow", site, tmp_path, *options("parallel"), *TIMEOUT, *slow)
    assert found.items.total() == 4
    assert "has not answered" not in found.log


@pytest.mark.parametrize("mode", ["serial", "async", "hybrid"])
def test_a_hangup_ends_a_crawl_as_sigterm_does(
    mode: str, site: str, tmp_path: Path
) -> None:
    with crawling("slow", site, tmp_path, *options(mode), "-a", "pages=400") as crawl:
        wait_for_pages(crawl, 2)
        tree = crawl.tree()
        for process in (crawl.process.pid, *(one.pid for one in tree)):
            os.kill(process, signal.SIGHUP)
        crawl.send(signal.SIGHUP)  # a shell sends one, and then the kernel
        found = crawl.finish()
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "shutdown")
    assert found.items.total() == found.stats["item_scraped_count"] >= 2
    assert alive(tree) == []


@pytest.mark.parametrize("mode", ["concurrent", "parallel"])
def test_a_crawl_under_nohup_survives_a_hangup_and_brings_everything(
    mode: str, site: str, tmp_path: Path
) -> None:
    slow = ("-a", "pages=12")
    with crawling(
        "slow", site, tmp_path, *options(mode), *slow, launcher=["nohup"]
    ) as crawl:
        wait_for_pages(crawl, 2)
        for process in (crawl.process.pid, *(one.pid for one in crawl.tree())):
            os.kill(process, signal.SIGHUP)
        found = crawl.finish()
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "finished")
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(12)}


def test_a_hangup_in_the_middle_of_another_is_the_same_one() -> None:
    script = """
import signal, sys
from concurcrawl.workers.signals import end_cleanly_with_terminal

seen, hangups = [], []
signal.signal(signal.SIGTERM, lambda *_: seen.append("SIGTERM"))
end_cleanly_with_terminal()

def trace(frame, event, arg):
    if frame.f_code.co_name == "_terminate_once" and not hangups:
        hangups.append("again")
        signal.raise_signal(signal.SIGHUP)

sys.settrace(trace)
signal.raise_signal(signal.SIGHUP)
sys.settrace(None)
print(hangups, seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == "['again'] ['SIGTERM']\n"


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_crawl_whose_terminal_closes_writes_its_feed(
    mode: str, site: str, tmp_path: Path
) -> None:
    feed = tmp_path / "items.jsonl"
    command = [sys.executable, "-m", "scrapy", "crawl", "slow", "-a", f"site={site}"]
    command += ["-a", "pages=400", "-O", str(feed), *options(mode)]
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        # A session whose terminal this is: its end is told to the crawl.
        [sys.executable, "-c", _IN_TERMINAL, *command],
        cwd=PROJECT,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    deadline_s = time.monotonic() + DEADLINE_S
    try:
        while seen.count(b"Crawled (200)") < 2:
            assert time.monotonic() < deadline_s, seen
            seen += os.read(terminal, 4096)
        os.close(terminal)
        assert process.wait(DEADLINE_S / 2) == 0
    finally:
        process.kill()
        process.wait(DEADLINE_S)
    lines = feed.read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 2
    assert all(line.startswith('{"page": ') for line in lines)


_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
