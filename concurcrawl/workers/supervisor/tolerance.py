"""How many worker deaths, and how much silence, a crawl tolerates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurcrawl.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How many worker deaths a crawl tolerates.

    Attributes:
        deaths: Deaths of workers that held one request, before that is dead-lettered.
        restarts: Deaths in all, before the crawl gives up.
        silence_s: Seconds without an answer from a worker with requests, after which
            it is killed; 0 means any.
        requests: Requests of one worker, after which another takes its place; 0 means
            any number.
    """

    deaths: int
    restarts: int
    silence_s: float = 0.0
    requests: int = 0

    @classmethod
    def from_config(cls, config: Config) -> Tolerance:
        """Return what the settings say."""
        return cls(
            deaths=config.max_attempts,
            restarts=config.max_restarts,
            silence_s=config.callback_timeout_s,
            requests=config.worker_max_requests,
        )
