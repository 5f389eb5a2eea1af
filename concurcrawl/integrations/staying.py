"""Signals that do not leave the process in which a page is downloaded."""

from __future__ import annotations

from scrapy import signals

#: Signals that stay in the worker: receivers of the first two answer while a page
#: arrives, and the parser that the third one passes may not be picklable.
STAYING = {
    signals.headers_received: "headers_received",
    signals.bytes_received: "bytes_received",
    signals.robots_parsed: "robots_parsed",
}

#: Why an extension receives none of these, and what to do.
NOT_RECEIVED = (
    "it receives nothing about downloads of workers: extensions run in the supervisor"
)
IN_WORKERS = "connect it in a downloader middleware, which workers have"
