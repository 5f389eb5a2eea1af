"""Filters of the project's own: asked for each request before it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request

    from concurcrawl.durable.own_filter import Answers, DurableFilter
    from concurcrawl.local.duplicates import Duplicates


class RequestFilter(Protocol):
    """Asks the filter of the project's own, if there is one."""

    def expect(self, keys: Iterable[bytes]) -> None:
        """Note the fingerprints that it is going to be asked for."""

    def is_seen(self, request: Request, key: bytes | None = None) -> bool:
        """Return whether it knows *request*, and log that.

        Args:
            request: The request.
            key: Its fingerprint, if that was expected.
        """

    def prepare(self) -> Answers | None:
        """Return what the commit is to note of its answers, if anything."""

    def claim(self, request: Request, key: bytes) -> bool:
        """Return whether it knows a request that stays in a worker."""


class PlainFilter(RequestFilter):
    """Without a ``JOBDIR`` nothing of the filter has to survive."""

    def __init__(self, duplicates: Duplicates) -> None:
        self._duplicates = duplicates

    def expect(self, keys: Iterable[bytes]) -> None:
        """Do nothing."""

    def is_seen(self, request: Request, key: bytes | None = None) -> bool:
        """Ask the filter, unless *request* is to pass in any case."""
        if request.dont_filter or not self._duplicates.is_seen(request):
            return False
        self._duplicates.note_filtered(request)
        return True

    def prepare(self) -> None:
        """Return nothing."""

    def claim(self, request: Request, key: bytes) -> bool:
        """Ask the filter."""
        return self._duplicates.is_seen(request)


class JobFilter(RequestFilter):
    """A filter that is asked in steps which a kill does not tear."""

    def __init__(self, duplicates: Duplicates, durable: DurableFilter) -> None:
        self._duplicates = duplicates
        self._durable = durable
        self._keys: list[bytes] = []  # asked for since the last commit

    def expect(self, keys: Iterable[bytes]) -> None:
        """Note them in the frontier."""
        new = [key for key in keys if key]
        if new:
            self._durable.ask(new)
            self._keys += new

    def is_seen(self, request: Request, key: bytes | None = None) -> bool:
        """Ask the filter, unless *request* is to pass in any case."""
        if request.dont_filter:
            return False
        if key is None:
            key = self._duplicates.fingerprint(request)
            self.expect([key])
        if not self._durable.seen(request, key):
            return False
        self._duplicates.note_filtered(request)
        return True

    def prepare(self) -> Answers | None:
        """Return what was asked for since the last commit."""
        keys, self._keys = self._keys, []
        return self._durable.prepare(keys) if keys else None

    def claim(self, request: Request, key: bytes) -> bool:
        """Ask the filter; the answer is in doubt until the lease has ended."""
        return self._durable.claim(request, key)
