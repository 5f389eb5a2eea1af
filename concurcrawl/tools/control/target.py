"""Which crawl a command is about, and how it is reached.

A target is a folder or the file in it that names a control door, the address of a door,
or a Redis with ``--job``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from typing_extensions import override

from concurcrawl.control import address
from concurcrawl.errors import ControlError
from concurcrawl.frontier.redis import connection
from concurcrawl.frontier.redis.control import JobControl
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.control.ended_crawl import is_alive
from concurcrawl.tools.redis import place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from concurcrawl.frontier.redis.connection import JobRef

#: Seconds that an answer may take: many requests are added in some of them.
_ANSWER_S = 60.0


class Target(Protocol):
    """A crawl that runs, as a command sees it. Each call raises ``ControlError``."""

    def require(self) -> None:
        """See that there is a crawl."""

    def add(self, urls: Sequence[str]) -> dict[str, Any]:
        """Add start requests; return ``taken``, ``duplicates`` and ``refused``."""

    def stop(self) -> None:
        """End the crawl."""

    def pause(self, *, is_on: bool) -> None:
        """Pause the crawl, or let it go on."""

    def change_limits(self, group: str, **limits: float | None) -> dict[str, Any]:
        """Change the limits of a group; return those in effect."""

    def retry(self) -> int:
        """Put dead-lettered requests back; return how many."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a crawl."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="a JOBDIR, the folder that the log names, http://host:port, or redis://…",
    )
    parser.add_argument(
        "--job", metavar="NAME", help="with redis://: the job (default: the only one)"
    )
    parser.add_argument(
        "--prefix",
        metavar="WORD",
        default=place.PREFIX,
        help="with redis://: what all keys begin with",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"with http://: a file with the token (default: {address.TOKEN} in the "
        "environment)",
    )


def done(command: str, args: argparse.Namespace, work: Callable[[Target], None]) -> int:
    """Do *work* with the crawl that *args* name; return the exit code."""

    def run() -> int:
        work(target_of(args))
        return 0

    return ended(command, run)


def target_of(args: argparse.Namespace) -> Target:
    """Return the crawl that *args* name.

    Raises:
        ControlError: If there is none.
        FrontierError: If a Redis cannot be used.
        ConfigError: If there is no such job in it.
    """
    name = str(args.target)
    if urlsplit(name).scheme in connection.SCHEMES:
        parsed = connection.parse(name, args.prefix, args.job or "")
        return Job(place.only_job(parsed))
    if args.job:
        raise ControlError(f"--job goes with a redis:// address, not with {name}")
    if name.startswith(("http://", "https://")):
        return Door(name, _token(args.token_file))
    return door_in(Path(name), args.token_file)


def door_in(path: Path, token_file: str | None = None) -> Door:
    """Return the door that the folder, file or socket *path* leads to.

    Raises:
        ControlError: If there is none.
    """
    if path.is_socket():
        return Door(f"unix:{path}", "", path.parent)
    file = path / address.FILE if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        where, token = str(found["address"]), str(found.get("token", ""))
    except FileNotFoundError:
        why = "no crawl with a door runs"
        if not path.exists():
            why = "it does not exist (without a JOBDIR it goes when the crawl ends)"
        raise ControlError(
            f"{path}: {why}; start the crawl with CONCURCRAWL_CONTROL=1"
        ) from None
    except (ValueError, TypeError, KeyError):
        raise ControlError(
            f"{file} does not say where a control door is (a file of records is for "
            "the command report)"
        ) from None
    pid = found.get("pid")
    return Door(where, token or _token(token_file), file.parent, pid)


def _token(file: str | None) -> str:
    if file is None:
        return os.environ.get(address.TOKEN, "")
    text = Path(file).read_text(encoding="utf-8").strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("token", ""))
        except ValueError:
            raise ControlError(f"{file} has no token") from None
    return text


class Job(Target):
    """A job in a Redis.

    Attributes:
        ref: Which one.
    """

    def __init__(self, ref: JobRef) -> None:
        self.ref = ref
        self._control = JobControl(ref)

    @override
    def require(self) -> None:
        """Do nothing: the job was found."""

    @override
    def add(self, urls: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = self._control.command("add", urls=list(urls))
        return found

    @override
    def stop(self) -> None:
        self._control.stop("stopped")

    @override
    def pause(self, *, is_on: bool) -> None:
        self._control.pause(is_on=is_on)

    @override
    def change_limits(self, group: str, **limits: float | None) -> dict[str, Any]:
        found: dict[str, Any] = self._control.command("limits", group=group, **limits)
        return found

    @override
    def retry(self) -> int:
        return int(self._control.command("retry"))


class Door(Target):
    """A control door.

    Attributes:
        where: ``unix:<path>`` or a URL.
        headers: Of every request.
        folder: The folder of its crawl on this machine; None if it is not known.
    """

    def __init__(
        self,
        where: str,
        token: str,
        folder: Path | None = None,
        pid: int | None = None,
    ) -> None:
        """Make one.

        Args:
            where: ``unix:<path>`` or a URL.
            token: Empty for none.
            folder: The folder of its crawl on this machine, if it is known.
            pid: The process of that crawl, if it is known.
        """
        self.folder = folder
        self._pid = pid
        if not (token.isascii() and (not token or token.isprintable())):
            raise ControlError("the token has characters that no header can have")
        self.where = where
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    @override
    def require(self) -> None:
        self._ask("GET", "/v1/status")

    @override
    def add(self, urls: Sequence[str]) -> dict[str, Any]:
        return self._ask("POST", "/v1/requests", urls=list(urls))

    @override
    def stop(self) -> None:
        self._ask("POST", "/v1/stop")

    @override
    def pause(self, *, is_on: bool) -> None:
        self._ask("POST", "/v1/pause" if is_on else "/v1/resume")

    @override
    def change_limits(self, group: str, **limits: float | None) -> dict[str, Any]:
        return self._ask("PATCH", f"/v1/groups/{quote(group, safe='')}", **limits)

    @override
    def retry(self) -> int:
        return int(self._ask("POST", "/v1/retry")["retried"])

    def _ask(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        body = json.dumps(fields) if fields else None
        headers = self.headers | ({"Content-Type": "application/json"} if body else {})
        try:
            with contextlib.closing(self._connection()) as connection:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                code, raw = response.status, response.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ControlError(self._why_silent(error)) from None
        return self._answer(code, raw)

    def _why_silent(self, error: Exception) -> str:
        if not is_alive(self._pid):
            return (
                f"the crawl of {self.folder} was killed: its process {self._pid} is "
                "gone; the command that started it resumes it"
            )
        return f"no crawl answers at {self.where} ({_reason(error)})"

    def _answer(self, code: int, raw: bytes) -> dict[str, Any]:
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ControlError(f"what answers at {self.where} is no control door")
        if code != 200:
            raise ControlError(str(found.get("error", f"the door answered {code}")))
        return found

    def _connection(self) -> http.client.HTTPConnection:
        if self.where.startswith("unix:"):
            return _UnixConnection(self.where.removeprefix("unix:"))
        parts = urlsplit(self.where)
        kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
        if parts.scheme == "https":  # a proxy in front of the door
            kind = http.client.HTTPSConnection
        return kind(parts.hostname or "", parts.port, timeout=_ANSWER_S)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(self._path)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or repr(error))
