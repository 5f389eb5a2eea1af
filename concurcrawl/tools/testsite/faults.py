"""Decide which requests the test site fails, and the pauses that it asks for.

Decided by seed, path and how often that path was requested, so that the same crawl
meets the same faults in whatever order its requests come.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import blake2b
from typing import Literal

from concurcrawl.errors import ConfigError

#: Faults and what each does; ``--fault`` takes them by these names.
KINDS = {
    "429": "Too Many Requests, with Retry-After",
    "500": "Internal Server Error",
    "503": "Service Unavailable, with Retry-After",
    "cut": "half of the body, then the connection is reset",
    "stall": "the headers, then nothing until the client gives up",
    "short": "less than Content-Length says, then the connection is closed",
    "slow": "the whole answer, in drips",
    "garbage": "bytes that are no HTTP, then the connection is closed",
    "badzip": "a body that says it is gzip and is not",
}
#: The faults that are a whole answer of another status.
STATUSES = {"429": 429, "500": 500, "503": 503}
#: The faults that leave a client without the body.
SPOILT = frozenset({"cut", "stall", "short", "garbage", "badzip"})

_LONGEST_RETRY_AFTER_S = 86400


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """What a 429 and a 503 ask for.

    Attributes:
        form: As what it is written.
        wait_s: How long; a date is rounded up to the next whole second.
    """

    form: Literal["seconds", "date", "none"] = "seconds"
    wait_s: int = 1

    def header(self, now_s: float) -> tuple[str, float] | None:
        """Return the header's value and for how many seconds from now it holds.

        Args:
            now_s: Seconds since the epoch.

        Returns:
            None if there is to be no header.
        """
        if self.form == "none":
            return None
        if self.form == "seconds":
            return str(self.wait_s), float(self.wait_s)
        then_s = math.ceil(now_s + self.wait_s)
        return formatdate(then_s, usegmt=True), then_s - now_s


class Faults:
    """Decides on one request after the other. One thread only.

    Args:
        shares: Share of the requests by kind of fault, in the order of the draw.
        times: How often a path misbehaves at most; after that it is served well.
        seed: Which of the possible misfortunes.
    """

    def __init__(
        self, shares: tuple[tuple[str, float], ...] = (), times: int = 2, seed: int = 0
    ) -> None:
        self._shares = shares
        self._times = times
        self._seed = seed
        self.restart()

    def restart(self) -> None:
        """Start over: the same requests get the same faults again."""
        self._asked: Counter[tuple[str, str]] = Counter()
        self._given: Counter[tuple[str, str]] = Counter()

    def next(self, host: str, path: str) -> str | None:
        """Return how to answer a request for *path*; None for well.

        Each host counts for itself: which of two is asked first makes no difference.
        """
        if not self._shares:
            return None
        key = (host, path)
        self._asked[key] += 1
        if self._given[key] >= self._times:
            return None
        kind = _chosen(self._shares, draw(self._seed, path, self._asked[key]))
        self._given[key] += kind is not None
        return kind


def draw(seed: int, path: str, nth: int) -> float:
    """Return a number in [0, 1) for the *nth* request for *path*."""
    text = f"{seed} {nth} {path}".encode("utf-8", "surrogateescape")
    digest = blake2b(text, digest_size=6)  # 48 bits: a float holds them exactly
    return int.from_bytes(digest.digest(), "big") / 2**48


def _chosen(shares: tuple[tuple[str, float], ...], number: float) -> str | None:
    total = 0.0
    for kind, share in shares:
        total += share
        if number < total:
            return kind
    return None


def parse_faults(text: str) -> tuple[tuple[str, float], ...]:
    """Read the value of ``--fault``, such as ``429:0.1,cut:0.05``.

    Raises:
        ConfigError: If it is something else.
    """
    shares: dict[str, float] = {}
    for part in text.split(",") if text.strip() else ():
        kind, _, number = (piece.strip() for piece in part.partition(":"))
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if kind not in KINDS or kind in shares or not 0 <= share <= 1:
            raise _no_faults(text)
        shares[kind] = share
    if math.fsum(shares.values()) > 1 + 1e-9:  # ten times 0.1 is fine
        raise _no_faults(text)
    return tuple(shares.items())


def _no_faults(text: str) -> ConfigError:
    kinds = ", ".join(KINDS)
    expected = (
        "KIND:SHARE, KIND:SHARE, ... with shares from 0 to 1, together 1 at most, and"
        f" each kind once, of {kinds}"
    )
    return ConfigError("--fault", text, expected)


def parse_retry_after(text: str) -> RetryAfter:
    """Read the value of ``--retry-after``: ``2``, ``date``, ``date:2`` or ``none``.

    Raises:
        ConfigError: If it is something else.
    """
    if text == "none":
        return RetryAfter("none", 0)
    if text == "date":
        return RetryAfter("date", 1)
    number = text.removeprefix("date:")
    if number.isascii() and number.isdecimal() and len(number) <= 6:
        wait_s = int(number)
        if wait_s <= _LONGEST_RETRY_AFTER_S:
            return RetryAfter("seconds" if number == text else "date", wait_s)
    expected = (
        f"whole seconds from 0 to {_LONGEST_RETRY_AFTER_S}, date, date:SECONDS or none"
    )
    raise ConfigError("--retry-after", text, expected)
