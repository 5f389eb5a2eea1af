"""Signals that do not leave the process in which a page is downloaded."""

from __future__ import annotations

from scrapy import signals

#: Signals about what a worker downloads that stay in it: those of a page that arrives
#: are answered while it does, and the parser of a robots.txt is an object of any class.
STAYING = {
    signals.headers_received: "headers_received",
    signals.bytes_received: "bytes_received",
    signals.robots_parsed: "robots_parsed",
}

#: Why an extension hears none of these, and what to do.
NOT_RECEIVED = (
    "it hears nothing of what workers download, since an extension is in the supervisor"
)
IN_WORKERS = "connect it in a downloader middleware, which workers have"
