"""A Scrapyd server, asked over its JSON API.

References:
    https://scrapyd.readthedocs.io/en/latest/api.html
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from concurcrawl.errors import NodeError, NodeUnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from concurcrawl.tools.scrapyd.options import ScrapydJob, ScrapydNode

#: It runs ``scrapy list`` in the egg first, and answers no other request meanwhile.
_UPLOAD_S = 180.0
_ANSWER_S = 30.0
#: Bytes of a log to request at once.
_PIECE_BYTES = 1 << 20
_SCRAPYD_SAYS = "Scrapyd says: "


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job on a server.

    Attributes:
        state: pending, running or finished; None if the server does not know it.
        log_url: Where its log is, relative to the server; None if there is none.
        items_url: Where its feed is, likewise.
    """

    state: str | None
    log_url: str | None = None
    items_url: str | None = None


class ScrapydClient:
    """One server's; use it in one event loop.

    Every method raises :class:`NodeError` if the server cannot be reached in time,
    rejects the password, or refuses the request.
    """

    def __init__(self, node: ScrapydNode, session: aiohttp.ClientSession) -> None:
        self._node = node
        self._session = session
        self._auth = None
        if node.user:
            self._auth = aiohttp.BasicAuth(node.user, node.password, "utf-8")

    async def add_version(self, project: str, version: str, egg: bytes) -> None:
        """Upload an egg; the server checks that it can list its spiders."""
        form = aiohttp.FormData({"project": project, "version": version})
        form.add_field("egg", egg, filename="project.egg")
        try:
            await self._json("POST", "addversion.json", data=form, total_s=_UPLOAD_S)
        except NodeError as error:
            if not error.reason.startswith(_SCRAPYD_SAYS):
                raise
            reason = error.reason.removeprefix(_SCRAPYD_SAYS)
            raise NodeError(error.node, f"the egg was rejected: {reason}") from None

    async def schedule(self, job: ScrapydJob, version: str) -> None:
        """Schedule *job*."""
        form = aiohttp.FormData()
        fields = {
            "project": job.project,
            "spider": job.spider,
            "jobid": job.id,
            "_version": version,
            **job.arguments,
        }
        for name, value in fields.items():
            form.add_field(name, value)
        for setting in job.settings:
            form.add_field("setting", setting)
        await self._json("POST", "schedule.json", data=form, total_s=_UPLOAD_S)

    async def cancel(self, project: str, job: str) -> None:
        """Cancel *job*; it ends after the requests in flight."""
        form = aiohttp.FormData({"project": project, "job": job})
        await self._json("POST", "cancel.json", data=form)

    async def look(self, project: str, job: str) -> JobState:
        """Return the state of *job*."""
        reply = await self._json("GET", "listjobs.json", params={"project": project})
        # A finished one may have run again under the same name.
        for state in ("running", "pending", "finished"):
            for one in reversed(reply.get(state) or []):
                if one.get("id") == job:
                    return JobState(
                        state=state,
                        log_url=one.get("log_url"),
                        items_url=one.get("items_url"),
                    )
        return JobState(state=None)

    async def read(self, path: str, begin: int) -> bytes:
        """Return at most 1 MiB of the file at *path*, from the byte *begin* on."""
        span = {"Range": f"bytes={begin}-{begin + _PIECE_BYTES - 1}"}
        async with self._request("GET", path, headers=span) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""
            body = await answer.read()
        # A server without range requests sends the whole file.
        return body[begin:] if answer.status == HTTPStatus.OK else body

    async def save(self, path: str, target: Path) -> None:
        """Write the file at *path* to *target*, whole or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        part = target.with_name(f".{target.name}.part")
        try:
            async with self._request("GET", path, total_s=None) as answer:
                with part.open("wb") as file:
                    async for chunk in answer.content.iter_chunked(1 << 16):
                        file.write(chunk)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    async def _json(
        self,
        method: str,
        service: str,
        *,
        total_s: float = _ANSWER_S,
        **options: Any,
    ) -> dict[str, Any]:
        async with self._request(method, service, total_s=total_s, **options) as answer:
            body = await answer.read()
        try:
            reply = json.loads(body)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or "status" not in reply:
            raise NodeError(self._node.name, "something answers there, but no Scrapyd")
        if reply["status"] != "ok":
            lines = str(reply.get("message", "")).strip().splitlines() or ["no reason"]
            raise NodeError(self._node.name, f"{_SCRAPYD_SAYS}{lines[-1]}")
        return reply

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        total_s: float | None = _ANSWER_S,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=_ANSWER_S, sock_read=total_s or _ANSWER_S
        )
        try:
            async with self._session.request(
                method,
                self._node.url + path.lstrip("/"),
                auth=self._auth,
                timeout=timeout,
                **options,
            ) as answer:
                self._check(answer.status)
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _translated(self._node.name, error) from None

    def _check(self, status: int) -> None:
        if status == HTTPStatus.UNAUTHORIZED:
            reason = (
                "wrong user or password" if self._auth else "it asks for a password"
            )
        elif status >= 400 and status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            reason = f"it answers with status {status}"
        else:
            return
        raise NodeError(self._node.name, reason)


def _translated(node: str, error: aiohttp.ClientError | TimeoutError) -> NodeError:
    """Return an error that says why there was no answer."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            reason = "its name cannot be resolved"
        case aiohttp.ClientSSLError():
            return NodeError(node, f"its certificate will not do: {error}")
        case aiohttp.ClientConnectorError() if isinstance(
            error.os_error, ConnectionRefusedError
        ):
            reason = "it refuses connections; does Scrapyd run there?"
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or str(error.os_error)
        case TimeoutError():
            reason = "it does not answer in time"
        case _:
            reason = str(error) or type(error).__name__
    return NodeUnreachableError(node, f"unreachable: {reason}")
