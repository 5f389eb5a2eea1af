"""One request in the event loop, as far as nothing blocks there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pycurl
from typing_extensions import override

from concurcrawl.http.curl_options import Route
from concurcrawl.http.transfer import SAFE_METHODS, Transfer
from concurcrawl.tracing.record import REACTOR

if TYPE_CHECKING:
    from scrapy.http import Response

    from concurcrawl.http.handles import CurlHandle
    from concurcrawl.http.multi import AsyncMulti
    from concurcrawl.http.plan import TransferPlan
    from concurcrawl.http.transfer import TransferContext

#: A body above this is inflated in a thread: the loop would stand still for long.
#: Others the middleware inflates: where several answers arrive together, that is after
#: the next requests have left.
_LARGE_BYTES = 1 << 20


class LoopTransfer(Transfer):
    """A transfer that blocks a thread only where it cannot do without.

    That is: for signals with receivers, whose answers it waits for; for proxies and
    local addresses, because libcurl does not tell connections apart by the credentials
    in a header; and for servers whose headers libcurl refuses.
    """

    def __init__(
        self, plan: TransferPlan, context: TransferContext, multi: AsyncMulti
    ) -> None:
        super().__init__(plan, context)
        self._multi = multi
        self._handle: CurlHandle | None = None

    @override
    def abort(self) -> None:
        super().abort()
        if self._handle is not None:
            self._multi.abort(self._handle)

    @override
    async def respond(self) -> Response:
        plan, misread = self._plan, self._clients.misread
        origin = plan.target.origin
        if plan.signals or origin in misread or plan.route != Route():
            return await super().respond()
        self.thread = REACTOR
        self._started_s = time.monotonic()
        response = await self._respond_in_loop()
        if response is None:
            return await super().respond()
        if len(response.body) > _LARGE_BYTES:
            body = response.body
            self.inflated = await self._threads.run(lambda: self._inflate(body))
        return response

    async def _respond_in_loop(self) -> Response | None:
        """Return the response, or None if it must be read leniently."""
        with self._multi.handle() as handle:
            error = await self._perform_in_loop(handle)
            self.ended_s = time.time()
            if self._is_misread(error):
                self._clients.misread.add(self._plan.target.origin)
                if self._plan.request.method in SAFE_METHODS:
                    return None
            return self._response_or_raise(handle, error)

    async def _perform_in_loop(self, handle: CurlHandle) -> pycurl.error | None:
        handle.prepare(self._options(), self._on_header, self._on_chunk)
        self._handle = handle
        try:
            await self._multi.perform(handle, self._plan.left_s)
        except pycurl.error as error:
            return error
        finally:
            self._handle = None
            self._count_connects(handle)
        return None
