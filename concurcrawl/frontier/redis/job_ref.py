"""Which Redis, and which job in it, the settings of a crawl mean."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from concurcrawl.config import PREFIX, Config
from concurcrawl.frontier.redis.connection import check, parse

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from concurcrawl.frontier.redis.connection import JobRef

_URL = f"{PREFIX}FRONTIER_URL"

_claimed: WeakKeyDictionary[Crawler, JobRef] = WeakKeyDictionary()


def target_of(settings: BaseSettings, spider: str) -> JobRef:
    """Return the Redis and the job that *settings* mean for *spider*.

    Raises:
        ConfigError: If a setting is wrong.
        FrontierError: If the URL is.
    """
    config = Config.from_settings(settings)
    return parse(
        config.frontier_url,
        config.frontier_prefix,
        config.frontier_job or spider,
        config.frontier_wait_s,
    )


def claim(crawler: Crawler, settings: BaseSettings, rank: str) -> None:
    """See that the crawl can be shared, and hide the password from who reads settings.

    Raises:
        FrontierError: With one sentence, if it cannot.
    """
    target = target_of(settings, crawler.spidercls.name)
    check(target)
    _claimed[crawler] = target
    settings.set(_URL, target.url, rank)


def claimed_by(crawler: Crawler) -> JobRef | None:
    """Return the job that *crawler* shares, or None."""
    return _claimed.get(crawler)


def home(node: str) -> str:
    """Return what stays when a node is started again: its name, or its host."""
    return node or socket.gethostname()


def node_name(node: str) -> str:
    """Return *node*, or a name for this process if it is empty."""
    return node or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(2).hex()}"
