"""Run any Scrapy spider serial, concurrent or parallel, and compare the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurcrawl.addon import Addon

__all__ = ["Addon"]


def __getattr__(name: str) -> object:
    # Late, so that what needs no Scrapy (the mirror, the reports) does not import it.
    if name == "Addon":
        from concurcrawl.addon import Addon

        return Addon
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
