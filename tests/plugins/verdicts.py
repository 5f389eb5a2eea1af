"""What may become of a plugin in a mode."""

from __future__ import annotations

from dataclasses import dataclass

#: The set-ups, in the order of the table's columns.
SETUPS = ("serial", "concurrent", "async", "parallel", "hybrid", "parallel + JOBDIR")

#: Those with more than one worker process.
WITH_WORKERS = SETUPS[3:]


@dataclass(frozen=True, slots=True)
class AsPlain:
    """The same items, requests, files and effects as in plain Scrapy."""

    def __str__(self) -> str:
        return "as plain"


@dataclass(frozen=True, slots=True)
class Refused:
    """The crawl ends before its first request, with a sentence that has *part*.

    Attributes:
        advice: What a user does, as a sentence.
    """

    part: str
    advice: str

    def __str__(self) -> str:
        return "refused"


@dataclass(frozen=True, slots=True)
class Named:
    """A warning at the start has *part*; the crawl goes on and ends.

    Attributes:
        advice: What a user does, as a sentence.
    """

    part: str
    advice: str

    def __str__(self) -> str:
        return "named"


Verdict = AsPlain | Refused | Named
