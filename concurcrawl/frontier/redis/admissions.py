"""What a node knows of when its requests may start at their sites. Pure.

Redis keeps the limits and decides which request may start; a node remembers what it
answered, so that it does not ask twice for the same, or before it is worth it.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Who asks: a group, and the lease id of a lease or None for a request without one.
Place = tuple[str, int | None]


class Admissions:
    """The permits of a node, its questions under way, and when to ask again.

    Invariant: a place is asked for once at a time.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._permits: Counter[Place] = Counter()
        self._asked: set[Place] = set()
        self._not_before_s: dict[str, float] = {}
        self._too_long_until_s: dict[str, float] = {}
        self._may_be_sooner: set[str] = set()

    def begin_anew(self) -> None:
        """Forget who asked and who may start: others have what this node held."""
        self._permits.clear()
        self._asked.clear()

    # Asking ----------------------------------------------------------------------

    def ask(self, place: Place) -> bool:
        """Note that *place* is asked for; return False if it is already."""
        is_new = place not in self._asked
        self._asked.add(place)
        return is_new

    def is_asked(self, place: Place) -> bool:
        """Return whether *place* is asked for."""
        return place in self._asked

    def ask_no_longer(self, place: Place) -> None:
        """Note that there is no question for *place*, or no longer."""
        self._asked.discard(place)

    def on_answer(
        self, place: Place, answer: Mapping[str, Any], now_s: float, *, is_held: bool
    ) -> None:
        """Learn from an answer that is not that the lease was lost.

        Args:
            place: Who asked.
            answer: That of the script to ``protocol.Admit``.
            now_s: The time.
            is_held: Whether who asked is still there to start.
        """
        group, _ = place
        if "paused_s" in answer:
            self._too_long_until_s[group] = now_s + answer["paused_s"]
        elif answer["wait_s"] == 0:
            if is_held:
                self._permits[place] += 1
        else:
            if answer.get("may_be_sooner"):  # when another node says that it has sent
                self._may_be_sooner.add(group)
            if math.isfinite(answer["wait_s"]):
                self._not_before_s[group] = now_s + answer["wait_s"]

    # Starting --------------------------------------------------------------------

    def has_permit(self, place: Place) -> bool:
        """Return whether a request may start there."""
        return self._permits[place] > 0

    def use_permit(self, place: Place) -> None:
        """Count a request that starts."""
        self._permits[place] -= 1

    def drop_permits(self, place: Place) -> None:
        """Forget permits of a request that is gone from its site."""
        self._permits.pop(place, None)

    def unclaimed(self) -> list[tuple[str, int]]:
        """Take out the permits whose requests, without a lease id, have gone."""
        found = [
            (place, count)
            for place, count in self._permits.items()
            if place[1] is None and count
        ]
        for place, _ in found:
            del self._permits[place]
        return [(group, count) for (group, _), count in found]

    # Waiting ---------------------------------------------------------------------

    def wait_s(self, group: str, now_s: float) -> float:
        """Return how long it is not worth asking, 0 or less if it is."""
        return self._not_before_s.get(group, 0.0) - now_s

    def too_long_s(self, group: str, now_s: float) -> float:
        """Return the rest of a pause too long to wait for, 0 or less if none is."""
        return self._too_long_until_s.get(group, 0.0) - now_s

    def stop_waiting(self, group: str) -> None:
        """Make it worth asking: something has happened in *group*."""
        self._not_before_s.pop(group, None)

    @property
    def may_be_sooner(self) -> bool:
        """Whether a wait may end before its time, by what another node does."""
        return bool(self._may_be_sooner)

    def look_sooner(self) -> None:
        """Make it worth asking where a wait may end before its time."""
        for group in self._may_be_sooner:
            self.stop_waiting(group)
        self._may_be_sooner.clear()
