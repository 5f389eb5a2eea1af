"""The way to Redis: its address, one script, and patience while it is away."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from typing_extensions import override

from concurcrawl.errors import FrontierError
from concurcrawl.frontier.redis.keys import Keys
from concurcrawl.frontier.redis.script import SCRIPT, SHA
from concurcrawl.frontier.redis.session import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: In the environment: the password, so that it need not stand in a URL.
PASSWORD = "CONCURCRAWL_FRONTIER_PASSWORD"  # noqa: S105 - a name

SCHEMES = ("redis", "rediss", "unix")

#: The oldest Redis whose commands are all there.
_OLDEST = (6, 2)

#: How long one answer may take: a busy Redis is asked again, which it can tell.
_ANSWER_S = 10.0

#: How long a crawl that begins waits for a Redis that does not answer.
_FIRST_ANSWER_S = 5.0

#: How long to wait before trying again, at first and at last.
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job in a Redis.

    Attributes:
        url: Where it is, without a password.
        password: The password, or None. Not in ``repr``.
        prefix: What all keys begin with.
        job: The job's name.
        patience_s: How long to wait for a Redis that is away.
    """

    url: str
    password: _Secret | None
    prefix: str
    job: str
    patience_s: float = 300.0

    @property
    def keys(self) -> Keys:
        """The keys of this job."""
        return Keys(self.prefix, self.job)

    def options(self) -> dict[str, Any]:
        """Return how redis-py is to connect."""
        return {
            "password": None if self.password is None else self.password.reveal(),
            "socket_timeout": _ANSWER_S,
            "socket_connect_timeout": _FIRST_ANSWER_S,
        }


class _Secret:
    """A string that does not show itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return it."""
        return self._text

    def __repr__(self) -> str:
        return "***"


