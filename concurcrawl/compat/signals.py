"""The methods of a crawler's signal manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy.signalmanager import SignalManager


@touches(
    "scrapy.signalmanager",
    *("SignalManager.connect", "SignalManager.disconnect"),
    *("SignalManager.send_catch_log", "SignalManager.send_catch_log_async"),
)
def wrap_methods(
    manager: SignalManager,
    names: Iterable[str],
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Replace methods of *manager* by what *wrap* makes of them.

    Extensions connect when they like, in ``spider_opened`` or in the middle of the
    crawl, and send signals of their own.

    Touches: replaces ``SignalManager.connect()``, ``.disconnect()`` and those that send
    (Scrapy 2.19.0), on one manager. If they move, workers do not report what an
    extension waits for that connects late. Wished for: a setting for the class of the
    signal manager.
    """
    for name in names:
        setattr(manager, name, wrap(getattr(manager, name)))
