from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.testsite.bodies import Bodies
from concurcrawl.tools.testsite.site import LIST_PATH
from concurcrawl.tools.testsite.store import BodyStore, cache_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_put_is_got(tmp_path: Path) -> None:
    BodyStore(tmp_path / "new").put("007.gzip", b"Andorra")

    assert BodyStore(tmp_path / "new").get("007.gzip") == b"Andorra"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["007.gzip"]


@pytest.mark.parametrize("damage", [b"", b"\0", b"1234Andorra", b"x" * 100])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    store = BodyStore(tmp_path)
    store.put("007.gzip", b"Andorra")
    (tmp_path / "007.gzip").write_bytes(damage)

    assert store.get("007.gzip") is None


def test_a_cut_file_is_as_good_as_none(tmp_path: Path) -> None:
    store = BodyStore(tmp_path)
    store.put("007.gzip", b"Andorra" * 1000)
    file = tmp_path / "007.gzip"
    file.write_bytes(file.read_bytes()[:-1])

    assert store.get("007.gzip") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    store = BodyStore(tmp_path / "file" / "folder")

    store.put("007.gzip", b"Andorra")

    assert store.get("007.gzip") is None


def test_no_folder_keeps_nothing() -> None:
    store = BodyStore(None)

    store.put("007.gzip", b"Andorra")

    assert store.get("007.gzip") is None


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(16)]

    with ThreadPoolExecutor(8) as pool:
        for body in bodies:
            pool.submit(BodyStore(tmp_path).put, "007.gzip", body)

    assert BodyStore(tmp_path).get("007.gzip") in bodies
    assert len(list(tmp_path.iterdir())) == 1


def test_damage_costs_time_but_never_a_page(tmp_path: Path) -> None:
    first = Bodies(0, 3, tmp_path).get(LIST_PATH, "gzip")
    (file,) = tmp_path.rglob("*.gzip")
    file.write_bytes(b"damaged")

    assert Bodies(0, 3, tmp_path).get(LIST_PATH, "gzip") == first
    assert file.read_bytes()[4:] == first  # mended


def test_identity_is_not_kept_on_disk(tmp_path: Path) -> None:
    Bodies(0, 3, tmp_path).get(LIST_PATH, "identity")

    assert not list(tmp_path.rglob("*.identity"))


def test_seeds_and_lengths_do_not_share_a_file(tmp_path: Path) -> None:
    made = {
        Bodies(seed, pages, tmp_path).get(LIST_PATH, "gzip")
        for seed, pages in ((0, 3), (0, 4), (1, 3))
    }

    assert len(made) == 3
    assert len(list(tmp_path.rglob("*.gzip"))) == 3


def test_the_cache_is_where_the_user_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "concurcrawl"

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "concurcrawl"
