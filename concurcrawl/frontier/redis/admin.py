"""What stands in Redis about a crawl, for people who look at it from outside.

Everything here blocks. Only :func:`purge`, :func:`drain` and :func:`delete`
change anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from concurcrawl.frontier.redis import protocol
from concurcrawl.frontier.redis.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from concurcrawl.frontier.redis.connection import JobRef
    from concurcrawl.frontier.redis.keys import Keys

#: Keys or entries that are asked for at a time.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node.

    Attributes:
        name: Its name.
        is_live: Whether it was heard of lately.
        is_leader: Whether it makes the start requests and decides the end.
        is_dead: Whether it was taken for dead, and has not come back.
        joined_s: When, in seconds since the epoch.
        left_s: When it left or was taken for dead; None while it lives.
        silent_s: Seconds since it was heard of; None if it is not live.
        done: Requests that it has completed.
        leased: Requests that it has.
        about: What it says of itself: host, pid, mode, workers.
    """

    name: str
    is_live: bool
    is_leader: bool
    is_dead: bool
    joined_s: float
    left_s: float | None
    silent_s: float | None
    done: int
    leased: int
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A group of hosts that has requests in flight or waiting, or is paused.

    Attributes:
        name: Its name.
        waiting: Requests that wait.
        in_flight: Requests at its site.
        delay_s: Seconds between two starts.
        paused_s: How much longer it is paused; 0 if it is not.
        limit: Requests at a time; 0 means no limit.
    """

    name: str
    waiting: int
    in_flight: int
    delay_s: float
    paused_s: float
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A crawl at one moment.

    Attributes:
        job: Its name.
        spider: Its spider.
        state: ``live`` or ``ended``.
        reason: Why it ended, or empty.
        at_s: The moment, in seconds since the epoch, as Redis counts.
        began_s: When it began.
        ended_s: When it ended, or None.
        waiting: Requests that wait.
        leased: Requests that nodes have.
        done: Requests that are complete.
        undelivered: Items that are in no feed yet.
        in_doubt: Items that were being written to a file when their node died.
        streamed: Items in the stream.
        nodes: All that ever joined, live ones first.
        groups: Those with something to tell, paused ones first.
        failures: Dead-lettered requests: when, how many nodes died, group, request.
        stats: One dict for all nodes, each key merged as it was written.
        is_paused: Whether it was paused from outside.
    """

    job: str
    spider: str
    state: str
    reason: str
    at_s: float
    began_s: float
    ended_s: float | None
    waiting: int
    leased: int
    done: int
    undelivered: int
    in_doubt: int
    streamed: int
    nodes: tuple[NodeStatus, ...]
    groups: tuple[GroupStatus, ...]
    failures: tuple[Mapping[str, Any], ...]
    stats: Mapping[str, Any]
    is_paused: bool = False


def jobs(target: JobRef) -> list[str]:
    """Return the names of all jobs below the prefix of *target*."""
    start = "{" + target.prefix + ":"
    with connect(target) as client:
        keys = client.scan_iter(match=f"{start}*}}:job", count=_PAGE)
        return sorted(key.decode()[len(start) : -len("}:job")] for key in keys)


def snapshot(target: JobRef, most_groups: int | None = None) -> Snapshot | None:
    """Return how the job of *target* is; None if there is none.

    Args:
        target: The job.
        most_groups: How many groups to return, of the first 500; None means all.
    """
    keys = target.keys
    with connect(target) as client:
        job = _text(client.hgetall(keys.one("job")))
        if not job:
            return None
        seconds, micros = client.time()
        now_s = seconds + micros / 1e6
        return Snapshot(
            job=target.job,
            spider=job.get("crawled_by", job.get("spider", "")),
            state=job["state"],
            reason=job["reason"],
            at_s=now_s,
            began_s=float(job["began_s"]),
            ended_s=_time(job.get("ended_s")) if job["state"] == "ended" else None,
            waiting=int(float(job["waiting"])),
            leased=_count(job, "leased", "lent"),
            done=int(float(job["done"])),
            undelivered=int(float(job["kept"])),
            in_doubt=_count(job, "in_doubt", "stranded"),
            streamed=client.xlen(keys.one("stream")),
            nodes=_nodes(client, keys, job["leader"], now_s),
            groups=_groups(client, keys, now_s, most_groups),
            failures=tuple(
                _failure(one) for one in client.lrange(keys.one("dead_letters"), 0, -1)
            ),
            stats=_stats(_text(client.hgetall(keys.one("stats")))),
            is_paused=client.hget(keys.one("control"), "paused") == b"1",
        )


def read(target: JobRef, after: str = "-") -> Iterator[tuple[str, bytes]]:
    """Yield number and JSON of each item of the stream, the oldest first.

    Args:
        target: The job.
        after: The number of the last item to pass over; ``-`` passes over none.
    """
    key = target.keys.one("stream")
    with connect(target) as client:
        first = after if after == "-" else f"({after}"
        while page := client.xrange(key, min=first, count=_PAGE):
            for number, fields in page:
                yield number.decode(), fields[b"item"]
            first = f"({page[-1][0].decode()}"


