"""What stands in a Redis for a crawl: start URLs, and what people want of a job."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import ControlError, FrontierError
from concurcrawl.frontier.redis.connection import parse
from concurcrawl.frontier.redis.control import JobControl, NodeControl
from concurcrawl.frontier.redis.start_key import StartKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers.redis import RedisServer

JOB = "{concurcrawl:shop}:"


def _fill_stream(client: Any) -> None:
    for number in range(3):
        client.xadd("key", {"url": f"http://a/{number}"})


@pytest.mark.parametrize(
    ("fill", "first"),
    [
        (lambda r: r.rpush("key", "http://a/0", "http://a/1", "http://a/0"), "0"),
        (lambda r: r.sadd("key", "http://a/0", "http://a/1", "http://a/2"), ""),
        (lambda r: r.zadd("key", {f"http://a/{n}": -n for n in range(3)}), "0"),
        (_fill_stream, "0"),
    ],
    ids=["list", "set", "sorted set", "stream"],
)
def test_an_entry_stays_until_it_is_removed(
    fill: Callable[[Any], None], first: str, redis_frontiers: RedisServer
) -> None:
    server = redis_frontiers
    fill(server.client)

    async def read() -> None:
        key = StartKey(parse(server.url, "", ""), "key")
        found = await key.peek(2)
        again = await key.peek(3)
        assert (len(found), len(again)) == (2, 3)
        assert first in str(found[0].data)
        await key.remove(found[:1])
        left = await key.peek(3)
        assert len(left) == 2
        await key.set_aside(left)
        assert await key.peek(3) == []
        await key.close()

    asyncio.run(read())
    assert server.client.llen("key:refused") == 2


def test_a_key_of_another_type_is_named(redis_frontiers: RedisServer) -> None:
    redis_frontiers.client.set("key", "http://a/")

    async def read() -> None:
        key = StartKey(parse(redis_frontiers.url, "", ""), "key")
        try:
            with pytest.raises(FrontierError, match="the key key is a string"):
                await key.peek(1)
        finally:
            await key.close()

    asyncio.run(read())


def test_a_command_is_answered_once_and_nothing_of_it_is_left(
    redis_frontiers: RedisServer,
) -> None:
    server, target = redis_frontiers, parse(redis_frontiers.url, "concurcrawl", "shop")
    server.client.hset(f"{JOB}job", "state", "live")

    async def obey() -> Any:
        node = NodeControl(target)
        try:
            told = asyncio.ensure_future(
                asyncio.to_thread(JobControl(target).command, "add", urls=["a"])
            )
            while not (found := await node.orders(leads=True)).commands:  # noqa: ASYNC110 - in Redis
                await asyncio.sleep(0.01)
            assert (await node.orders(leads=False)).commands == []
            fields = json.loads(found.commands[0])
            assert (fields["op"], fields["urls"]) == ("add", ["a"])
            await node.answer(found.commands[0], fields["id"], {"done": 7})
            return await told
        finally:
            await node.close()

    assert asyncio.run(obey()) == 7
    assert server.client.exists(f"{JOB}commands", f"{JOB}answers") == 0


def test_a_stop_ends_a_live_job_and_forgets_its_pause(
    redis_frontiers: RedisServer,
) -> None:
    client = redis_frontiers.client
    control = JobControl(parse(redis_frontiers.url, "concurcrawl", "shop"))
    with pytest.raises(ControlError, match="there is no crawl 'shop'"):
        control.stop("stopped")
    client.hset(f"{JOB}job", "state", "live")
    control.pause(is_on=True)
    assert client.hget(f"{JOB}control", "paused") == b"1"
    control.stop("stopped")
    assert client.hmget(f"{JOB}job", "state", "reason") == [b"ended", b"stopped"]
    assert client.exists(f"{JOB}control") == 0
    for steer in (
        lambda: control.stop("stopped"),
        lambda: control.pause(is_on=True),
        lambda: control.command("retry"),
    ):
        with pytest.raises(ControlError, match="has ended"):
            steer()
    assert client.exists(f"{JOB}commands") == 0
