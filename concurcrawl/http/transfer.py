"""One request, made in a thread, which ends with a response or an error."""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from ipaddress import ip_address
from threading import Lock, current_thread
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urldefrag

import pycurl
from scrapy import signals
from scrapy.exceptions import (
    DownloadCancelledError,
    DownloadFailedError,
    ResponseDataLossError,
    StopDownload,
)
from scrapy.responsetypes import responsetypes

from concurcrawl.http import curl_options
from concurcrawl.http.head import (
    NO_BODY,
    ResponseHead,
    body_length,
    framing,
    headers_of,
)
from concurcrawl.http.lenient_parser import ResponseReader
from concurcrawl.tuning.gzip import gunzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.http import Headers, Response

    from concurcrawl.http.executors import Threads
    from concurcrawl.http.handles import ClientPool, CurlClient, CurlHandle
    from concurcrawl.http.plan import TransferPlan

#: Returned by a callback of libcurl to end the transfer.
_END = -1
#: The largest timeout that libcurl takes, in milliseconds.
_MAX_MS = 2**31 - 1
#: CURLE_WEIRD_SERVER_REPLY, which pycurl knows by its older name only.
_WEIRD_REPLY = pycurl.E_FTP_WEIRD_SERVER_REPLY
#: CURLE_HTTP2_STREAM, which pycurl has no name for.
_HTTP2_STREAM = 92
_LOSSES = {
    pycurl.E_PARTIAL_FILE,
    pycurl.E_RECV_ERROR,
    pycurl.E_GOT_NOTHING,
    pycurl.E_HTTP2,
    _WEIRD_REPLY,
    _HTTP2_STREAM,
}
#: Methods that may be sent a second time.
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}


class SignalSender(Protocol):
    """Sends a signal in the loop's thread, where Scrapy's receivers expect it."""

    def __call__(
        self, verdict: Future[StopDownload | None], signal: object, **about: Any
    ) -> None:
        """Send *signal*; resolve *verdict* with the receivers' decision."""


@dataclass(slots=True)
class TransferContext:
    """What a transfer works with, beside its plan.

    Attributes:
        clients: Has handles of libcurl that block.
        threads: Where they block.
        send_signal: Sends a signal in the loop's thread.
        on_sent: Called in any thread when the request is sent, with the time by the
            monotonic clock; None if that is of no interest.
    """

    clients: ClientPool
    threads: Threads
    send_signal: SignalSender
    on_sent: Callable[[float], object] | None = None


