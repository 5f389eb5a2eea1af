"""The description of a request for the thread that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Request
    from scrapy.settings import BaseSettings

    from concurcrawl.http.curl_options import Option, Route, TransferTarget


_NAMES = {"download_maxsize", "download_warnsize", "download_fail_on_dataloss"}


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How large a body may be.

    Attributes:
        max_bytes: Size above which the download is cancelled; 0 means no limit.
        warn_bytes: Size above which a warning is logged; 0 means never.
        fails_on_dataloss: Whether a truncated body is an error.
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
        if _NAMES.isdisjoint(meta):
            return self
        return TransferLimits(
            meta.get("download_maxsize", self.max_bytes),
            meta.get("download_warnsize", self.warn_bytes),
            meta.get("download_fail_on_dataloss", self.fails_on_dataloss),
        )


@dataclass(slots=True, kw_only=True)
class TransferPlan:
    """A request as a transfer makes it.

    It is never changed, and not frozen: that would take 2 µs more to make.

    Attributes:
        request: The request.
        target: Scheme, host, port and path.
        route: Proxy and local address.
        options: Options of libcurl beside those of the message.
        limits: Limits of the body's size.
        timeout_s: Timeout of the whole download, for the error message.
        left_s: Seconds that are left of it.
        signals: Signals that have receivers.
        wraps_certificate: Whether the certificate is Twisted's object instead of DER.
        logs_tls: Whether protocol, cipher and certificate of a connection are logged.
        inflates: Whether a gzip body is to be inflated, too.
    """

    request: Request
    target: TransferTarget
    route: Route
    options: list[Option]
    limits: TransferLimits
    timeout_s: float
    left_s: float
    signals: frozenset[object]
    wraps_certificate: bool
    logs_tls: bool
    inflates: bool
