"""The frontier in Redis: the contract, against a real redis-server."""

from __future__ import annotations

import asyncio
import math
from contextlib import ExitStack, closing
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from concurcrawl.errors import ConcurcrawlError, FrontierError, LeaseLostError
from concurcrawl.frontier.redis import admin, connection
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.redis.session import Member
from concurcrawl.limits.limiter import FetchResult, GroupLimits
from tests.contracts.frontier.clock import Clock
from tests.contracts.frontier.contract import FrontierContract
from tests.contracts.frontier.machine import FrontierMachine
from tests.contracts.frontier.making import (
    UNKNOWN_LEASE_ID,
    drained,
    entry,
    taken,
)
from tests.contracts.frontier.told import Told
from tests.support.crawls import DEADLINE_S
from tests.support.scale import over_redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TypeVar

    from tests.support.servers.redis import RedisServer

    T = TypeVar("T")

_jobs = count()


class ToldByRedis(Told):
    """A frontier in Redis that makes an exchange whenever it is asked something."""

    frontier: RedisFrontier

    def __init__(
        self,
        server: RedisServer,
        limits_of: Callable[[str], GroupLimits],
        clock: Clock | None,
        job: str | None = None,
        member: Member | None = None,
        *,
        total: int = 0,
        newest_first: bool = True,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        target = connection.parse(
            server.url, "test", job or f"job {next(_jobs)}", DEADLINE_S
        )
        self.want = 0

        async def make() -> RedisFrontier:
            link = connection.RedisConnection(target)
            frontier = RedisFrontier(
                link,
                member or Member(node="node", spider="spider"),
                limits_of,
                total=total,
                newest_first=newest_first,
                clock=clock,
            )
            try:
                await frontier.join()
            except FrontierError:
                await link.close()
                raise
            return frontier

        try:
            super().__init__(self.loop.run_until_complete(make()))
        except BaseException:
            self.loop.close()
            raise
        self.frontier.free_capacity = lambda: self.want

    def wait(self, answer: Awaitable[T]) -> T:
        async def both() -> T:
            if asyncio.isfuture(answer):
                while not answer.done():
                    await self.frontier.exchange()
            return await answer

        return self.loop.run_until_complete(both())

    def catch_up(self, want: int = 0) -> None:
        self.want = want
        self.loop.run_until_complete(self.frontier.exchange())
        self.want = 0

    def admit(self, group: str, lease_id: int | None) -> float:
        answer = self.frontier.admit(group, lease_id)
        if math.isfinite(answer):
            return answer
        found: list[float | ConcurcrawlError] = []

        def ask_again() -> None:
            try:
                found.append(self.frontier.admit(group, lease_id))
            except ConcurcrawlError as error:
                found.append(error)

        self.frontier.on_change = ask_again
        self.catch_up()
        self.frontier.on_change = lambda: None
        self.frontier.ask_no_longer(group, lease_id)
        if isinstance(found[-1], ConcurcrawlError):
            raise found[-1]
        return found[-1]

    def close(self) -> None:
        if self.loop.is_closed():
            return
        try:
            self.loop.run_until_complete(self.frontier.quit())
        finally:
            self.loop.close()


class TestRedisFrontier(FrontierContract):
    storage_error = FrontierError

    @pytest.fixture(autouse=True)
    def _server(self, redis_frontiers: RedisServer) -> Iterator[None]:
        self.server = redis_frontiers
        with ExitStack() as self.made:
            yield

    def make(
        self,
        limits: GroupLimits | None,
        clock: Clock,
        *,
        total: int = 0,
        newest_first: bool = True,
    ) -> Told:
        frontier = ToldByRedis(
            self.server,
            lambda _: limits or GroupLimits(),
            clock,
            total=total,
            newest_first=newest_first,
        )
        return self.made.enter_context(closing(frontier))


def test_requests_in_random_orders(redis_frontiers: RedisServer) -> None:
    """As for SQLite, with a server for all orders."""

    with ExitStack() as made:  # one is made that is never driven

        class RedisMachine(FrontierMachine):
            def make(
                self, limits_of: Callable[[str], GroupLimits], clock: Clock
            ) -> Told:
                frontier = ToldByRedis(redis_frontiers, limits_of, clock)
                return made.enter_context(closing(frontier))

        run_state_machine_as_test(
            RedisMachine,
            settings=settings(
                max_examples=15,
                stateful_step_count=25,
                deadline=None,
                phases=(Phase.generate,),
            ),
        )


def test_a_busy_node_asks_far_less_than_once_a_request(
    redis_frontiers: RedisServer,
) -> None:
    found = asyncio.run(over_redis(redis_frontiers, 1000, groups=100, workers=64))
    assert found.round_trips < 0.2


def one_of_many(
    server: RedisServer, name: str, clock: Clock, lease_s: float = 60
) -> ToldByRedis:
    """Return a node of the only job there is."""
    member = Member(node=name, spider="spider", lease_s=lease_s)
    return ToldByRedis(server, lambda _: GroupLimits(), clock, "job", member)


def outlive(clock: Clock, node: ToldByRedis) -> None:
    """Let leases of a minute end, except those of *node*, which is heard of."""
    for _ in range(3):
        clock.now_s += 25
        node.catch_up()


def test_a_node_that_was_taken_for_dead_says_again_what_needs_no_lease(
    redis_frontiers: RedisServer,
) -> None:
    clock = Clock()
    with (
        closing(one_of_many(redis_frontiers, "other", clock)) as other,
        closing(one_of_many(redis_frontiers, "slow", clock)) as slow,
    ):
        losses: list[str] = []
        slow.frontier.on_lost = lambda: losses.append("all")
        slow.push([entry("x")])
        lease = taken(slow)
        outlive(clock, other)
        done = slow.frontier.ack(lease.lease_id, [entry("y")], [b"item"])
        added = slow.frontier.push([entry("z")])
        assert slow.frontier.admit("a.example", None) == math.inf
        assert slow.wait(added) == [True]
        with pytest.raises(LeaseLostError):
            slow.wait(done)
        assert losses == ["all"]
        assert slow.items() == []
        assert slow.admit("a.example", None) == 0
        assert drained(other) == ["z", "x"]


def test_limits_that_a_node_changes_count_for_all_nodes(
    redis_frontiers: RedisServer,
) -> None:
    clock = Clock()
    group = "a.example"
    with (
        closing(one_of_many(redis_frontiers, "first", clock)) as first,
        closing(one_of_many(redis_frontiers, "other", clock)) as other,
    ):
        throttled: list[str] = []
        other.frontier.on_throttled = throttled.extend
        first.change_limits(group, GroupLimits(delay_s=10))
        other.catch_up()
        assert throttled == [group]
        assert other.admit(group, None) == 0  # it says the limits of its settings
        other.sent(group, None, 0)
        with closing(one_of_many(redis_frontiers, "later", clock)) as later:
            assert later.admit(group, None) == 10


@pytest.mark.parametrize("was_written", [True, False])
def test_what_a_dead_node_was_writing_is_left_to_its_next_life(
    was_written: bool, redis_frontiers: RedisServer
) -> None:
    clock = Clock()

    def node(name: str) -> ToldByRedis:
        return one_of_many(redis_frontiers, name, clock)

    def counts(told: ToldByRedis) -> tuple[int, int]:
        told.catch_up()
        return told.frontier.kept, told.frontier.in_doubt

    with closing(node("other")) as other:
        with closing(node("writer")) as writer:
            numbers = writer.keep([b"one", b"two", b"three"], {})
            about = '{"node": "writer"}'
            writer.wait(writer.frontier.prepare("batch", about, numbers[:2]))
            assert counts(other) == (3, 0)
            outlive(clock, other)
            assert counts(other) == (1, 2)
        with closing(node("writer")) as again:
            settled = again.frontier.commit("batch", {}, was_written=was_written)
            again.wait(settled)
            assert counts(other) == (1 if was_written else 3, 0)


class Passing(Clock):
    """Time that passes whenever somebody looks."""

    def __call__(self) -> float:
        self.now_s += 0.1
        return self.now_s


def test_a_node_whose_name_is_taken_still_takes_back_what_dead_ones_held(
    redis_frontiers: RedisServer,
) -> None:
    clock = Clock()

    def node(name: str, clock: Clock) -> ToldByRedis:
        return one_of_many(redis_frontiers, name, clock, lease_s=0.4)

    with closing(node("leader", clock)) as leader, ExitStack() as others:
        leader.push([entry("x")])
        taken(leader)
        clock.now_s += 0.15
        others.enter_context(closing(node("follower", clock)))
        later = Passing()  # first the leader is dead, then the follower too
        later.now_s = clock.now_s + 0.05
        again = others.enter_context(closing(node("follower", later)))
        assert (again.waiting(), again.leased()) == (1, 0)
        assert again.frontier.is_leader


@pytest.mark.parametrize("url", ["http://localhost", "redis://me:hunter2@host:1/x"])
def test_what_is_no_redis_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(FrontierError, match="must be like redis://") as caught:
        connection.parse(url, "test", "job")
    assert "hunter2" not in str(caught.value)


def test_stats_of_all_nodes_are_merged(redis_frontiers: RedisServer) -> None:
    clock = Clock()
    with (
        closing(one_of_many(redis_frontiers, "first", clock)) as first,
        closing(one_of_many(redis_frontiers, "other", clock)) as other,
    ):
        for node, number in ((first, 1.5), (other, True)):
            for how in ("inc", "max", "min"):
                node.frontier.note_stat(how, how, number)
            node.frontier.note_stat("set", "set", node.frontier.node)
            node.catch_up()
        sums: list[list[float]] = []
        other.frontier.counts(["inc", "none"], sums.append)
        other.catch_up()
        target = connection.parse(redis_frontiers.url, "test", "job")
        found = admin.snapshot(target)
    assert sums == [[2.5, 0]]
    assert found is not None
    assert found.stats == {"inc": 2.5, "max": 1.5, "min": 1, "set": "other"}


def _commands(server: RedisServer, groups: int) -> int:
    """Return how many commands ten requests take, with so many groups waiting."""

    def so_far() -> int:
        stats = server.client.info("commandstats")
        return sum(command["calls"] for command in stats.values())

    clock = Clock()
    with closing(ToldByRedis(server, lambda _: GroupLimits(), clock)) as frontier:
        frontier.push([entry("x", group=f"{n}.example") for n in range(groups)])
        for number in range(0, groups, 100):  # 1 % of them are paused
            refused = FetchResult(status=429, retry_after_s=9)
            frontier.leave(f"{number}.example", UNKNOWN_LEASE_ID, refused)
        before = so_far()
        for _ in range(10):
            assert frontier.has_ready()
            frontier.ack(taken(frontier).lease_id)
        return so_far() - before


def test_no_exchange_looks_at_all_groups(redis_frontiers: RedisServer) -> None:
    few, many = (_commands(redis_frontiers, groups) for groups in (20, 1_000))
    assert many <= 1.5 * few


def test_what_is_idle_is_kept_nowhere_in_redis(redis_frontiers: RedisServer) -> None:
    clock = Clock()
    limits = GroupLimits(in_flight=1)
    member = Member(node="node", spider="spider", limits=limits)
    known = []
    frontier = ToldByRedis(redis_frontiers, lambda _: limits, clock, "idle", member)
    with closing(frontier):
        keys = connection.parse(redis_frontiers.url, "test", "idle").keys
        for number in range(20):
            group = f"{number}.example"
            frontier.push([entry("x", group=group)])
            lease = taken(frontier)
            assert frontier.admit(group, lease.lease_id) == 0
            frontier.ack(lease.lease_id)
            clock.now_s += 20
            frontier.catch_up()
            known.append(redis_frontiers.client.hlen(keys.one("limiters")))
        assert max(known) == 2  # those of the last minute
        names = [keys.one(name) for name in ("waiting_groups", "ready", "paused")]
        names.append(keys.of("waiting", "0.example"))
        assert redis_frontiers.client.exists(*names) == 0
        assert frontier.frontier._known_groups == set()
