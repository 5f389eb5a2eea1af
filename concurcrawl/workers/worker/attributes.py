"""Attributes of the spider that pipelines and extensions have set in the supervisor."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from concurcrawl.durable.state import Change, apply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Spider


def set_attributes(spider: Spider, changes: Iterable[tuple[str, Change]]) -> None:
    """Make on *spider*, a worker's, the changes that the supervisor has sent."""
    own = vars(spider)
    for name, change in changes:
        if name not in own and hasattr(spider, name):
            own[name] = copy.copy(getattr(spider, name))  # of the class, which stays
        apply(own, name, change)
