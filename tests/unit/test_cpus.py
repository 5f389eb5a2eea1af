from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from concurcrawl.cpus import cgroup_cpus, usable_cpus

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return folder


def test_a_process_bound_to_one_cpu_can_use_one() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "200000 0\n"}, None),
        ({"cpu.max": ""}, None),
        (
            {
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "250000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        ({"cpu/cpu.cfs_quota_us": "250000\n"}, None),
    ],
)
def test_a_quota_of_either_cgroup_version_counts_in_whole_cpus(
    files: dict[str, str], cpus: int | None, tmp_path: Path
) -> None:
    assert cgroup_cpus(write(tmp_path, files)) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("100000", 1), ("100000000", None)])
def test_a_quota_only_lowers_the_number_of_usable_cpus(
    quota: str, cpus: int | None, tmp_path: Path
) -> None:
    write(tmp_path, {"cpu.max": f"{quota} 100000\n"})
    assert usable_cpus(tmp_path) == (cpus or usable_cpus())
