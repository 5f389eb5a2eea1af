"""How a job in Redis is steered: by desired state and by commands.

Desired state (a pause, limits) is one hash that every node polls, so that a node that
joins later applies it, too. What one node must do (add requests) is a command in a
list. The leader removes a command only when it is done, and stores an answer.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.errors import ControlError
from concurcrawl.frontier.redis.connection import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from concurcrawl.frontier.redis.connection import JobRef

#: Ends the job, if it is live; returns its state, or nothing if there is no such job.
#: ``job.lua`` reads all of it at each exchange, so that every node learns of it. Nodes
#: that resume the job are not to find a pause.
_STOP = """
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'live' then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'state', 'ended', 'reason', ARGV[1],
    'ended_s', string.format('%.17g', time[1] + time[2] / 1e6))
  redis.call('HDEL', KEYS[2], 'paused')
end
return state
"""

#: The part of the desired state that asks nodes for reports: when, in seconds.
WATCHED = "watched_s"

#: Seconds between two of those, and for which the last reports are kept.
_ASK_S = 5.0
_REPORTS_S = 30

#: Commands that are looked at together.
_COMMANDS = 100

#: How long a command waits for its answer, and how often it is looked for.
_ANSWER_S = 30.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Orders:
    """What a node reads in Redis.

    Attributes:
        wanted: The desired state of all nodes.
        commands: As they are in the list; empty for all nodes but the leader.
    """

    wanted: Mapping[str, str]
    commands: list[bytes]


class JobControl:
    """Steers a job from outside. Blocks."""

    def __init__(self, target: JobRef) -> None:
        self._target = target
        self._keys = target.keys
        self._asked_s = 0.0

    def reports(self) -> dict[str, dict[str, Any]]:
        """Ask nodes for reports; return the last one of each, by its name.

        A node that has not answered yet is not in it.
        """
        now_s = time.time()
        with connect(self._target) as client:
            if abs(now_s - self._asked_s) >= _ASK_S:
                client.hset(self._keys.one("control"), WATCHED, f"{now_s:.3f}")
                self._asked_s = now_s
            found = client.hgetall(self._keys.one("reports"))
        return {node.decode(): json.loads(text) for node, text in found.items()}

    def stop(self, reason: str) -> None:
        """End the job at all nodes.

        Raises:
            ControlError: If it is not live.
        """
        with connect(self._target) as client:
            keys = self._keys.one("job"), self._keys.one("control")
            state = client.eval(_STOP, 2, *keys, reason)
        self._require_live(state)

    def pause(self, *, is_on: bool) -> None:
        """Pause the job at all nodes, or let it go on.

        Raises:
            ControlError: If it is not live.
        """
        with connect(self._target) as client:
            self._require_live(client.hget(self._keys.one("job"), "state"))
            client.hset(self._keys.one("control"), "paused", str(int(is_on)))

    def command(self, op: str, **fields: Any) -> Any:
        """Run a command at the leader, and return its answer.

        Raises:
            ControlError: If it refuses, or no node takes the command: then nothing was
                done.
        """
        number = secrets.token_hex(8)
        line = json.dumps({"id": number, "op": op, **fields})
        keys = self._keys
        with connect(self._target) as client:
            self._require_live(client.hget(keys.one("job"), "state"))
            client.rpush(keys.one("commands"), line)
            answer = self._wait_for_answer(client, number, line)
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["done"]

    def _wait_for_answer(self, client: Any, number: str, line: str) -> dict[str, Any]:
        keys = self._keys
        deadline_s = time.monotonic() + _ANSWER_S
        while True:
            raw = client.hget(keys.one("answers"), number)
            if raw is not None:
                client.hdel(keys.one("answers"), number)
                answer: dict[str, Any] = json.loads(raw)
                return answer
            is_over = client.hget(keys.one("job"), "state") != b"live"
            if is_over or time.monotonic() > deadline_s:
                client.lrem(keys.one("commands"), 1, line)
                if client.hexists(keys.one("answers"), number):
                    continue
                raise ControlError(
                    f"the crawl {self._target.job} ended before it did this"
                    if is_over
                    else f"no node of {self._target.job} answered within {_ANSWER_S:g} "
                    "s; see concurcrawl status"
                )
            time.sleep(_LOOK_S)

    def _require_live(self, state: bytes | None) -> None:
        if state is None:
            raise ControlError(
                f"there is no crawl {self._target.job!r} in {self._target.url}"
            )
        if state != b"live":
            raise ControlError(
                f"the crawl {self._target.job!r} has ended; start a node to resume it"
            )


class NodeControl:
    """The node's side: reads desired state and commands, stores answers."""

    def __init__(self, target: JobRef) -> None:
        """Make one that connects when it is used first."""
        import redis.asyncio as redis_asyncio  # late: it is part of an extra

        self._keys = target.keys
        self._client = redis_asyncio.Redis.from_url(target.url, **target.options())

    async def orders(self, *, leads: bool) -> Orders:
        """Return the desired state and the commands.

        Args:
            leads: Whether this node runs commands.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(self._keys.one("control"))
        if leads:
            pipe.lrange(self._keys.one("commands"), 0, _COMMANDS - 1)
        wanted, *commands = await pipe.execute()
        return Orders(
            {name.decode(): value.decode() for name, value in wanted.items()},
            commands[0] if commands else [],
        )

    async def publish(self, wanted: Mapping[str, str]) -> None:
        """Set a part of the desired state."""
        await self._client.hset(self._keys.one("control"), mapping=dict(wanted))

    async def forget(self, name: str) -> None:
        """Remove a part of the desired state."""
        await self._client.hdel(self._keys.one("control"), name)

    async def report(self, node: str, text: str) -> None:
        """Store what *node* says of itself."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hset(self._keys.one("reports"), node, text)
        pipe.expire(self._keys.one("reports"), _REPORTS_S)
        await pipe.execute()

    async def answer(self, command: bytes, number: str, answer: object) -> None:
        """Remove a command that is done, and store its answer, in one step."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(self._keys.one("answers"), number, json.dumps(answer))
        pipe.lrem(self._keys.one("commands"), 1, command)
        await pipe.execute()

    async def discard(self, command: bytes) -> None:
        """Remove a command without an answer."""
        await self._client.lrem(self._keys.one("commands"), 1, command)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()
