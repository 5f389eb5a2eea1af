"""Workers on a cluster: one for each place that an engine has, while there are places.

This much is alike with every engine. It sees which machines there are, keeps an agent
running in each place, and passes on the workers that connect back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from typing_extensions import override

from concurcrawl.errors import ClusterError
from concurcrawl.workers.launch.base import Launcher
from concurcrawl.workers.launch.cluster.engine import EngineLostError
from concurcrawl.workers.launch.cluster.listener import ClusterListener
from concurcrawl.workers.launch.cluster.order import Order, digest, versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from concurcrawl.workers.launch.base import Members, WorkerConnection
    from concurcrawl.workers.launch.cluster.engine import Engine
    from concurcrawl.workers.launch.cluster.listener import RemoteConnection
    from concurcrawl.workers.launch.cluster.order import Report

logger = logging.getLogger(__name__)

#: How often it looks which machines there are.
_LOOK_S = 1.0
#: How long the agents are waited for at the end.
_CLOSE_S = 10.0


class ClusterLauncher(Launcher):
    """Keeps a worker in each place of a cluster.

    Invariant: at each machine there are as many agents as it has places, at most
    ``most`` in all.
    """

    is_elastic = True
    brings_code = True

    def __init__(  # noqa: PLR0913 - by name
        self,
        engine: Engine,
        listen: tuple[str, int],
        *,
        archive: bytes,
        main: bytes,
        most: int,
        wanted: int,
        timeout_s: float,
        wait_s: float,
    ) -> None:
        """Make one for a crawl, and listen.

        Args:
            engine: That places workers.
            listen: Host, empty for one that the engine's machines reach, and port.
            archive: The project's code.
            main: What workers have for ``__main__``, pickled.
            most: Workers; 0 for any number.
            wanted: Workers that a cluster which can grow is asked for.
            timeout_s: Silence after which a worker counts as dead.
            wait_s: How long the crawl waits for a cluster without a worker.

        Raises:
            ClusterError: If it cannot listen there.
        """
        self._engine = engine
        self._archive = archive
        self._main = main
        self._most = most
        self._wanted = wanted
        self._wait_s = wait_s
        self._timeout_s = timeout_s
        host, port = listen
        self._listener = ClusterListener(
            host or engine.listen_host(),
            port,
            timeout_s=timeout_s,
            tls=engine.tls(),
            is_local=engine.is_local,
        )
        self._numbers = itertools.count(1)
        self._agents: dict[asyncio.Task[None], str] = {}
        self._unfit: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._arrived: deque[RemoteConnection] = deque()
        self._places_of: dict[int, str] = {}
        self._members: Members | None = None
        self._runner: asyncio.Task[None] | None = None
        self._change = asyncio.Event()

    @override
    def start(self) -> WorkerConnection:
        return self._arrived.popleft()

    @override
    async def open(self, members: Members) -> None:
        self._members = members
        loop = asyncio.get_running_loop()

        def tell(connection: RemoteConnection) -> None:
            loop.call_soon_threadsafe(self._arrive, connection)

        def leave(connection: RemoteConnection) -> None:
            loop.call_soon_threadsafe(self._leave, connection)

        self._listener.start(self._archive, tell, leave)
        self._runner = asyncio.ensure_future(self._run())
        self._runner.add_done_callback(self._has_run)

    @override
    def close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
        self._listener.close()

    @override
    async def aclose(self) -> None:
        self.close()
        if self._agents:  # they end now that the connections are closed
            await asyncio.wait(self._agents, timeout=_CLOSE_S)
        for agent in [*self._agents]:
            agent.cancel()
        await self._engine.close()

    @property
    def _is_ending(self) -> bool:
        return self._members is None or self._members.is_ending

    def _arrive(self, connection: RemoteConnection) -> None:
        if not self._is_ending:
            assert self._members is not None
            self._arrived.append(connection)
            self._members.arrived()

    def _leave(self, connection: RemoteConnection) -> None:
        self._leaving.add(self._places_of.get(connection.control.number, ""))
        if self._members is not None:
            self._members.leaving(connection)

    async def _run(self) -> None:
        """Keep agents in all places until the crawl ends."""
        loop = asyncio.get_running_loop()
        lost_s: float | None = loop.time()
        is_known = False
        while not self._is_ending:
            try:
                if not is_known:
                    await self._engine.open()
                    is_known = True
                places = await self._engine.places()
                # In this order: a cluster grows at once, but shrinks after a while.
                await self._engine.want(self._missing(places))
                self._fill(places)
            except EngineLostError as error:
                if is_known:
                    logger.warning("%s is lost: %s", self._engine.name, error)
                is_known, places = False, {}
            if any(place not in self._unfit for place in places):
                lost_s = None
            elif lost_s is None:
                lost_s = loop.time()
            if lost_s is not None and self._is_hopeless(places, loop.time() - lost_s):
                return
            self._change.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), _LOOK_S)

    def _has_run(self, runner: asyncio.Task[None]) -> None:
        """End a crawl that would get no more workers, and say nothing of it."""
        error = None if runner.cancelled() else runner.exception()
        if error is not None and not self._is_ending:
            assert self._members is not None
            sentence = f"{self._engine.name} cannot be used: {error!r}"
            self._members.failed(ClusterError(sentence))

    def _is_hopeless(self, places: Mapping[str, int], waited_s: float) -> bool:
        """Return whether the crawl ends because no machine can have a worker."""
        assert self._members is not None
        if places:  # each has been named with what is wrong there
            reason = next(iter(self._unfit.values()))
            self._members.failed(ClusterError(f"No worker can be started: {reason}"))
            return True
        if waited_s > self._wait_s:
            sentence = (
                f"{self._engine.name} has had no worker for {self._wait_s:g} s "
                "(CONCURCRAWL_CLUSTER_WAIT_S): start one, then run the same command "
                "again."
            )
            self._members.failed(ClusterError(sentence))
            return True
        return False

    def _missing(self, places: Mapping[str, int]) -> int:
        """Return how many places more the crawl could use."""
        if not places:
            return 1  # the first machine shows how many workers each has
        usable = [
            count
            for place, count in places.items()
            if place not in self._unfit and place not in self._leaving
        ]
        return max(0, self._wanted - sum(usable))

    def _fill(self, places: Mapping[str, int]) -> None:
        """Start agents where there is none; first where there are the fewest."""
        for agent, place in self._agents.items():
            if place not in places:  # the engine would wait until it is back
                agent.cancel()
        taken = Counter(self._agents.values())
        self._leaving &= {*places}
        free = {
            place: count - taken[place]
            for place, count in places.items()
            if place not in self._unfit and place not in self._leaving
        }
        left = self._most - taken.total() if self._most else sum(free.values())
        while left > 0 and any(count > 0 for count in free.values()):
            place = max(free, key=lambda one: (free[one], one))
            free[place] -= 1
            left -= 1
            agent = asyncio.ensure_future(self._keep_agent(place))
            self._agents[agent] = place
            agent.add_done_callback(self._ended)

    def _ended(self, agent: asyncio.Task[None]) -> None:
        del self._agents[agent]
        self._change.set()

    async def _keep_agent(self, place: str) -> None:
        """Have one worker at *place* until it ends."""
        host, port = self._listener.address
        order = Order(
            host=host,
            port=port,
            key=self._listener.key,
            number=next(self._numbers),
            archive=digest(self._archive),
            main=self._main,
            versions=versions(),
            has_tls=self._engine.tls() is not None,
            timeout_s=self._timeout_s,
        )
        self._places_of[order.number] = place
        try:
            report = await self._engine.run(place, order)
        except EngineLostError:
            await asyncio.sleep(_LOOK_S)  # it may still be listed
        else:
            self._note(place, report)
        finally:
            del self._places_of[order.number]

    def _note(self, place: str, report: Report) -> None:
        if self._is_ending:
            return  # it may have failed because the crawl ended
        if report.problem and place not in self._unfit:
            self._unfit[place] = f"{report.machine}: {report.problem}"
            logger.error("%s: %s.", report.machine, report.problem)
