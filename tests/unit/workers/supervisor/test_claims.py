"""Duplicates among requests that stay in a worker."""

from __future__ import annotations

from concurcrawl.frontier.base import Lease
from concurcrawl.workers.supervisor.claims import Claims


def test_a_lease_claims_a_key_once_until_it_is_done_again() -> None:
    claims = Claims()
    claims.add(b"k", 1)
    assert b"k" in claims
    assert not claims.claim_again(b"k", 1)
    claims.redo(1)
    assert not claims.claim_again(b"k", 2)
    assert claims.claim_again(b"k", 1)
    assert not claims.claim_again(b"k", 1)


def test_the_frontier_remembers_what_a_lease_has_claimed() -> None:
    claims = Claims()
    claims.add(b"k", 1)
    claims.add(b"other", 2)
    (entry,) = claims.entries(Lease(1, "a.example", b"", 0.0))
    assert (entry.key, entry.group, entry.payload) == (b"k", "a.example", b"")


def test_a_lease_that_has_ended_leaves_nothing() -> None:
    claims = Claims()
    claims.add(b"k", 1)
    claims.add(b"other", 2)
    claims.redo(1)
    claims.drop(1)
    claims.drop(1)
    assert b"k" not in claims
    claims.clear()
    assert b"other" not in claims
