"""How a crawl is refused before it begins: in one sentence, with exit code 1."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy.utils.log import configure_logging

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from concurcrawl.errors import ConcurcrawlError

logger = logging.getLogger(__name__)


def refusal(error: ConcurcrawlError, settings: BaseSettings) -> SystemExit:
    """Return what to raise; any other exception would be shown with a traceback.

    Where the log is a file, the sentence is in it as well: nobody reads the output of
    a job that Scrapyd runs.
    """
    if settings.get("LOG_FILE"):
        if not logging.root.handlers:  # what is wrong was seen before Scrapy had a log
            configure_logging(dict(settings))
        logger.critical("%s", error)
    return SystemExit(str(error))
