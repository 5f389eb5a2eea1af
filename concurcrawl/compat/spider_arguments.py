"""The arguments of a spider, recorded so that workers can create it again."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy.crawler import Crawler

from concurcrawl.compat import stack
from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy import Spider

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]

#: Of each crawler that was made to run in a mode.
_given: WeakKeyDictionary[Crawler, _Arguments] = WeakKeyDictionary()


@touches("scrapy.crawler", "Crawler._create_spider")
def record() -> None:
    """Keep what spiders are made with from now on, if their crawl has a ``MODE``.

    Scrapy hands the arguments to the spider's ``from_crawler`` and forgets them. It
    does so before a crawler loads its add-ons, so there is nothing of one crawler that
    could be replaced instead. The copy is made before the spider sees them: one that
    empties a list that it was given empties its own.

    Touches: replaces ``Crawler._create_spider(*args, **kwargs)`` by a method that
    copies its arguments and calls the original (Scrapy 2.19.0). If it moves, the
    arguments are read from the stack, where such a list is empty. Wished for:
    ``Crawler.spider_args`` and ``Crawler.spider_kwargs``.
    """
    # A crawl without a mode goes on if it has moved; see parts.require().
    create_spider = getattr(Crawler, "_create_spider", None)
    if create_spider is None or hasattr(create_spider, "__wrapped__"):
        return

    @functools.wraps(create_spider)
    def recording(self: Crawler, /, *args: Any, **kwargs: Any) -> Spider:
        if self.settings.get("CONCURCRAWL_MODE", self.settings.get("MODE")):
            _given[self] = _copy((args, kwargs))
        spider: Spider = create_spider(self, *args, **kwargs)
        return spider

    # The assignment is the point; functools.wraps gives it a type of its own.
    Crawler._create_spider = recording  # type: ignore[assignment, method-assign]


def of(crawler: Crawler) -> _Arguments:
    """Return what *crawler* made its spider with.

    Called while the crawl is being set up.

    Raises:
        RuntimeError: If that is known neither from :func:`record` nor from the stack:
            another spider than the user's would be crawled.
    """
    found = _given.get(crawler) or stack.spider_arguments(crawler)
    if found is None:
        import scrapy

        raise RuntimeError(
            f"Scrapy {scrapy.__version__} made the spider {crawler.spidercls.__name__} "
            "in a way that hides its arguments, so worker processes cannot make it. "
            "Run it without MODE, or put the add-on into the project's settings."
        )
    return found


def _copy(arguments: _Arguments) -> _Arguments:
    try:
        return copy.deepcopy(arguments)
    except Exception:  # noqa: BLE001 - it runs the code of whatever class
        # What cannot be copied cannot be sent either; sending it raises the error.
        return arguments
