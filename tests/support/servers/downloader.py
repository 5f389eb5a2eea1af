"""A process that downloads with a handler of the test's choice.

``python -m tests.support.servers.downloader HANDLER asyncio|none`` reads one job per
line, as JSON, and writes what became of it as a line of JSON. So the test's own process
needs no reactor, and a handler that hangs can be killed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.utils.misc import build_from_crawler, load_object
from scrapy.utils.spider import DefaultSpider
from scrapy.utils.test import get_crawler

if TYPE_CHECKING:
    from scrapy.http import Response


async def do(job: dict[str, Any], handler_path: str, has_reactor: bool) -> Any:
    """Make the requests of one job with one handler.

    Args:
        job: ``settings``; ``requests``, each the arguments of a ``Request``, one after
            the other or ``together``; ``stop`` (``headers`` or ``bytes``) and ``fail``
            for ``StopDownload``; ``cancel_s`` or ``close_s`` to end them early.
    """
    settings = {"TWISTED_REACTOR_ENABLED": has_reactor, **job.get("settings", {})}
    crawler = get_crawler(DefaultSpider, settings)
    crawler.spider = crawler._create_spider()
    heard: list[str] = []
    connect(crawler, job, heard)
    stream = io.StringIO()
    watch = logging.StreamHandler(stream)
    logging.getLogger().addHandler(watch)
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        handler = build_from_crawler(load_object(handler_path), crawler)
    except ValueError as error:
        return {"refused": str(error)}
    try:
        results = await download(job, handler)
    finally:
        await handler.close()
        logging.getLogger().removeHandler(watch)
    assert crawler.stats is not None
    return {
        "results": results,
        "heard": heard,
        "log": stream.getvalue(),
        "stats": crawler.stats.get_stats(),
    }


async def download(job: dict[str, Any], handler: Any) -> list[dict[str, Any]]:
    """Make the requests of *job* in its way."""
    requests = [Request(**arguments) for arguments in job["requests"]]
    for request in requests:
        if isinstance(request.meta.get("bindaddress"), list):  # JSON has no tuples
            request.meta["bindaddress"] = tuple(request.meta["bindaddress"])
    if not job.get("together"):
        return [await one(handler, request) for request in requests]
    tasks = [asyncio.ensure_future(one(handler, request)) for request in requests]
    if "cancel_s" in job:
        await asyncio.sleep(job["cancel_s"])
        for task in tasks:
            task.cancel()
    if "close_s" in job:
        await asyncio.sleep(job["close_s"])
        await handler.close()
    return [await task for task in tasks]


def connect(crawler: Any, job: dict[str, Any], heard: list[str]) -> None:
    """Receive signals and stop the download if the job says so."""

    def hear(signal: Any, **_: Any) -> None:
        name = "headers" if signal is signals.headers_received else "bytes"
        is_main = threading.current_thread() is threading.main_thread()
        heard.append(name if is_main else f"{name} in {threading.current_thread()}")
        if job.get("stop") == name:
            raise StopDownload(fail=job["fail"])

    if "stop" in job:
        crawler.keep = hear  # signals hold their receivers weakly
        crawler.signals.connect(hear, signals.headers_received)
        crawler.signals.connect(hear, signals.bytes_received)


async def one(handler: Any, request: Request) -> dict[str, Any]:
    """Download *request* and say what happened in plain values."""
    started_s = time.monotonic()
    error: BaseException | None = None
    response: Response | None = None
    try:
        response = await handler.download_request(request)
    except (Exception, asyncio.CancelledError) as caught:  # noqa: BLE001 - told on
        error = caught
        response = getattr(caught, "response", None)
    told: dict[str, Any] = {
        "error": type(error).__name__ if error else None,
        "message": str(error) if error else "",
        "elapsed_s": time.monotonic() - started_s,
        "latency_s": request.meta.get("download_latency"),
    }
    if response is not None:
        told |= {
            "url": response.url,
            "status": response.status,
            "body": base64.b64encode(response.body).decode("ascii"),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, values in response.headers.items()
                for value in values
            ],
            "flags": response.flags,
            "kind": type(response).__name__,
            "protocol": response.protocol,
            "ip_address": str(response.ip_address),
            "certificate": name_in(response.certificate),
        }
    return told


def name_in(certificate: Any) -> str | None:
    """Return the common name of a certificate, Twisted's object or DER."""
    if certificate is None:
        return None
    if isinstance(certificate, bytes):
        from cryptography.x509 import load_der_x509_certificate

        return load_der_x509_certificate(certificate).subject.rfc4514_string()
    return f"CN={certificate.getSubject().commonName.decode()}"


async def work(handler_path: str, has_reactor: bool) -> None:
    """Do jobs until there are no more."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        done = await do(json.loads(line), handler_path, has_reactor)
        print(json.dumps(done, default=str), flush=True)  # noqa: T201 - the answer


def main() -> None:
    """Choose the loop, with a reactor on it or without."""
    handler_path, kind = sys.argv[1:]
    if kind == "none":
        from scrapy.utils.reactorless import install_reactor_import_hook

        install_reactor_import_hook()
        asyncio.run(work(handler_path, has_reactor=False))
        return
    from scrapy.utils.reactor import install_reactor

    install_reactor(
        "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
        "uvloop.Loop" if kind == "uvloop" else None,
    )
    from twisted.internet import reactor, task
    from twisted.internet.defer import Deferred

    task.react(
        lambda _: Deferred.fromFuture(
            asyncio.ensure_future(work(handler_path, has_reactor=True))
        ),
        _reactor=reactor,
    )


if __name__ == "__main__":
    main()
