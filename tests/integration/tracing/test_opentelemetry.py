"""Spans of a real crawl, as an OTLP receiver gets them."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tests.support.crawls import crawling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Yield the address of an OTLP receiver, and what it gets."""
    found: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            found.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", found
        finally:
            server.shutdown()
            thread.join()


def test_each_request_of_a_crawl_with_workers_is_a_span(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=hybrid", "-s", "CONCURCRAWL_WORKERS=2", "-a", "pages=12")
    with receiver() as (address, received):
        there = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
        wanted = ("-s", "CONCURCRAWL_OTEL=1", "-a", "wait=0.01")
        with crawling(
            *("slow", site, tmp_path, *options, *wanted), variables=there
        ) as running:
            result = running.finish()
    assert result.exit_code == 0, result.log
    assert result.stats["item_scraped_count"] == 12
    resources = [one for request in received for one in request.resource_spans]
    spans = [
        span
        for resource in resources
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {
        attribute.value.string_value
        for resource in resources
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    } == {"slow"}
    urls = {
        attribute.value.string_value
        for span in spans
        for attribute in span.attributes
        if attribute.key == "url.full"
    }
    assert {f"{site}/hang?s=0.01&n={number}" for number in range(12)} <= urls
    assert len({span.trace_id for span in spans}) == len(spans) >= 12
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in spans)
