"""Deploy to one node, follow its job and download the feed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from concurcrawl.errors import NodeError, NodeUnreachableError
from concurcrawl.tools.scrapyd.job_log import JobLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.tools.scrapyd.client import JobState, ScrapydClient
    from concurcrawl.tools.scrapyd.options import Deployment, ScrapydNode

#: Seconds between two requests for the state of a job.
_INTERVAL_S = 1.0

#: Final states of a node.
ENDED = frozenset({"finished", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Progress of one node.

    Attributes:
        node: Its name.
        state: waiting, uploading, pending, running, collecting, finished or failed.
        pages: Responses of its job so far, from its log.
        items: Items of its job so far, from its log.
        elapsed_s: Seconds since the job was running.
        reason: Why it failed, or another remark; may be empty.
    """

    node: str
    state: str = "waiting"
    pages: int = 0
    items: int = 0
    elapsed_s: float = 0.0
    reason: str = ""


class NodeRun:
    """Carries out the deployment on one node.

    Args:
        node: The node.
        client: Client of the node.
        deployment: All options.
        show: Called with the progress after each change.
    """

    def __init__(
        self,
        node: ScrapydNode,
        client: ScrapydClient,
        deployment: Deployment,
        show: Callable[[JobProgress], None],
    ) -> None:
        self.progress = JobProgress(node=node.name)
        self._node = node
        self._client = client
        self._deployment = deployment
        self._show = show
        self._log = JobLog()
        self._read_bytes = 0
        self._log_url: str | None = None
        self._began_s: float | None = None

    async def run(self, version: str, egg: bytes) -> None:
        """Upload, start, follow and download; a failure is in :attr:`progress`."""
        job = self._deployment.job
        try:
            if self._deployment.is_new:
                self._become("uploading")
                await self._client.add_version(job.project, version, egg)
                await self._client.schedule(job, version)
            final = await self._follow()
            self._become("collecting")
            failure = await self._collect(final)
        except NodeError as error:
            failure = error.reason
        except OSError as error:
            failure = f"its feed cannot be written here: {error}"
        await self._end(failure)

    async def cancel(self) -> str:
        """Cancel the job; return why that was not possible, or ""."""
        job = self._deployment.job
        try:
            await self._client.cancel(job.project, job.id)
        except NodeError as error:
            return error.reason
        return ""

    async def _follow(self) -> JobState:
        """Follow the job to its end and return its final state.

        Raises:
            NodeError: If the node was unreachable for too long, or lost the job.
        """
        job = self._deployment.job
        answered_s = time.monotonic()
        while True:
            try:
                found = await self._client.look(job.project, job.id)
                await self._read_log(found)
            except NodeUnreachableError as error:
                if time.monotonic() - answered_s > self._deployment.patience_s:
                    raise
                self._become(self.progress.state, error.reason)
            else:
                if found.state == "finished":
                    return found
                if found.state is None:
                    raise NodeError(self._node.name, self._unknown())
                answered_s = time.monotonic()
                self._become(found.state)
            await asyncio.sleep(_INTERVAL_S)

    def _unknown(self) -> str:
        if self._deployment.is_new:
            return "it has lost the job: Scrapyd was started again there"
        return f"it knows no job {self._deployment.job.id!r}"

    async def _read_log(self, found: JobState) -> None:
        if found.log_url is None:
            return
        self._log_url = found.log_url
        while piece := await self._client.read(found.log_url, self._read_bytes):
            self._read_bytes += len(piece)
            self._log.feed(piece.decode("utf-8", "replace"))

    async def _collect(self, final: JobState) -> str:
        """Download the feed; return why the job failed, or ""."""
        out = self._deployment.out
        if out is not None and final.items_url is not None:
            suffix = ".jsonl" if final.items_url.endswith(".jl") else ""
            target = out / f"{self._node.file_name}{suffix}"
            await self._client.save(final.items_url, target)
        if failure := self._log.failure():
            return failure
        if self._log_url is None or not self._read_bytes:
            return (
                "the job ended and left no log: Scrapyd's own log there says why, or "
                "logs_dir is not set in its scrapyd.conf"
            )
        if out is not None and final.items_url is None and self._log.items:
            return "it keeps no feeds: set items_dir in its scrapyd.conf"
        return ""

    async def _end(self, failure: str) -> None:
        out = self._deployment.out
        if failure and out is not None and self._log_url is not None:
            try:
                await self._client.save(
                    self._log_url, out / f"{self._node.file_name}.log"
                )
            except (NodeError, OSError) as error:
                failure += f" (and its log could not be downloaded: {error})"
        self._become("failed" if failure else "finished", failure)

    def _become(self, state: str, reason: str = "") -> None:
        if state == "running" and self._began_s is None:
            self._began_s = time.monotonic()
        elapsed_s = self.progress.elapsed_s
        if self._began_s is not None:
            elapsed_s = round(time.monotonic() - self._began_s, 1)
        self.progress = replace(
            self.progress,
            state=state,
            pages=self._log.pages,
            items=self._log.items,
            elapsed_s=elapsed_s,
            reason=reason,
        )
        self._show(self.progress)
