"""What every download handler for http and https must do. Name one to test it.

It is Scrapy's own contract, in our words: ``tests/integration/http/test_handler.py``
runs it against Scrapy's default handler too.
"""

from __future__ import annotations

from tests.contracts.handler.failures import FailureContract
from tests.contracts.handler.limits import LimitContract
from tests.contracts.handler.requests import RequestContract
from tests.contracts.handler.responses import ResponseContract
from tests.contracts.handler.ways import WayContract


class HandlerContract(
    ResponseContract, RequestContract, LimitContract, FailureContract, WayContract
):
    """All of it."""
