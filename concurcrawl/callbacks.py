"""Keeps callbacks alive, so that Scrapy need not look into each again for each page."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scrapy import Request


class KeptCallbacks:
    """The methods that requests name as callbacks, each once.

    Scrapy parses the source of a callback to warn of a common mistake, and remembers
    the result as long as the callback object lives. A bound method lives as long as the
    request that names it, so that every page would cost another parse.
    """

    def __init__(self) -> None:
        self._kept: set[MethodType] = set()

    def keep(self, request: Request) -> None:
        """Keep the callback of *request*, if it is a method."""
        if isinstance(request.callback, MethodType):
            self._kept.add(request.callback)
