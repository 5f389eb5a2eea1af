"""Feeds that are uploaded are whole after each stop, and have each item once."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.kills import expected
from tests.integration.durable.test_resumed_feeds import (
    crawl,
    crawling,
    of_json,
    of_lines,
    pages,
    stopped,
)
from tests.support.crawls import DEADLINE_S
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pages"]


def test_each_item_is_once_in_feeds_on_an_ftp_server(
    pages: str, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    with serving("tests.support.servers.ftp", str(site)) as address:
        feeds = {
            f"{address}/put.json": {"format": "json"},
            f"{address}/added.jsonl": {"format": "jsonlines", "overwrite": False},
        }
        with crawling(pages, tmp_path, feeds, "hybrid") as running:
            assert stopped(running, signal.SIGINT, 20) == 0
        first = Counter(of_json((site / "put.json").read_bytes()))
        assert first
        assert first == Counter(of_lines((site / "added.jsonl").read_bytes()))
        with crawling(pages, tmp_path, feeds, "async") as running:
            stopped(running, signal.SIGKILL, 20)
        crawl(pages, tmp_path, feeds, "parallel")
        assert Counter(of_json((site / "put.json").read_bytes())) == expected()
        assert Counter(of_lines((site / "added.jsonl").read_bytes())) == expected()


def test_what_could_not_be_uploaded_is_when_the_command_is_run_again(
    pages: str, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "put.json").mkdir()
    with serving("tests.support.servers.ftp", str(site)) as address:
        feeds = {f"{address}/put.json": {"format": "json"}}
        with crawling(pages, tmp_path, feeds, "async") as running:
            assert running.process.wait(DEADLINE_S) == 1
        assert "run the same command again to store them" in running.log
        (site / "put.json").rmdir()
        with crawling(pages, tmp_path, feeds, "async") as running:
            assert running.process.wait(DEADLINE_S) == 0
        assert Counter(of_json((site / "put.json").read_bytes())) == expected()
