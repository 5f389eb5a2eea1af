"""How often a request is pickled and unpickled on its whole way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import crawl

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("setup", ["parallel", "hybrid", "hybrid in JOBDIR"])
def test_a_request_is_pickled_once_and_unpickled_twice(
    setup: str, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv("PICKLES", str(notes))
    mode, _, is_durable = setup.partition(" in ")
    job = ("-s", f"JOBDIR={tmp_path / 'job'}") if is_durable else ()
    options = ("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=2", *job)
    found = crawl("pickled", site, tmp_path, *options)
    assert found.items.total() == 9, found.log
    counts = Counter(notes.read_text(encoding="utf-8").splitlines())
    for number in range(9):
        url = f"{site}/status/200?{number}"
        assert counts[f"pickled {url}"] == 1, counts
        assert counts[f"unpickled {url}"] == 2, counts  # by the supervisor, by a worker
