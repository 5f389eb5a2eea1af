"""Keeps requests that cannot leave this process, once the supervisor knows of them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scrapy import Request

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.protocol.messages.questions import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.utils.request import RequestFingerprinterProtocol

    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.worker.connection import Connection
    from concurcrawl.workers.worker.local import LocalRequests
    from concurcrawl.workers.worker.outbox import Outbox

logger = logging.getLogger(__name__)


class LocalClaims:
    """Adds local requests that the supervisor has found to be no duplicates."""

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        local: LocalRequests,
        codec: Codec,
        fingerprinter: RequestFingerprinterProtocol,
        on_kept: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            connection: Asks the supervisor.
            outbox: Knows the lease of the running code.
            local: Gets the requests.
            codec: Encodes what the supervisor needs of them.
            fingerprinter: The crawler's.
            on_kept: Called once a request waits, or was found to be a duplicate.
        """
        self._connection = connection
        self._outbox = outbox
        self._local = local
        self._codec = codec
        self._fingerprinter = fingerprinter
        self._on_kept = on_kept

    def keep(self, request: Request) -> bool:
        """Let *request*, which cannot leave this process, be worked on here.

        Returns:
            Whether it will be; not if it was made outside of any lease.
        """
        lease_id = self._outbox.here().lease_id
        if lease_id is None:
            return False
        if self._local.expect(lease_id):
            if request.dont_filter:
                self._add(request, lease_id)
            else:
                asyncio.ensure_future(self._claim(request, lease_id))  # noqa: RUF006 - the lease is held for it
        return True

    def _add(self, request: Request, lease_id: int) -> None:
        self._outbox.count_scheduled("enqueued")
        self._local.add(request, lease_id)

    async def _claim(self, request: Request, lease_id: int) -> None:
        key = self._fingerprinter.fingerprint(request)
        try:
            outline = encode_outline(request, self._codec)
            is_new = await self._connection.ask(Claim(lease_id, key, outline))
        except Exception:  # of the frontier, say
            logger.exception("%s is dropped", request)
            is_new = b""
        if is_new:
            self._add(request, lease_id)
        else:
            self._local.drop(lease_id)
        self._on_kept()


def encode_outline(request: Request, codec: Codec) -> bytes:
    """Return *request* without the values that cannot leave this process, encoded."""
    return codec.encode(
        Request(
            request.url,
            method=request.method,
            headers=request.headers,
            body=request.body,
            meta=_encodable(request.meta, codec),
            cb_kwargs=_encodable(request.cb_kwargs, codec),
            priority=request.priority,
            dont_filter=request.dont_filter,
            flags=request.flags,
        )
    )


def _encodable(values: dict[str, Any], codec: Codec) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        with suppress(NotShippableError):
            codec.encode(value)
            found[name] = value
    return found
