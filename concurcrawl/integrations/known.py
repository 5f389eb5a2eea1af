"""Plugins on PyPI with state that several processes cannot share.

This is data: nothing here imports a plugin. Most plugins need no entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from concurcrawl.integrations.own_files import Use

#: The remedy for state that only one process can have.
ONE_PROCESS = "set CONCURCRAWL_WORKERS=1, or use MODE=serial, concurrent or async"


@dataclass(frozen=True, slots=True)
class Unshared:
    """A plugin whose state is separate in each process.

    Attributes:
        package: Its import name; empty for any.
        reason: Why several workers cannot share it, as a clause.
        remedy: What to do, as a clause.
        is_refused: Whether to refuse it, because data or a site's rules are at stake.
    """

    package: str
    reason: str
    remedy: str
    is_refused: bool


#: Those that are middlewares, or bases of a project's own.
MIDDLEWARES = (
    Unshared(
        "scrapy_deltafetch",
        "only one process can open its database, and each worker opens it",
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

#: What is reported about other middlewares, by what their code does with files.
BY_USE: dict[Use, tuple[Unshared, ...]] = {
    Use.NONE: (),
    Use.WRITES: (
        Unshared(
            "",
            "it writes a file, and each worker has its own middleware that writes it",
            "open the file to append, give each process its own (os.getpid()), or "
            f"{ONE_PROCESS}",
            is_refused=False,
        ),
    ),
    Use.EXCLUSIVE: (
        Unshared(
            "",
            "only one process can open a dbm database, and each worker has its own "
            "middleware that opens it",
            ONE_PROCESS,
            is_refused=True,
        ),
    ),
}

#: Libraries that a project's own components call.
LIBRARIES = (
    Unshared(
        "scrapy_warcio",
        "two workers that begin a file in the same second choose the same name, and "
        "one of them fails",
        "give each worker a warc_prefix of its own (for example with os.getpid())",
        is_refused=False,
    ),
)
