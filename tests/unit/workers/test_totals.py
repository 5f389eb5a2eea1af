"""Totals of the crawl in a worker, with a supervisor that is a stats collector."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from scrapy.settings import Settings

from concurcrawl import stats
from concurcrawl.compat.stats_collector import MergingStatsCollector
from concurcrawl.workers.protocol.messages.state import SetStats
from concurcrawl.workers.supervisor.totals import TotalsSender
from concurcrawl.workers.supervisor.worker_handle import AppliedResults
from concurcrawl.workers.worker.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.workers.protocol.messages.state import ReadStats


def collector() -> MergingStatsCollector:
    crawler: Any = SimpleNamespace(settings=Settings())
    return MergingStatsCollector(crawler)


class Supervisor:
    def __init__(self) -> None:
        self.stats = collector()
        crawler: Any = SimpleNamespace(stats=self.stats)
        self.sender = TotalsSender(crawler)
        # No event loop is there.
        self.sender._loop = SimpleNamespace(running=False)  # type: ignore[assignment]


class Worker:
    """One end of the connection, and what the supervisor knows of it."""

    def __init__(self, supervisor: Supervisor, *, is_busy: bool = False) -> None:
        self.stats = collector()
        self.stats.written = self.write
        self.results = AppliedResults()
        self.asked = 0
        self.messages = 0
        self._supervisor = supervisor
        self._is_busy = is_busy
        self._unsent: dict[Any, Any] = {}
        self._sent: list[dict[Any, Any]] = []
        self.totals = Totals(self.stats, lambda: [self._unsent], self.exchange)
        self.totals.start()

    def write(self, how: str, key: str, value: Any) -> None:
        stats.note(self._unsent, how, key, value)

    def exchange(
        self,
        message: ReadStats,
        kind: type[SetStats],
        on_answer: Callable[[SetStats], None],
        is_answered: Callable[[], bool],
    ) -> bool:
        assert kind is SetStats
        assert on_answer == self.totals.on_set
        self.asked += 1
        if self._is_busy:
            return False
        self.arrive()
        worker: Any = self
        self._supervisor.sender.subscribe(worker, message)
        assert is_answered()
        return True

    def send(self, message: SetStats) -> None:
        self.messages += 1
        self.totals.on_set(message)

    def finish(self) -> None:
        """Send a result, which is on its way until arrive()."""
        self._sent.append(self._unsent)
        self.totals.sent(self._unsent)
        self._unsent = {}

    def arrive(self) -> None:
        for written in self._sent:
            stats.apply(written, self._supervisor.stats)
            self.results.applied(self.results.receive())
        self._sent.clear()

    def is_dispatched_to(self) -> None:
        worker: Any = self
        self._supervisor.sender.update(worker)


def test_a_worker_that_reads_nothing_is_sent_nothing() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    worker.stats.inc_value("pages")
    worker.finish()
    worker.arrive()
    worker.is_dispatched_to()
    assert worker.messages == worker.asked == 0


def test_the_first_reading_is_the_total_with_its_own() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    supervisor.stats.inc_value("pages", 7)
    for _ in range(2):
        worker.stats.inc_value("pages")
        worker.finish()
    worker.stats.inc_value("pages")
    assert worker.stats.get_value("pages") == 10
    assert worker.stats.get_value("pages") == 10
    assert worker.asked == 1


def test_what_is_on_its_way_is_counted_once() -> None:
    supervisor = Supervisor()
    ours, other = Worker(supervisor), Worker(supervisor)
    assert ours.stats.get_value("pages", 0) == 0
    ours.stats.inc_value("pages")
    ours.finish()
    other.stats.inc_value("pages", 5)
    other.finish()
    other.arrive()
    ours.is_dispatched_to()  # before the supervisor gets the first result
    assert ours.stats.get_value("pages") == 6
    ours.stats.inc_value("pages")
    ours.arrive()
    ours.is_dispatched_to()
    assert ours.stats.get_value("pages") == 7
    ours.finish()
    ours.arrive()
    ours.is_dispatched_to()
    assert ours.stats.get_value("pages") == 7


def test_a_total_that_stays_the_same_still_answers_for_what_was_sent() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    assert worker.stats.get_value("pages", 0) == 0
    worker.stats.inc_value("pages")
    worker.finish()
    worker.arrive()
    supervisor.stats.inc_value("pages", -1)
    supervisor.sender._update_all()
    assert worker.stats.get_value("pages") == 0


def test_each_way_of_writing_keeps_its_meaning() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    supervisor.stats.max_value("depth", 8)
    supervisor.stats.min_value("least", 2)
    supervisor.stats.set_value("last", "theirs")
    worker.stats.max_value("depth", 5)
    worker.stats.min_value("least", 4)
    worker.stats.set_value("last", "ours")
    worker.stats.inc_value("from_ten", 1, start=10)
    found = {
        key: worker.stats.get_value(key)
        for key in ("depth", "least", "last", "from_ten")
    }
    assert found == {"depth": 8, "least": 2, "last": "ours", "from_ten": 11}
    worker.stats.max_value("depth", 9)
    assert worker.stats.get_value("depth") == 9
    worker.finish()
    worker.arrive()
    assert supervisor.stats.get_stats() == found | {"depth": 9}


def test_only_what_is_read_and_has_changed_is_sent() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    supervisor.stats.inc_value("pages")
    supervisor.stats.inc_value("items")
    assert worker.stats.get_value("pages") == 1
    supervisor.stats.inc_value("items")
    worker.is_dispatched_to()
    assert worker.messages == 1
    assert worker.stats.get_stats() == {"pages": 1, "items": 2}
    supervisor.stats.inc_value("items")
    worker.is_dispatched_to()
    assert worker.stats.get_value("items") == 3


def test_so_many_different_stats_are_all_asked_for_at_once() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    for number in range(500):
        supervisor.stats.inc_value(f"page/{number}")
        worker.is_dispatched_to()
        assert worker.stats.get_value(f"page/{number}") == 1
    assert worker.asked < 150


def test_who_cannot_ask_now_asks_again_and_finds_its_own_meanwhile() -> None:
    worker = Worker(Supervisor(), is_busy=True)
    worker.stats.inc_value("pages")
    assert worker.stats.get_value("pages") == 1
    assert worker.stats.get_value("pages") == 1
    assert worker.asked == 2
