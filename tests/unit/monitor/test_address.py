from __future__ import annotations

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.monitor.address import Address, address_of


@pytest.mark.parametrize(
    ("text", "address", "is_loopback"),
    [
        ("9100", Address("127.0.0.1", 9100), True),
        (":0", Address("127.0.0.1", 0), True),
        ("localhost:80", Address("localhost", 80), True),
        ("[::1]:80", Address("::1", 80), True),
        ("0.0.0.0:9100", Address("0.0.0.0", 9100), False),
        ("crawler.example:9100", Address("crawler.example", 9100), False),
    ],
)
def test_addresses(text: str, address: Address, is_loopback: bool) -> None:
    found = address_of("A", text)
    assert found == address
    assert found is not None
    assert found.is_loopback is is_loopback


def test_an_empty_one_is_none() -> None:
    assert address_of("A", "") is None


@pytest.mark.parametrize(
    "text", ["here", "a:b", "a:65536", "a:-1", "http://a:80", "a b:80", "1:²"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be host:port"):
        address_of("A", text)


def test_they_are_written_as_in_a_url() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("a", 80)) == "a:80"
