"""Where a server of a crawl listens: ``host:port``, read and checked."""

from __future__ import annotations

from typing import NamedTuple

from concurcrawl.errors import ConfigError

#: Hosts that only this machine reaches.
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_EXPECTED = "host:port, such as 127.0.0.1:9100 (port 0 takes a free one), or empty"


class Address(NamedTuple):
    """Where a server listens.

    Attributes:
        host: Name or IP address.
        port: From 0 to 65535; 0 means a free one.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address_of(name: str, value: str) -> Address | None:
    """Return the address that *value* says; None if it is empty.

    A port alone, or after a colon, is one of this machine only.

    Raises:
        ConfigError: If it is none.
    """
    if not value:
        return None
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK[0]
    if not (port.isdecimal() and port.isascii() and int(port) < 1 << 16):
        raise ConfigError(name, value, _EXPECTED)
    if "/" in host or any(map(str.isspace, host)):
        raise ConfigError(name, value, _EXPECTED)
    return Address(host, int(port))