def delete(target: JobRef, last: str) -> None:
    """Delete the items of the stream up to the one with the number *last*."""
    time_ms, _, count = last.partition("-")
    with connect(target) as client:
        client.xtrim(
            target.keys.one("stream"),
            minid=f"{time_ms}-{int(count) + 1}",
            approximate=False,
        )


def drain(target: JobRef, *, keep: bool = False) -> Iterator[bytes]:
    """Yield the items of the stream, each as one line of JSON without its end.

    Args:
        target: The job.
        keep: Leave them in Redis. Else each is deleted when the next is asked for.
    """
    key = target.keys.one("stream")
    with connect(target) as client:
        for number, item in read(target):
            yield item
            if not keep:
                client.xdel(key, number)


def purge(target: JobRef) -> int:
    """Delete the job of *target*, and nothing else; return how many keys it had."""
    pattern = _literally(target.keys.base) + "*"
    deleted = 0
    with connect(target) as client:
        for key in client.scan_iter(match=pattern, count=_PAGE):
            deleted += client.unlink(key)
    return deleted


def _literally(text: str) -> str:
    """Return a pattern that only *text* itself matches."""
    return "".join("\\" + c if c in "*?[]^\\-" else c for c in text)


def _nodes(
    client: Any, keys: Keys, leader: str, now_s: float
) -> tuple[NodeStatus, ...]:
    live = dict(client.zrange(keys.one("nodes"), 0, -1, withscores=True))
    found = []
    for raw in client.smembers(keys.one("members")) | live.keys():
        name = raw.decode()
        fields = _text(client.hgetall(keys.of("node", name)), but=b"reply")
        heard_s = _time(fields.get("heard_s"))
        found.append(
            NodeStatus(
                name=name,
                is_live=raw in live,
                is_leader=raw in live and name == leader,
                is_dead=fields.get("is_dead") == "1",
                joined_s=float(fields.get("joined_s", 0)),
                left_s=_time(fields.get("left_s")),
                silent_s=None
                if heard_s is None or raw not in live
                else now_s - heard_s,
                done=int(fields.get("done", 0)),
                leased=client.hlen(keys.of("leases", name)),
                about=json.loads(fields.get("about", "{}")),
            )
        )
    return tuple(sorted(found, key=lambda node: (not node.is_live, node.name)))


def _groups(
    client: Any, keys: Keys, now_s: float, most: int | None
) -> tuple[GroupStatus, ...]:
    read = "least_delay", "start_delay", "limit"
    defaults = client.hmget(keys.one("default_limits"), *read)
    *delays_s, limit = (float(value or 0) for value in defaults)
    looked_at = None if most is None else _PAGE
    found = client.hscan_iter(keys.one("limiters"), count=_PAGE)
    limiters = dict(islice(found, looked_at))
    waiting = client.hscan_iter(keys.one("waiting_groups"), count=_PAGE)
    raws = iter(limiters.keys() | {raw for raw, _ in islice(waiting, looked_at)})
    groups: list[GroupStatus] = []
    while page := [*islice(raws, _PAGE)]:
        with client.pipeline(transaction=False) as pipeline:
            for raw in page:
                pipeline.zcard(keys.of("waiting", raw.decode()))
            counts = pipeline.execute()
        for raw, count in zip(page, counts, strict=True):
            packed = limiters.get(raw)
            limiter = protocol.read_limiter(packed, max(delays_s), int(limit))
            group = GroupStatus(
                name=raw.decode(),
                waiting=count,
                in_flight=limiter.in_flight,
                delay_s=limiter.delay_s,
                paused_s=max(0.0, limiter.paused_until_s - now_s),
                limit=limiter.limit,
            )
            if group.waiting or group.in_flight or group.paused_s:
                groups.append(group)
    groups.sort(key=lambda g: (-g.paused_s, -g.waiting, g.name))
    return tuple(groups[:most])


def _count(job: Mapping[str, str], name: str, former: str) -> int:
    """Return a count of *job*; by its *former* name if the job is of 0.1.0.

    Such a job cannot be crawled any more, but is to be seen before it is purged.
    """
    return int(float(job.get(name, job.get(former, 0))))


def _failure(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


def _stats(written: Mapping[str, str]) -> dict[str, Any]:
    stats: dict[str, Any] = {}
    for place, text in sorted(written.items()):
        how, _, name = place.partition(":")
        stats[name] = text if how == "set" else _number(text)
    return stats


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _text(fields: Mapping[bytes, bytes], but: bytes = b"") -> dict[str, str]:
    return {
        name.decode(): value.decode() for name, value in fields.items() if name != but
    }


def _time(text: str | None) -> float | None:
    return float(text) if text else None
