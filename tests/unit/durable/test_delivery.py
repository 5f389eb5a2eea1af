"""What a delivery keeps in a JOBDIR, read back."""

from __future__ import annotations

import pickle

from scrapy.http import HtmlResponse

from concurcrawl.durable.delivery import read_entry
from concurcrawl.workers.protocol.messages import ResponseMeta

META = ResponseMeta(HtmlResponse, "http://a/", 200, {b"A": [b"1"]}, ("x",), None)


def test_an_item_and_its_page_are_read_as_they_were_kept() -> None:
    assert read_entry(pickle.dumps((b"item", META))) == (b"item", META)
    assert read_entry(pickle.dumps((b"item", None))) == (b"item", None)


def test_an_item_that_an_earlier_release_kept_is_read() -> None:
    kept = pickle.dumps((b"item", META), 0)
    new = b"cconcurcrawl.workers.protocol.messages\nResponseMeta\n"
    assert kept.count(new) == 1
    old = kept.replace(new, b"cconcurcrawl.workers.messages\nHead\n")
    assert read_entry(old) == (b"item", META)
