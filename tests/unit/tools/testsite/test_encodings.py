from __future__ import annotations

import gzip

import brotli  # type: ignore[import-untyped]  # it brings no types
import pytest

from concurcrawl.tools.testsite.encodings import choose, compress


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("br", "br"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("br, gzip", "gzip"),
        ("gzip;q=0.5, br", "br"),
        ("gzip;q=0.5, br;q=0.4", "gzip"),
        ("gzip ; q=0.1 ,br; Q=0.9", "br"),
        ("identity", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0, br", "br"),
        ("*", "gzip"),
        ("*;q=0.5, gzip;q=0", "br"),
        ("deflate", "identity"),
        ("identity;q=0, br;q=0.001", "br"),
        ("*;q=0", "identity"),
        ("gzip;q=much", "identity"),
        (",, ,", "identity"),
    ],
)
def test_the_weights_of_accept_encoding_decide(accept: str, chosen: str) -> None:
    assert choose(accept) == chosen


def test_what_was_compressed_comes_back() -> None:
    body = b"<p>Andorra</p>" * 1000

    assert gzip.decompress(compress(body, "gzip")) == body
    assert brotli.decompress(compress(body, "br")) == body
    assert compress(body, "identity") == body


def test_gzip_says_nothing_about_when() -> None:
    assert compress(b"Andorra", "gzip")[4:8] == bytes(4)  # RFC 1952: MTIME
