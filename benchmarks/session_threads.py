"""Threads with ``requests``, done well: a session each, errors raised, a time-out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from benchmarks.common import arguments, keep, links

TIMEOUT_S = 30
own = threading.local()


def get(url: str) -> bytes:
    """Return the body of a page."""
    if not hasattr(own, "session"):
        own.session = requests.Session()
    response = own.session.get(url, timeout=TIMEOUT_S)
    response.raise_for_status()
    return bytes(response.content)


def main() -> None:
    """Get all pages."""
    list_url, out, work, in_flight = arguments()

    def do(url: str) -> None:
        keep(out, work, url, get(url))

    with ThreadPoolExecutor(in_flight) as pool:
        for _ in pool.map(do, links(get(list_url), list_url)):
            pass  # raises what a thread raised


if __name__ == "__main__":
    main()
