"""Spans of records, as an exporter gets them."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from concurcrawl.errors import ConfigError, MissingExtraError
from concurcrawl.tracing import opentelemetry
from concurcrawl.tracing.opentelemetry import SpanExport
from tests.support.compare.made_up import RECORD

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from concurcrawl.tracing.record import Record

ANSWERED = replace(
    RECORD,
    url="https://ann:secret@shop.example:8443/a?b=c",
    status=200,
    queued_s=100.0,
    asked_s=101.0,
    first_byte_s=101.25,
    downloaded_s=101.5,
    done_s=102.5,
    error=None,
)


def span_of(record: Record) -> ReadableSpan:
    exporter = InMemorySpanExporter()
    export = SpanExport("shop", SimpleSpanProcessor(exporter))
    export.add(record)
    export.close()
    (span,) = exporter.get_finished_spans()
    return span


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


def test_a_span_is_the_exchange_with_the_site() -> None:
    span = span_of(replace(ANSWERED, method="POST", retries=2))
    found = attributes(span)
    assert (span.name, span.kind, span.parent) == ("POST", SpanKind.CLIENT, None)
    assert (span.start_time, span.end_time) == (101 * 10**9, 101_500_000_000)
    assert [(one.name, one.timestamp) for one in span.events] == [
        ("first byte", 101_250_000_000)
    ]
    assert span.status.status_code is StatusCode.UNSET
    assert found["http.request.method"] == "POST"
    assert found["url.full"] == "https://REDACTED:REDACTED@shop.example:8443/a?b=c"
    assert (found["server.address"], found["server.port"]) == ("shop.example", 8443)
    assert found["http.response.status_code"] == 200
    assert found["http.request.resend_count"] == 2
    assert found["concurcrawl.queued_s"] == 1.0
    assert found["concurcrawl.callback_s"] == 1.0
    assert found["scrapy.spider"] == span.resource.attributes["service.name"] == "shop"
    assert "error.type" not in found


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (404, None, "404"),
        (None, "TimeoutError: 180 s", "TimeoutError"),
        (200, "DownloadError", "DownloadError"),
    ],
)
def test_a_failure_is_an_error(
    status: int | None, error: str | None, kind: str
) -> None:
    failed = replace(
        ANSWERED, status=status, error=error, first_byte_s=None, downloaded_s=None
    )
    span = span_of(failed)
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == kind
    assert attributes(span).get("http.response.status_code") == status
    assert span.end_time == 102_500_000_000


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "crawls")
    assert span_of(ANSWERED).resource.attributes["service.name"] == "crawls"


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opentelemetry.check()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigError, match="http/protobuf, or not set"):
        opentelemetry.check()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingExtraError, match=r"concurcrawl\[otel\]"):
        opentelemetry.check()
