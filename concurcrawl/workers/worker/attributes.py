"""Attributes that pipelines and extensions set on the supervisor's spider."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from concurcrawl.durable.state import Change, apply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Spider


def set_attributes(spider: Spider, changes: Iterable[tuple[str, Change]]) -> None:
    """Apply the changes that the supervisor has sent to *spider* of a worker."""
    own = vars(spider)
    for name, change in changes:
        if name not in own and hasattr(spider, name):
            own[name] = copy.copy(getattr(spider, name))  # the class keeps its own
        apply(own, name, change)
