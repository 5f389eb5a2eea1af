"""A Redis key with start URLs: a list, a set, a sorted set or a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.errors import FrontierError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.frontier.redis.connection import JobRef

#: Suffix of the list with refused entries.
REFUSED = ":refused"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry.

    Attributes:
        place: The value, or the id in a stream.
        data: The value; of a stream the fields.
    """

    place: bytes
    data: bytes | dict[str, Any]


class StartKey:
    """Reads entries and, later, removes them."""

    def __init__(self, target: JobRef, name: str) -> None:
        """Make one that connects when it is used first."""
        import redis.asyncio as redis_asyncio  # late: it is part of an extra

        self._client: Any = redis_asyncio.Redis.from_url(target.url, **target.options())
        self.name = name

    async def peek(self, count: int) -> list[Found]:
        """Return at most *count* entries, in the order of the key.

        Raises:
            FrontierError: If the key is of another type.
        """
        client, name = self._client, self.name
        match (await client.type(name)).decode():
            case "none":
                values = []
            case "list":
                values = await client.lrange(name, 0, count - 1)
            case "set":
                values = await client.srandmember(name, count)
            case "zset":
                values = await client.zrevrange(name, 0, count - 1)
            case "stream":
                return [
                    Found(number, {k.decode(): v.decode() for k, v in fields.items()})
                    for number, fields in await client.xrange(name, count=count)
                ]
            case other:
                raise FrontierError(
                    "start_key_failed",
                    f"the key {name} is a {other}, but start URLs are read from a "
                    "list, set, sorted set or stream",
                )
        return [Found(value, value) for value in values]

    async def remove(self, entries: Sequence[Found]) -> None:
        """Remove entries, each once."""
        if entries:
            pipe = self._client.pipeline(transaction=True)
            self._remove(pipe, (await self._client.type(self.name)).decode(), entries)
            await pipe.execute()

    async def set_aside(self, entries: Sequence[Found]) -> None:
        """Move entries into the list of those that were refused."""
        if entries:
            kind = (await self._client.type(self.name)).decode()
            pipe = self._client.pipeline(transaction=True)
            lines = [
                str(e.data) if isinstance(e.data, dict) else e.data for e in entries
            ]
            pipe.rpush(f"{self.name}{REFUSED}", *lines)
            self._remove(pipe, kind, entries)
            await pipe.execute()

    def _remove(self, pipe: Any, kind: str, entries: Sequence[Found]) -> None:
        places = [entry.place for entry in entries]
        match kind:
            case "list":
                for place in places:
                    pipe.lrem(self.name, 1, place)
            case "set":
                pipe.srem(self.name, *places)
            case "zset":
                pipe.zrem(self.name, *places)
            case "stream":
                pipe.xdel(self.name, *places)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()
