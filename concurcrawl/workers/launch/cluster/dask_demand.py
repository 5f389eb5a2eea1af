"""How an adaptive cluster of Dask is told that a crawl could have more workers.

Such a cluster asks its scheduler how many it should have (``adaptive_target``). The
scheduler counts tasks: those that wait for a worker ask for more, and a worker with a
task that has left its threads, as our agents do, is never given back.
"""

from __future__ import annotations

import logging
from typing import Any

import dask

logger = logging.getLogger(__name__)

#: The name of the tasks, and of what they need, which no worker has: they only wait.
_NAME = "concurcrawl-wanted"

#: How long Dask is to expect that each takes. It asks for no more workers than get all
#: done in five seconds, and would have ten tasks of unknown length share one.
_LENGTH = {_NAME: "1h"}


class Demand:
    """Tasks that wait in the scheduler, one for each worker that a crawl lacks."""

    def __init__(self, client: Any) -> None:
        """Make one.

        Args:
            client: Of Dask, connected; its end takes the tasks away.
        """
        self._client = client
        self._tasks: list[Any] = []
        self._is_known = False
        self._count = 0

    async def set(self, missing: int) -> None:
        """Have *missing* tasks wait."""
        if missing and not self._is_known:
            await self._make_known()
        # Some schedulers let tasks fail that have waited for too long.
        self._tasks = [one for one in self._tasks if not one.done()]
        for task in self._tasks[missing:]:
            task.release()
        del self._tasks[missing:]
        while len(self._tasks) < missing:
            self._count += 1
            self._tasks.append(self._wait())

    def _wait(self) -> Any:
        # The number comes first: Dask takes the words before it for the task's name.
        key = f"{_NAME}-{self._count}-{id(self):x}"
        return self._client.submit(int, key=key, resources={_NAME: 1}, pure=False)

    async def _make_known(self) -> None:
        durations = {"distributed": {"scheduler": {"default-task-durations": _LENGTH}}}
        try:
            # A function of Dask, as the scheduler's machine may have nothing of ours.
            await self._client.run_on_scheduler(dask.config.update_defaults, durations)
        except ValueError as error:  # it runs no functions of clients
            logger.debug("An adaptive cluster will grow slowly: %s", error)
        self._is_known = True
