"""Locks of feeds and of a JOBDIR, within one process and by other paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from concurcrawl.durable.jobdir import JobDir
from concurcrawl.durable.locks import Passing
from concurcrawl.errors import JobDirError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_keeps_another_of_the_same_process_out_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    first = Passing(path)
    with pytest.raises(BlockingIOError):
        Passing(path)
    first.release()
    assert not path.exists()
    Passing(path).release()
    assert not path.exists()


def test_a_lock_that_a_killed_process_has_left_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    Passing(path).release()
    assert not path.exists()


def test_a_lock_whose_file_was_replaced_is_not_the_one_released(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    first = Passing(path)
    first.release()
    second = Passing(path)
    first.release()  # once more: it is another's now
    assert path.exists()
    with pytest.raises(BlockingIOError):
        Passing(path)
    second.release()


def test_a_jobdir_is_refused_to_another_crawl_of_the_process_by_any_path(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "job")
    claimed = JobDir(str(tmp_path / "job"), "one")
    with pytest.raises(JobDirError, match="another crawl that runs now uses it"):
        JobDir(str(tmp_path / "link"), "one")
    claimed.close()
    JobDir(str(tmp_path / "link"), "one").close()
