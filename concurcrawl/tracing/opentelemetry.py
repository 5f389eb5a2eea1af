"""OpenTelemetry spans, made of the records of requests (``CONCURCRAWL_OTEL``).

Needs the extra ``otel``. Where spans go, how they are sampled and what else is said of
the service is in the standard ``OTEL_*`` variables.

References:
    https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from concurcrawl.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from concurcrawl.tracing.record import Record

_NAME = "CONCURCRAWL_OTEL"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
#: What the SDK calls a service that has no name.
_UNNAMED = "unknown_service"


def check() -> None:
    """See that spans can be exported.

    Raises:
        ConfigError: If the environment asks for another protocol than HTTP.
        MissingExtraError: If the extra ``otel`` is not installed.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401 - an extra
    except ImportError:
        raise MissingExtraError(_NAME, "the OpenTelemetry SDK", "otel") from None
    name = next((name for name in _PROTOCOLS if os.environ.get(name)), "")
    if name and os.environ[name] != _HTTP:
        raise ConfigError(name, os.environ[name], f"{_HTTP}, or not set")


class SpanExport:
    """Makes a span of each record. Another thread sends them, in batches.

    Each request is a trace of its own: a trace of a whole crawl would have more spans
    than a backend shows, and could not be sampled.
    """

    def __init__(self, spider: str, processor: SpanProcessor | None = None) -> None:
        """Make one.

        Args:
            spider: The spider's name: that of the service, if the environment has none.
            processor: What takes the spans; None for an OTLP exporter.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._provider = _provider(spider)
        self._provider.add_span_processor(processor or _exporter())
        self._tracer = self._provider.get_tracer("concurcrawl")
        self._kind = SpanKind.CLIENT
        self._failed = Status(StatusCode.ERROR)
        self._spider = spider

    def add(self, record: Record) -> None:
        """Export *record*.

        The span is that of the HTTP exchange: it begins when the downloader is asked
        and ends when the body has come. What came before and after is in attributes.
        """
        ended_s = record.downloaded_s or record.done_s
        span = self._tracer.start_span(
            record.method,
            kind=self._kind,
            start_time=_ns(record.asked_s),
            attributes={"scrapy.spider": self._spider, **attributes_of(record)},
        )
        if _error_of(record):
            span.set_status(self._failed)
        if record.first_byte_s is not None:
            span.add_event("first byte", timestamp=_ns(record.first_byte_s))
        span.end(_ns(max(ended_s, record.asked_s)))

    def close(self) -> None:
        """Send what is left. Blocks, at most for the exporter's time-out."""
        self._provider.shutdown()


def attributes_of(record: Record) -> dict[str, Any]:
    """Return what a span says of *record*: HTTP semantic conventions, and more."""
    parts = urlsplit(record.url)
    ended_s = record.downloaded_s or record.done_s
    found = {
        "http.request.method": record.method,
        "url.full": _without_password(record.url),
        "server.address": parts.hostname,
        "server.port": parts.port or {"http": 80, "https": 443}.get(parts.scheme),
        "http.response.status_code": record.status,
        "http.response.body.size": record.size_bytes,
        "http.request.resend_count": record.retries or None,
        "error.type": _error_of(record),
        "thread.name": record.thread,
        "process.pid": record.pid,
        "concurcrawl.worker": record.worker,
        "concurcrawl.queued_s": max(0.0, record.asked_s - record.queued_s),
        "concurcrawl.connect_s": record.connect_s,
        "concurcrawl.callback_s": max(0.0, record.done_s - ended_s),
        "concurcrawl.callback_cpu_s": record.callback_cpu_s,
        "concurcrawl.pipeline_s": record.pipeline_s,
        "exception.message": record.error,
    }
    return {name: value for name, value in found.items() if value is not None}


def _error_of(record: Record) -> str | None:
    if record.error is not None:
        return record.error.partition(":")[0]
    is_bad = record.status is not None and record.status >= 400
    return str(record.status) if is_bad else None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"REDACTED:REDACTED@{host}").geturl()


def _provider(spider: str) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: spider}))
    # Ended by the crawl: at the exit of the interpreter a reactor may still run.
    return TracerProvider(resource=resource, shutdown_on_exit=False)


def _exporter() -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())


def _ns(at_s: float) -> int:
    return int(at_s * 1e9)
