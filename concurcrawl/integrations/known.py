"""Plugins of PyPI that keep something that several processes cannot share.

This is data: nothing here imports a plugin. Most plugins need no entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from concurcrawl.integrations.own_files import Use

#: What to do where one process has something for itself.
ONE_PROCESS = "set CONCURCRAWL_WORKERS=1, or use MODE=serial, concurrent or async"


@dataclass(frozen=True, slots=True)
class Unshared:
    """A plugin whose state is each process's own.

    Attributes:
        package: Its import name; empty for any.
        reason: Why several workers cannot have it, as a sentence without a full stop.
        remedy: What to do, as an order without a full stop.
        is_refused: Whether it would change data or break a site's rules.
    """

    package: str
    reason: str
    remedy: str
    is_refused: bool


#: Those that are middlewares, or bases of a project's own.
MIDDLEWARES = (
    Unshared(
        "scrapy_deltafetch",
        "only one process can have its database, and each worker opens it",
        ONE_PROCESS,
        is_refused=True,
    ),
    Unshared(
        "scrapy_qos",
        "each worker has token buckets of its own, so the site would get more than "
        "they allow",
        "set CONCURCRAWL_RATE instead (requests per second, over all processes)",
        is_refused=True,
    ),
    Unshared(
        "scrapy_itemlimit",
        "each worker counts its own items, so more of them come than the limit",
        ONE_PROCESS,
        is_refused=False,
    ),
)

#: What is said of other middlewares, by what their code does with files.
BY_USE: dict[Use, tuple[Unshared, ...]] = {
    Use.NONE: (),
    Use.WRITES: (
        Unshared(
            "",
            "it writes a file, and each worker has a middleware of its own that does",
            "open the file to append, give each process its own (os.getpid()), or "
            f"{ONE_PROCESS}",
            is_refused=False,
        ),
    ),
    Use.EXCLUSIVE: (
        Unshared(
            "",
            "only one process can have a dbm database, and each worker has a "
            "middleware of its own that opens it",
            ONE_PROCESS,
            is_refused=True,
        ),
    ),
}

#: Libraries that a project's own components call.
LIBRARIES = (
    Unshared(
        "scrapy_warcio",
        "two workers that begin a file in the same second choose one name for it, and "
        "one of them fails",
        "give each worker a warc_prefix of its own (with os.getpid(), for one)",
        is_refused=False,
    ),
)
