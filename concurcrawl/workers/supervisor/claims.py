"""Duplicates of requests that stay in a worker, which the frontier never has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from concurcrawl.frontier.base import Lease


class Claims:
    """Fingerprints of requests that are being done as part of a lease.

    The frontier learns of them when the lease ends. If it is done again instead, it
    may claim the same ones again.
    """

    def __init__(self) -> None:
        self._leases: dict[bytes, int] = {}
        self._keys: dict[int, list[bytes]] = {}
        self._redone: set[bytes] = set()

    def __contains__(self, key: bytes) -> bool:
        """Return whether a lease has claimed *key*."""
        return key in self._leases

    def redo(self, lease: int) -> None:
        """Let *lease* claim the same keys again: its worker is gone."""
        self._redone.update(self.of(lease))

    def claim_again(self, key: bytes, lease: int) -> bool:
        """Return whether *lease* may claim a key that was claimed before."""
        if self._leases[key] != lease or key not in self._redone:
            return False
        self._redone.discard(key)
        return True

    def add(self, key: bytes, lease: int) -> None:
        """Note that *lease* has claimed *key*."""
        self._leases[key] = lease
        self._keys.setdefault(lease, []).append(key)

    def of(self, lease: int) -> Sequence[bytes]:
        """Return the keys that *lease* has claimed."""
        return self._keys.get(lease, ())

    def entries(self, lease: Lease) -> Iterator[Entry]:
        """Yield what makes the frontier remember the keys that *lease* has claimed."""
        for key in self.of(lease.lease_id):
            yield Entry(key, lease.group, 0, is_start=False, payload=b"")

    def drop(self, lease: int) -> None:
        """Forget what *lease* has claimed: it has ended."""
        for key in self._keys.pop(lease, ()):
            del self._leases[key]
            self._redone.discard(key)

    def clear(self) -> None:
        """Forget everything: the leases are lost."""
        self._leases.clear()
        self._keys.clear()
        self._redone.clear()
