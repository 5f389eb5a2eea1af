"""What places workers on machines: the contract of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from concurcrawl.workers.launch.cluster.order import Order, Report


class EngineLostError(Exception):
    """The connection to the engine is lost; :meth:`Engine.open` may bring it back."""


class Engine(ABC):
    """Runs :func:`concurcrawl.workers.launch.cluster.agent.run` on other machines.

    All coroutines run in the event loop of the crawl and block it never.

    Attributes:
        name: What the log calls it.
        is_local: Whether all its machines are this one.
    """

    name: str
    is_local = False

    @abstractmethod
    def listen_host(self) -> str:
        """Return the address of this machine that the engine's machines reach.

        Raises:
            ClusterError: If there is none.
        """

    def tls(self) -> ssl.SSLContext | None:
        """Return with what the supervisor listens, if the engine has TLS."""
        return None

    @abstractmethod
    async def open(self) -> None:
        """Connect, also again after it was lost.

        Raises:
            EngineLostError: If it cannot be reached.
        """

    @abstractmethod
    async def places(self) -> Mapping[str, int]:
        """Return how many workers each machine can have, by the machine's address.

        Raises:
            EngineLostError: If it cannot be reached.
        """

    @abstractmethod
    async def run(self, place: str, order: Order) -> Report:
        """Run the agent at *place* and return what it returned.

        Cancelled, it forgets the agent, which ends by itself.

        Raises:
            EngineLostError: If the place, or the engine, was lost meanwhile.
        """

    async def want(self, missing: int) -> None:  # noqa: B027 - most cannot grow
        """Take in how many workers the crawl lacks: some engines can grow.

        Args:
            missing: Places that the crawl would have beyond those that there are; what
                it has been told before no longer counts.

        Raises:
            EngineLostError: If the engine cannot be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Disconnect; stop what :meth:`open` has started."""
