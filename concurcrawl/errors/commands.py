"""Errors of the commands and of the demo spider."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError


class ListPageError(ConcurcrawlError):
    """A page that should list countries holds none.

    Attributes:
        url: The page.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return (
            f"no countries found on {self.url}: it has no table with class 'wikitable' "
            "whose rows link to countries. Check in a browser that the address is that "
            "of a list of countries; if it is, its markup is new to this version."
        )


class SiteError(ConcurcrawlError):
    """The test site does not run, or does not answer."""


class NoSerialRunError(ConcurcrawlError):
    """No serial run shows what a page costs.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"no serial run shows what a page costs: {self.reason}"


class NodeError(ConcurcrawlError):
    """A Scrapyd server cannot be used, or refused a request.

    Attributes:
        node: Its name, without user and password.
        reason: Why.
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)
        self.node = node
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


class NodeUnreachableError(NodeError):
    """A Scrapyd server did not answer; a retry may succeed."""


class EggError(ConcurcrawlError):
    """The egg of the current project cannot be built."""


class ItemsError(ConcurcrawlError):
    """Items cannot be written to standard output.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the items cannot be written: {self.reason}"