class Transfer:
    """One request, made by :meth:`respond` and ended early by :meth:`abort`.

    Attributes:
        connects: Connections that it opened.
        connect_s: Seconds that this took.
        thread: Name of the thread that it ran in.
        ended_s: When it ended, in seconds since the epoch.
        inflated: The response's body, inflated, if it is gzip and the plan asks for it.
        notes: Level and text of log lines. The loop's thread logs them, because log
            lines are counted in Scrapy's stats.
    """

    def __init__(self, plan: TransferPlan, context: TransferContext) -> None:
        self._plan = plan
        self._clients = context.clients
        self._threads = context.threads
        self._send_signal = context.send_signal
        self._on_sent = context.on_sent
        self.connects = 0
        self.connect_s = 0.0
        self.thread = ""
        self.ended_s = 0.0
        self.inflated: bytes | None = None
        self.notes: list[tuple[int, str]] = []
        self._lock = Lock()
        self._client: CurlClient | None = None
        self._verdict: Future[StopDownload | None] | None = None
        self._aborted = False
        self._started_s = 0.0
        self._head = ResponseHead()
        self._framing: set[bytes] = set()
        self._headers: Headers | None = None
        self._is_request_sent = not curl_options.is_tunnel(plan.target, plan.route)
        # Unlike the join of a list of chunks, getvalue() does not copy.
        self._received = BytesIO()
        self._size = 0
        self._warned = False
        self._is_settled = False  # the size is known and bytes_received unused
        self._stop: StopDownload | None = None
        self._refusal: Exception | None = None
        self._is_complete_early = False
        self._tls = ""

    def abort(self) -> None:
        """End the transfer. May be called in any thread, before, during or after it."""
        with self._lock:
            self._aborted = True
            client, verdict = self._client, self._verdict
        if verdict is not None:
            verdict.cancel()
        if client is not None:
            client.hang_up()

    async def respond(self) -> Response:
        """Make the request; return its response. Cancelling does not end it.

        Raises:
            Exception: One of Scrapy's download errors, or ``StopDownload``.
        """
        return await self._threads.run(self._run)

    def _run(self) -> Response:
        """Make the request and block until its response has arrived."""
        self.thread = current_thread().name
        try:
            response = self._block()
            # In this thread, because inflating releases the GIL.
            self.inflated = self._inflate(response.body)
            return response
        finally:
            self.ended_s = time.time()

    def _block(self) -> Response:
        self._started_s = self._started_s or time.monotonic()
        misread, origin = self._clients.misread, self._plan.target.origin
        if origin not in misread:
            with self._acquired() as client:
                error = self._perform(client)
                if not self._is_misread(error):
                    return self._response_or_raise(client, error)
                misread.add(origin)
                if self._plan.request.method not in SAFE_METHODS:
                    # A second POST might do harm. If Scrapy retries it, the host is
                    # known by then.
                    return self._response_or_raise(client, error)
        self._head = ResponseHead()
        with self._acquired() as client:
            return self._response_or_raise(client, self._exchange(client))

    @contextmanager
    def _acquired(self) -> Iterator[CurlClient]:
        client = self._clients.acquire(self._plan.route, self._plan.target.origin)
        with self._lock:
            self._client = client
            if self._aborted:
                client.hang_up()
        try:
            yield client
        finally:
            with self._lock:
                self._client = None
            if self._aborted or client.is_spent:
                client.close()
            else:
                self._clients.release(client)

    def _perform(self, client: CurlClient) -> pycurl.error | None:
        options = [*self._options(), self._time_option()]
        origin = self._plan.target.origin
        try:
            client.perform(origin, options, self._on_header, self._on_chunk)
        except pycurl.error as error:
            return error
        finally:
            self._count_connects(client)
        return None

    def _options(self) -> list[curl_options.Option]:
        """Return the options of libcurl, without the timeout."""
        plan = self._plan
        message = curl_options.message_options(plan.request, plan.target, plan.route)
        options = [*plan.options, *message]
        if not self._is_request_sent:
            options.append((pycurl.PREREQFUNCTION, self._on_connected))
        if plan.logs_tls or self._on_sent is not None:
            options += [
                (pycurl.VERBOSE, 1),
                (pycurl.DEBUGFUNCTION, self._on_debug),
            ]
        return options

    def _count_connects(self, handle: CurlHandle) -> None:
        self.connects += handle.connects
        self.connect_s += handle.connect_s
        if self._plan.target.scheme == "https":
            handle.note_certificate(self._plan.target.origin)

    def _exchange(self, client: CurlClient) -> pycurl.error | None:
        plan = self._plan
        self._is_request_sent = True
        reader = ResponseReader(
            self._on_header, self._on_chunk, has_body=plan.request.method != "HEAD"
        )
        message = curl_options.request_bytes(plan.request, plan.target, plan.route)
        options = [
            *plan.options,
            curl_options.version_option(False),
            self._time_option(),
        ]
        deadline_s = self._started_s + plan.left_s
        try:
            client.exchange(options, message, reader, deadline_s)
        except pycurl.error as error:
            return error
        finally:
            self._count_connects(client)
        return None

    def _time_option(self) -> curl_options.Option:
        left_s = self._started_s + self._plan.left_s - time.monotonic()
        return (pycurl.TIMEOUT_MS, min(_MAX_MS, max(1, int(left_s * 1000))))

    def _is_misread(self, error: pycurl.error | None) -> bool:
        """Return whether libcurl stopped at a header line that Scrapy would skip."""
        return (
            error is not None
            and error.args[0] == _WEIRD_REPLY
            and self._headers is None
            and self._is_request_sent
            and not self._aborted
        )

    def _response_or_raise(
        self, handle: CurlHandle, error: pycurl.error | None
    ) -> Response:
        if self._aborted:
            raise DownloadCancelledError(f"{self._plan.request}: cancelled")
        if self._refusal is not None:
            raise self._refusal
        if self._stop is not None:
            return self._stopped(handle, self._stop)
        if self._headers is None and error is None:
            # libcurl reports success if the connection ends within the headers.
            raise DownloadFailedError(
                f"{self._plan.request.url}: the connection ended within the headers"
            )
        if error is None or self._is_complete_early:
            return self._response(handle, self._flags())
        code, message = error.args
        if self._headers is None or code not in _LOSSES:
            raise curl_options.error_from(
                code, message, self._plan.request.url, self._plan.timeout_s
            ) from error
        if self._plan.limits.fails_on_dataloss:
            raise ResponseDataLossError(message) from error
        return self._response(handle, ["dataloss"])

    def _inflate(self, body: bytes) -> bytes | None:
        """Return *body* inflated, if it is gzip and the plan asks for it."""
        assert self._headers is not None
        codings = self._headers.getlist("Content-Encoding")
        if not self._plan.inflates or codings != [b"gzip"]:
            return None
        return gunzip(body, self._plan.limits.max_bytes)

    def _stopped(self, handle: CurlHandle, stop: StopDownload) -> Response:
        response = self._response(handle, ["download_stopped"])
        if stop.fail:
            stop.response = response
            raise stop
        return response

    def _flags(self) -> list[str]:
        is_head = self._plan.request.method == "HEAD"
        has_body = not is_head and self._head.status not in NO_BODY
        is_framed = bool(self._framing) or self._head.protocol == "HTTP/2"
        # Scrapy's flag for a body whose end is only the end of the connection.
        return ["partial"] if has_body and not is_framed else []

    def _response(self, handle: CurlHandle, flags: list[str]) -> Response:
        assert self._headers is not None
        url = urldefrag(self._plan.request.url)[0]
        body = self._received.getvalue()
        self._received = BytesIO()  # an inflated body replaces it
        der = handle.certificate() if self._plan.target.scheme == "https" else None
        if der and self._tls:
            self._note_tls(der)
        kind = responsetypes.from_args(headers=self._headers, url=url, body=body)
        response = kind(
            url=url,
            status=self._head.status,
            body=body,
            flags=flags,
            certificate=_certificate(der)
            if der and self._plan.wraps_certificate
            else der,
            ip_address=ip_address(handle.ip_address),
            protocol=self._head.protocol,
        )
        response.headers = self._headers  # as an argument it would be copied
        return response

    def _on_connected(self, *_: object) -> int:
        # The lines before were the proxy's answer to CONNECT.
        self._is_request_sent = True
        self._head = ResponseHead()
        return int(pycurl.PREREQFUNC_OK)

    def _on_debug(self, kind: int, text: bytes) -> None:
        if kind == pycurl.INFOTYPE_HEADER_OUT:
            # libcurl has just sent the request, or before that the CONNECT of a tunnel.
            if self._on_sent is not None and self._is_request_sent:
                self._on_sent(time.monotonic())
            return
        if kind != pycurl.INFOTYPE_TEXT or not self._plan.logs_tls:
            return
        words = text.decode("utf-8", "replace").split()
        if words[:3] == ["SSL", "connection", "using"]:
            self._tls = f"using protocol {words[3]}, cipher {words[5]}"

    def _note_tls(self, der: bytes) -> None:
        # Imported late: TLS logging is rarely on.
        from cryptography.x509 import load_der_x509_certificate

        found = load_der_x509_certificate(der)
        issuer, subject = found.issuer.rfc4514_string(), found.subject.rfc4514_string()
        for text in (
            f"SSL connection to {self._plan.target.host} {self._tls}",
            f'SSL connection certificate: issuer "{issuer}", subject "{subject}"',
        ):
            self.notes.append((logging.DEBUG, text))

    def _on_header(self, line: bytes) -> int | None:
        if self._headers is not None:
            return None  # a trailer, which Scrapy's responses do not have
        self._head.lines.append(line)
        if line.strip(b"\r\n"):
            return None
        if self._head.status < 200 or not self._is_request_sent:
            self._head = ResponseHead()
            return None
        return self._on_head()

    def _on_head(self) -> int | None:
        request = self._plan.request
        request.meta["download_latency"] = time.monotonic() - self._started_s
        pairs = self._head.pairs()
        self._framing = framing(pairs)
        is_head = request.method == "HEAD"
        size = body_length(pairs, self._head.status, is_head=is_head)
        self._headers = headers_of(pairs, size, is_head=is_head)
        if self._is_stopped(
            signals.headers_received, headers=self._headers, body_length=size
        ):
            return _END
        if is_head:
            # If the request has a body, libcurl does not treat it as HEAD and waits for
            # the body that Content-Length announces.
            self._is_complete_early = bool(request.body)
            return _END if self._is_complete_early else None
        self._is_settled = (
            size is not None
            and b"transfer-encoding" not in self._framing
            and signals.bytes_received not in self._plan.signals
        )
        return self._check_size(size or 0, "Expected to receive")

    def _on_chunk(self, chunk: bytes) -> int | None:
        self._received.write(chunk)
        if self._is_settled:
            return None
        self._size += len(chunk)
        if self._is_stopped(signals.bytes_received, data=chunk):
            return _END
        return self._check_size(self._size, "Received")

    def _check_size(self, size: int, verb: str) -> int | None:
        limits = self._plan.limits
        if limits.max_bytes and size > limits.max_bytes:
            self._received = BytesIO()
            self._refusal = DownloadCancelledError(
                self._note_size(verb, size, "max", limits.max_bytes)
            )
            return _END
        if limits.warn_bytes and size > limits.warn_bytes and not self._warned:
            self._warned = True
            self._note_size(verb, size, "warn", limits.warn_bytes)
        return None

    def _note_size(self, verb: str, size: int, which: str, limit: int) -> str:
        text = (
            f"{verb} {size} bytes which is larger than download {which} size ({limit}) "
            f"in request {self._plan.request}."
        )
        self.notes.append((logging.WARNING, text))
        return text

    def _is_stopped(self, signal: object, **about: Any) -> bool:
        """Send *signal*, if it has receivers; return whether they stop the download."""
        if signal not in self._plan.signals:
            return False
        verdict: Future[StopDownload | None] = Future()
        with self._lock:
            if self._aborted:
                return True
            self._verdict = verdict
        self._send_signal(verdict, signal, **about)
        left_s = self._started_s + self._plan.left_s - time.monotonic()
        try:
            self._stop = verdict.result(max(0.0, left_s))
        except CancelledError:
            return True
        except TimeoutError:
            self._refusal = curl_options.error_from(
                pycurl.E_OPERATION_TIMEDOUT,
                "",
                self._plan.request.url,
                self._plan.timeout_s,
            )
            return True
        return self._stop is not None


@lru_cache(maxsize=64)
def _certificate(der: bytes) -> Any:
    # Imported late: Scrapy without a reactor does not need it.
    from twisted.internet.ssl import Certificate

    return Certificate.load(der)
