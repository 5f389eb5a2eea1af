"""Refuse a crawl before it begins, in one sentence and with exit code 1."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy.utils.log import configure_logging

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from concurcrawl.errors import ConcurcrawlError

logger = logging.getLogger(__name__)


def refusal(error: ConcurcrawlError, settings: BaseSettings) -> SystemExit:
    """Return the exception to raise; Scrapy shows any other one with a traceback.

    If the log is a file, the sentence is logged too, since the output of a job that
    Scrapyd runs goes nowhere.
    """
    if settings.get("LOG_FILE"):
        if not logging.root.handlers:  # the error came before Scrapy set up its log
            configure_logging(dict(settings))
        logger.critical("%s", error)
    return SystemExit(str(error))
