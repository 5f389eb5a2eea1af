"""What is stored in Redis: its keys, and jobs of other releases."""

from __future__ import annotations

import re
from contextlib import closing
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import FrontierError
from concurcrawl.frontier.redis import admin, connection, keys, operations, protocol
from concurcrawl.frontier.redis.session import Member
from concurcrawl.limits.limiter import GroupLimits
from tests.contracts.frontier.clock import Clock
from tests.contracts.frontier.making import entry, taken
from tests.integration.frontier.redis.test_frontier import ToldByRedis

if TYPE_CHECKING:
    from tests.support.servers.redis import RedisServer

#: What 0.1.0 stored of a job with one request, of which a live node has the lease.
_FORMER = {
    "job": {
        **dict.fromkeys(("waiting", "kept", "items", "done", "stranded"), "0"),
        **dict.fromkeys(("lent", "requests", "leases", "turns"), "1"),
        **dict.fromkeys(("began_s", "last_s"), "1000"),
        "id": "id",
        "state": "live",
        "reason": "",
        "leader": "old",
        "spider": "spider",
    },
    "node:old": {"incarnation": "life", "seq": "3", "joined_s": "1000"},
    "lent:old": {"1": "c1:1:a.example"},
}


def _lua() -> dict[str, str]:
    folder = files(connection.__package__) / "lua"
    return {part.name: part.read_text("utf-8") for part in folder.iterdir()}


def _node(server: RedisServer, how: str = "auto") -> ToldByRedis:
    member = Member(node="node", spider="spider", how=how)
    return ToldByRedis(server, lambda _: GroupLimits(), Clock(), "format", member)


def _dump(server: RedisServer) -> dict[bytes, bytes]:
    return {key: server.client.dump(key) for key in server.client.scan_iter()}


def test_python_and_lua_know_the_same_keys() -> None:
    text = _lua()["keys.lua"]
    single = re.search(r"ipairs\(\{(.*?)\}\)", text, re.DOTALL)
    assert single is not None
    assert set(re.findall(r"'(\w+)'", single[1])) == keys.SINGLE
    assert set(re.findall(r"= keys_of\('(\w+)'\)", text)) == keys.MANY


def test_each_key_is_described_at_the_top() -> None:
    described = re.findall(
        r"^-- (\w+)(?::<\w+>)? +(?:hash|set|zset|list|stream) ",
        _lua()["keys.lua"],
        re.MULTILINE,
    )
    assert sorted(described) == sorted(keys.SINGLE | keys.MANY)


def test_keys_are_named_nowhere_else() -> None:
    parts = {name: text for name, text in _lua().items() if name != "keys.lua"}
    assert [name for name, text in parts.items() if re.search(r"\bbase\b", text)] == []
    used = set(re.findall(r"keys\.(\w+)", "".join(parts.values())))
    assert used == keys.SINGLE - keys.OF_CONTROL


def test_each_operation_is_in_the_script_once() -> None:
    text = "".join(_lua().values())
    there = re.findall(r"^function operations\.(\w+)\(", text, re.MULTILINE)
    said = [
        part.name
        for part in vars(operations).values()
        if isinstance(part, type)
        and issubclass(part, operations.Operation)
        and part is not operations.Operation
    ]
    assert sorted(there) == sorted(said)


def test_python_and_lua_have_the_same_format() -> None:
    assert f"local FORMAT = {protocol.FORMAT}\n" in _lua()["message.lua"]


@pytest.mark.parametrize("how", ["auto", "new", "resume"])
def test_a_job_of_an_earlier_release_is_refused_and_left_as_it_is(
    how: str, redis_frontiers: RedisServer
) -> None:
    target = connection.parse(redis_frontiers.url, "test", "format")
    for name, fields in _FORMER.items():
        redis_frontiers.client.hset(f"{target.keys.base}{name}", mapping=fields)
    redis_frontiers.client.zadd(f"{target.keys.base}nodes", {"old": 2000})
    before = _dump(redis_frontiers)
    with pytest.raises(FrontierError, match=r"another release .* \(format 1; this"):
        _node(redis_frontiers, how)
    assert _dump(redis_frontiers) == before
    seen = admin.snapshot(target)
    assert seen is not None
    assert (seen.spider, seen.leased) == ("spider", 1)
    assert [node.name for node in seen.nodes] == ["old"]
    assert admin.purge(target) == len(before)
    _node(redis_frontiers, how).close()


def test_a_job_of_an_earlier_format_is_refused(redis_frontiers: RedisServer) -> None:
    _node(redis_frontiers).close()
    target = connection.parse(redis_frontiers.url, "test", "format")
    redis_frontiers.client.hset(target.keys.one("job"), "format", 2)
    before = _dump(redis_frontiers)
    with pytest.raises(FrontierError, match=r"another release .* \(format 2; this"):
        _node(redis_frontiers)
    assert _dump(redis_frontiers) == before


def test_an_earlier_release_takes_a_job_for_that_of_another_spider(
    redis_frontiers: RedisServer,
) -> None:
    # 0.1.0 asks for no format. It joins a job only if "spider" is its own spider.
    with closing(_node(redis_frontiers)):
        target = connection.parse(redis_frontiers.url, "test", "format")
        stored = redis_frontiers.client.hget(target.keys.one("job"), "spider")
        assert stored == b"spider in format 3 of a newer concurcrawl"
        seen = admin.snapshot(target)
        assert seen is not None
        assert seen.spider == "spider"


def test_a_node_whose_job_was_begun_anew_by_an_earlier_release_stops(
    redis_frontiers: RedisServer,
) -> None:
    node = _node(redis_frontiers)
    with closing(node):
        node.push([entry("x")])
        lease = taken(node)
        job = connection.parse(redis_frontiers.url, "test", "format").keys.one("job")
        redis_frontiers.client.delete(job)
        redis_frontiers.client.hset(job, mapping=_FORMER["job"])
        before = _dump(redis_frontiers)
        with pytest.raises(FrontierError, match="no longer knows this crawl"):
            node.ack(lease.lease_id, [entry("y")])
        assert _dump(redis_frontiers) == before
