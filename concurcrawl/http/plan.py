"""What the thread that makes a request is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Request
    from scrapy.settings import BaseSettings

    from concurcrawl.http.curl_options import Option, Route, TransferTarget


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How much of a body is welcome.

    Attributes:
        max_bytes: Above it the download is cancelled; 0 means no limit.
        warn_bytes: Above it one warning is logged; 0 means never.
        fails_on_dataloss: Is a body that was cut short an error?
    """

    max_bytes: int
    warn_bytes: int
    fails_on_dataloss: bool

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """Read the limits of all requests."""
        return cls(
            settings.getint("DOWNLOAD_MAXSIZE"),
            settings.getint("DOWNLOAD_WARNSIZE"),
            settings.getbool("DOWNLOAD_FAIL_ON_DATALOSS"),
        )

    def of(self, meta: Mapping[str, Any]) -> TransferLimits:
        """Return the limits of the request with this *meta*."""
        return TransferLimits(
            meta.get("download_maxsize", self.max_bytes),
            meta.get("download_warnsize", self.warn_bytes),
            meta.get("download_fail_on_dataloss", self.fails_on_dataloss),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan:
    """All that a thread needs to know to make a request.

    Attributes:
        request: What is asked.
        target: Where it goes.
        route: Which way.
        options: What libcurl is told of all requests.
        limits: What of the body is welcome.
        timeout_s: Time for all of it, as the request says; named in the error.
        left_s: What is left of it.
        heard: Signals that somebody receives.
        wraps_certificate: Is the certificate Twisted's object, or DER?
        tells_tls: Is protocol, cipher and certificate of a new connection logged?
        inflates: Is the body of a page that came as gzip wanted inflated, too?
    """

    request: Request
    target: TransferTarget
    route: Route
    options: list[Option]
    limits: TransferLimits
    timeout_s: float
    left_s: float
    heard: frozenset[object]
    wraps_certificate: bool
    tells_tls: bool
    inflates: bool
