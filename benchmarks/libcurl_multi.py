"""A bare libcurl multi loop, inflating with ISA-L: about what one process can do."""

from __future__ import annotations

from io import BytesIO

import pycurl
from isal import isal_zlib

from benchmarks.common import arguments, keep, links

GZIP = 31  # wbits of a gzip stream


def transfer() -> pycurl.Curl:
    """Return a handle that can be used again and again."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.HTTPHEADER, ["Accept-Encoding: gzip"])
    curl.setopt(pycurl.SSL_VERIFYPEER, 0)  # no variable of the environment tells it
    curl.setopt(pycurl.FAILONERROR, 1)
    curl.setopt(pycurl.BUFFERSIZE, 1 << 18)
    return curl


def begin(curl: pycurl.Curl, url: str) -> BytesIO:
    """Have *curl* get *url* into what is returned."""
    body = BytesIO()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, body)
    return body


def main() -> None:
    """Get all pages."""
    list_url, out, work, in_flight = arguments()
    first = transfer()
    page = begin(first, list_url)
    first.perform()
    waiting = links(isal_zlib.decompress(page.getvalue(), GZIP), list_url)[::-1]
    multi = pycurl.CurlMulti()
    busy: dict[pycurl.Curl, tuple[str, BytesIO]] = {}
    free = [transfer() for _ in range(in_flight)]
    while waiting or busy:
        while waiting and free:
            url, curl = waiting.pop(), free.pop()
            busy[curl] = url, begin(curl, url)
            multi.add_handle(curl)
        multi.perform()
        _, done, failed = multi.info_read()
        for curl in done:
            url, body = busy.pop(curl)
            multi.remove_handle(curl)
            free.append(curl)
            keep(out, work, url, isal_zlib.decompress(body.getvalue(), GZIP))
        for curl, _, why in failed:
            raise SystemExit(f"{busy[curl][0]}: {why}")
        if not done:
            multi.poll(1000) if hasattr(multi, "poll") else multi.select(1.0)


if __name__ == "__main__":
    main()