def parse(url: str, prefix: str, job: str, patience_s: float = 300.0) -> JobRef:
    """Part *url* and its password.

    Raises:
        FrontierError: If it is no address of a Redis. The password is not in it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad_url() from None
    path_is_right = parts.scheme == "unix" or parts.path.strip("/").isdigit()
    if (
        parts.scheme not in SCHEMES
        or not (parts.scheme == "unix" or parts.hostname)
        or not (path_is_right or parts.path in ("", "/"))
        or "password" in parts.query  # it would be shown
    ):
        raise _bad_url()
    password = os.environ.get(PASSWORD) or None
    if parts.password:
        password = unquote(parts.password)
    userinfo, _, host = parts.netloc.rpartition("@")
    user = userinfo.partition(":")[0]
    netloc = f"{user}@{host}" if user else host
    query = f"?{parts.query}" if parts.query else ""
    shown = f"{parts.scheme}://{netloc}{parts.path}{query}"
    secret = None if password is None else _Secret(password)
    return JobRef(shown, secret, prefix, job, patience_s)


def _bad_url() -> FrontierError:
    return FrontierError(
        "frontier_refused",
        "CONCURCRAWL_FRONTIER_URL: must be like redis://host:6379/0, "
        "rediss://user@host:6379/0 or unix:///path/to/redis.sock",
    )


@contextmanager
def connect(target: JobRef) -> Iterator[Any]:
    """Yield a client that waits for answers.

    Raises:
        FrontierError: If Redis does not answer, or refuses, also within the block.
    """
    library = _library()
    options = target.options() | {"socket_timeout": _FIRST_ANSWER_S}
    client = library.Redis.from_url(target.url, **options)
    try:
        yield client
    except library.RedisError as error:
        raise _translated(error, target) from None
    finally:
        client.close()


def check(target: JobRef) -> None:
    """See that a crawl could use *target*. Blocks for some seconds at most.

    Raises:
        FrontierError: If it could not, with one sentence.
    """
    with connect(target) as client:
        info = client.info("server")
    version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
    if version < _OLDEST:
        raise FrontierError(
            "frontier_refused",
            f"{target.url} is Redis {info['redis_version']}; 6.2 or newer is needed.",
        )


def _library() -> Any:
    try:
        import msgpack  # noqa: F401 - protocol.py needs it
        import redis
    except ImportError:
        raise FrontierError(
            "frontier_refused",
            "CONCURCRAWL_FRONTIER_URL needs redis-py and msgpack: "
            "pip install 'concurcrawl[redis]'",
        ) from None
    return redis


def client_errors() -> tuple[type[Exception], ...]:
    """Return what redis-py raises where Redis does not answer or refuses."""
    return _library().RedisError, OSError


def _translated(error: Exception, target: JobRef) -> FrontierError:
    """Return what a user reads of an error of redis-py."""
    redis = _library()
    if isinstance(
        error, redis.AuthenticationError | redis.exceptions.NoPermissionError
    ) or ("NOAUTH" in str(error)):
        return FrontierError(
            "frontier_refused",
            f"{target.url} refuses this user and password (or their lack): check the "
            f"URL, or {PASSWORD} in the environment.",
        )
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return FrontierError(
            "frontier_unreachable",
            f"no Redis answers at {target.url}: start it, or check the address.",
        )
    first = str(error).partition("\n")[0]
    return FrontierError("frontier_refused", f"{target.url} says: {first}")


class RedisConnection(Link):
    """Runs the script for one node.

    Invariant: one connection, so that what was sent first is done first.
    """

    def __init__(self, target: JobRef) -> None:
        """Make one that connects when it is used first."""
        redis = _library()
        import redis.asyncio as redis_asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._redis = redis
        self._target = target
        self._keys = target.keys
        self._client = redis_asyncio.Redis.from_url(
            target.url,
            **target.options(),
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),  # it would not say that it waits
        )
        self._run: Any = self._client.execute_command  # it has no types
        self._is_away = False
        self.exchanges = 0

    @override
    async def exchange(self, message: bytes) -> bytes:
        self.exchanges += 1
        reply: bytes = await self._patiently(self._run_script, message)
        return reply

    @override
    async def notes(self) -> dict[str, str]:
        found = await self._patiently(self._run, "HGETALL", self._keys.one("notes"))
        return {name.decode(): text.decode() for name, text in found.items()}

    async def knows(self, key: bytes) -> bool:
        """Return whether a request with this fingerprint was ever added."""
        seen = self._keys.one("seen")
        return bool(await self._patiently(self._run, "SISMEMBER", seen, key))

    @override
    async def times_taken(self, what: bytes) -> int:
        outputs = self._keys.one("outputs")
        return int(await self._patiently(self._run, "HGET", outputs, what) or 0)

    @override
    async def items(self, node: str) -> list[tuple[int, bytes]]:
        found = await self._patiently(
            self._run, "HGETALL", self._keys.of("items", node)
        )
        return sorted((int(number), payload) for number, payload in found.items())

    async def in_doubt(self) -> dict[str, str]:
        """Return who writes the batches that are in doubt, as JSON, by their ids."""
        found = await self._patiently(self._run, "HGETALL", self._keys.one("in_doubt"))
        return {name.decode(): about.decode() for name, about in found.items()}

    async def nodes(self) -> set[str]:
        """Return the names of the nodes that live."""
        found = await self._patiently(
            self._run, "ZRANGE", self._keys.one("nodes"), 0, -1
        )
        return {name.decode() for name in found}

    @override
    async def close(self) -> None:
        await self._client.aclose()

    async def _run_script(self, message: bytes) -> Any:
        run = self._run
        key = self._keys.one("job")
        try:
            return await run("EVALSHA", SHA, 1, key, message)
        except self._redis.exceptions.NoScriptError:
            return await run("EVAL", SCRIPT, 1, key, message)

    async def _patiently(self, do: Any, *args: Any) -> Any:
        """Do it, again and again until Redis answers.

        Raises:
            FrontierError: If it does not for too long, or says no.
        """
        since_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                found = await do(*args)
            except (self._redis.RedisError, OSError) as error:
                if not self._may_pass(error):
                    raise _translated(error, self._target) from None
                self._say_away(error)
                if time.monotonic() - since_s > self._target.patience_s:
                    raise self._lost_patience(error) from None
            else:
                self._say_back()
                return found
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    def _may_pass(self, error: Exception) -> bool:
        """Return whether an error means that Redis is away or busy for a while."""
        known = self._redis.exceptions
        if isinstance(error, known.AuthenticationError):
            return False
        passing = (known.ConnectionError, known.TimeoutError, known.OutOfMemoryError)
        return isinstance(error, (*passing, known.ReadOnlyError, OSError)) or str(
            error
        ).startswith(("BUSY", "MISCONF", "TRYAGAIN", "CLUSTERDOWN"))

    def _say_back(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.info("Redis is back at %s", self._target.url)

    def _say_away(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "Redis does not answer at %s (%s); waiting for it up to %g s",
                self._target.url,
                str(error).partition("\n")[0] or type(error).__name__,
                self._target.patience_s,
            )

    def _lost_patience(self, error: Exception) -> FrontierError:
        return FrontierError(
            "frontier_unreachable",
            f"Redis has not answered at {self._target.url} for "
            f"{self._target.patience_s:g} s ({type(error).__name__}). What this node "
            "held is done by others, or when the crawl is resumed; start it again "
            "when Redis is back.",
        )
