"""The test site as a child process."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
from contextlib import suppress
from threading import Thread
from typing import IO, TYPE_CHECKING, Self
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from concurcrawl.errors import SiteError
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT
from concurcrawl.tools.testsite.counts import (
    COUNTS_PATH,
    RESET_PATH,
    SiteCounts,
    from_json,
)
from concurcrawl.tools.testsite.log import LOG_PATH, LogEntry, from_json_lines
from concurcrawl.tools.testsite.site import LIST_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_ANSWER_S = 10.0
_STOP_S = 5.0


class SiteProcess:
    """Run the test site in a child process; use it as a context manager.

    The child has a session of its own: a Ctrl-C that stops a crawl must not take the
    site away before the crawl has ended. It exits when this process does, even after
    ``kill -9``, because it watches its standard input.

    Args:
        latency_s: Wait before the first byte of an answer.
        bandwidth: Most bytes per second of one answer; None for no cap.
        tls: Whether to use https, with a self-signed certificate.
        pages: How many countries the site has.
        seed: Which of the possible sites.
        hosts: Addresses to listen on, all on one port.
        port: Which; 0 for any that is free.
        robots: Text of ``/robots.txt``; None to allow everything.
        fault: Shares of the requests to answer badly, as ``--fault`` takes them, such
            as ``"429:0.1,cut:0.05"``.
        fault_times: How often a page misbehaves at most; crawl with ``RETRY_TIMES`` of
            as many to get every page.
        retry_after: What a 429 and a 503 ask for: whole seconds, ``"date"``,
            ``"date:SECONDS"`` or ``"none"``.
        log: Whether each request is written down, for :meth:`log`.
        start_timeout_s: How long it may take until it listens.
    """

    def __init__(  # noqa: PLR0913 - keywords only, an option each
        self,
        *,
        latency_s: float = 0.0,
        bandwidth: float | None = None,
        tls: bool = False,
        pages: int = COUNTRY_COUNT,
        seed: int = 0,
        hosts: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        robots: str | None = None,
        fault: str = "",
        fault_times: int = 2,
        retry_after: int | str = 1,
        log: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._options = [f"--latency={latency_s}", f"--pages={pages}", f"--seed={seed}"]
        if bandwidth is not None:
            self._options.append(f"--bandwidth={bandwidth}")
        self._options += [f"--host={host}" for host in hosts]
        self._options.append(f"--port={port}")
        self._options += [f"--fault={fault}", f"--fault-times={fault_times}"]
        self._options.append(f"--retry-after={retry_after}")
        if robots is not None:
            self._options.append(f"--robots={robots}")
        self._options += ["--tls"] * tls + ["--log"] * log
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        # No proxy of the environment's, and no trust needed: it is our own child.
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=unverified))

    @property
    def url(self) -> str:
        """Return its base URL, with a slash at the end."""
        if not self._url:
            raise SiteError("the test site has no address: it is not running")
        return self._url

    @property
    def list_url(self) -> str:
        """Return the URL of the list of countries."""
        return self.url + LIST_PATH[1:]

    @property
    def pid(self) -> int | None:
        """Return its process id, or None if it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start it; return when it answers.

        Raises:
            SiteError: If it does not come up.
        """
        module = "concurcrawl.tools.testsite.server"
        command = [sys.executable, "-m", module, "--until-stdin-closes", *self._options]
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                env=_environment(),
                start_new_session=True,
            )
            try:
                self._url = self._first_line(self._process, stderr)
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """End it and wait until it is gone; nothing happens if it is not running."""
        process, self._process, self._url = self._process, None, ""
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def counts(self) -> SiteCounts:
        """Return its counts.

        Raises:
            SiteError: If it does not answer.
        """
        return from_json(self._ask(COUNTS_PATH, "GET"))

    def log(self) -> list[LogEntry]:
        """Return the requests that it received, oldest first; it needs *log*.

        Raises:
            SiteError: If it does not answer, or keeps no log.
        """
        return from_json_lines(self._ask(LOG_PATH, "GET").decode())

    def reset(self) -> None:
        """Reset its counts, log and faults.

        Raises:
            SiteError: If it does not answer.
        """
        self._ask(RESET_PATH, "POST")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _first_line(self, process: subprocess.Popen[str], stderr: IO[str]) -> str:
        """Return the URL that *process* prints first.

        Raises:
            SiteError: If it ends before, or the deadline passes.
        """
        assert process.stdout is not None
        lines: list[str] = []
        out = process.stdout
        # A thread, because pipes cannot be waited for with a deadline everywhere.
        reader = Thread(target=lambda: lines.append(out.readline()), daemon=True)
        reader.start()
        reader.join(self._start_timeout_s)
        if reader.is_alive():
            process.kill()  # so that the thread gets its end of file
            reader.join()
            late = f"the test site did not start within {self._start_timeout_s:g} s"
            raise SiteError(late)
        if lines[0].startswith("http"):
            return lines[0].strip()
        with suppress(subprocess.TimeoutExpired):  # it closed its output: it is ending
            process.wait(_STOP_S)
        stderr.seek(0)
        reason = stderr.read().strip().rpartition("\n")[2] or "it gave no reason"
        raise SiteError(f"the test site ended with code {process.poll()}: {reason}")

    def _ask(self, path: str, method: str) -> bytes:
        request = Request(self.url + path[1:], method=method)  # noqa: S310 - our own
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as answer:
                body: bytes = answer.read()
        except OSError as error:
            raise SiteError(f"the test site does not answer: {error}") from error
        return body


def _environment() -> dict[str, str]:
    """Return the child's environment: it imports from where this process does.

    A project may be on ``sys.path`` only because Scrapyd added its egg.
    """
    paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109 - text is wanted
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
