"""Scrapy's robots.txt middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.defer import Deferred

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.robotstxt import RobotParser


@touches(
    "scrapy.downloadermiddlewares.robotstxt",
    *("RobotsTxtMiddleware._parsers", "RobotsTxtMiddleware.robot_parser"),
)
def obey_robots_for_all_waiters(middlewares: Iterable[object]) -> None:
    """Give each request that waits for a robots.txt its parser.

    Scrapy has all of them await one Deferred. Converting that to a future takes its
    result away, so that from the second one on they get None, which means "allowed".

    Touches: ``RobotsTxtMiddleware._parsers`` (Scrapy 2.19.0), a parser or a Deferred by
    host and port; replaces ``.robot_parser()``. If one moves, pages are fetched that a
    robots.txt forbids. Wished for: a Deferred for each waiter, in Scrapy.

    Args:
        middlewares: Those of a downloader; subclasses of Scrapy's count too.
    """
    for middleware in middlewares:
        if isinstance(middleware, RobotsTxtMiddleware):
            _wrap(middleware)


def _wrap(middleware: RobotsTxtMiddleware) -> None:
    original = middleware.robot_parser

    async def robot_parser(request: Request) -> RobotParser | None:
        shared = middleware._parsers.get(urlparse_cached(request).netloc)
        if isinstance(shared, Deferred):
            return await maybe_deferred_to_future(_branch(shared))
        return await original(request)

    middleware.robot_parser = robot_parser  # type: ignore[method-assign]


def _branch(
    shared: Deferred[RobotParser | None],
) -> Deferred[RobotParser | None]:
    """Return a Deferred of its own that fires with the result of *shared*."""
    branch: Deferred[RobotParser | None] = Deferred()

    def fire(parser: RobotParser | None) -> RobotParser | None:
        branch.callback(parser)
        return parser

    shared.addCallback(fire)
    return branch
