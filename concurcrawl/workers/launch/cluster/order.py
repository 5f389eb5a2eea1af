"""What travels through the engine: what to start, and how that went."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field
from importlib import metadata

#: What must be alike at both ends: they unpickle what the other has pickled.
_LIBRARIES = ("scrapy", "concurcrawl", "multiprocess", "dill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One worker to start: plain values, for any engine.

    Attributes:
        host: Where the supervisor listens.
        port: Likewise.
        key: With which both ends prove that they belong to this crawl.
        number: Of this worker, unlike any other's of the crawl.
        archive: The hash of the project's archive.
        main: What workers have for ``__main__``, pickled.
        versions: Of what the supervisor runs with.
        has_tls: Whether the supervisor wants TLS.
        timeout_s: Silence of the supervisor after which the worker ends.
    """

    host: str
    port: int
    key: bytes = field(repr=False)
    number: int
    archive: str
    main: bytes = field(repr=False)
    versions: dict[str, str]
    has_tls: bool
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a worker has ended.

    Attributes:
        machine: Where it was to run, in words.
        problem: Why it could not start there, as one sentence; empty if it did.
    """

    machine: str
    problem: str = ""


def versions() -> dict[str, str]:
    """Return what must be alike at both ends."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in _LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def mismatch(wanted: dict[str, str], found: dict[str, str]) -> str:
    """Return what differs, in words; empty if nothing does."""
    return ", ".join(
        f"{name} {found.get(name, 'none')} instead of {version}"
        for name, version in wanted.items()
        if found.get(name) != version
    )


def digest(archive: bytes) -> str:
    """Return what *archive* is called; the same content has the same name."""
    return hashlib.sha256(archive).hexdigest()[:32]
