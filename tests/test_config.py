from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.settings import Settings

from concurcrawl.config import (
    PREFIX,
    Config,
    cgroup_cpus,
    markdown_table,
    usable_cpus,
)
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read(**settings: Any) -> Config:
    return Config.from_settings(Settings(settings))


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return folder


def test_nothing_set_gives_the_defaults() -> None:
    assert read() == Config()


@pytest.mark.parametrize("option", fields(Config), ids=lambda option: option.name)
def test_each_option_is_read_from_the_setting_of_its_name(option: Any) -> None:
    value = "7" if isinstance(option.default, int) else "somewhere"
    config = read(**{PREFIX + option.name.upper(): value})
    assert getattr(config, option.name) == type(option.default)(value)
    others = {f.name for f in fields(Config)} - {option.name}
    assert {name: getattr(config, name) for name in others} == {
        name: getattr(Config(), name) for name in others
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"CONCURCRAWL_WORKERS": -1},
            "CONCURCRAWL_WORKERS=-1: must be a whole number >= 0 (processes)",
        ),
        (
            {"CONCURCRAWL_WORKERS": "many"},
            "CONCURCRAWL_WORKERS='many': must be a whole number >= 0 (processes)",
        ),
        (
            {"CONCURCRAWL_WORKERS": []},
            "CONCURCRAWL_WORKERS=[]: must be a whole number >= 0 (processes)",
        ),
        (
            {"CONCURCRAWL_THREADS": "0"},
            "CONCURCRAWL_THREADS='0': must be a whole number >= 1 (threads)",
        ),
        (
            {"CONCURCRAWL_THREADS": 2.7},
            "CONCURCRAWL_THREADS=2.7: must be a whole number >= 1 (threads)",
        ),
        (
            {"CONCURCRAWL_MAX_ATTEMPTS": "2.7"},
            "CONCURCRAWL_MAX_ATTEMPTS='2.7': must be a whole number >= 1 (workers)",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_be(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(**settings)
    assert str(raised.value) == message


def test_none_means_the_default() -> None:
    assert read(CONCURCRAWL_THREADS=None) == Config()


def test_the_number_of_workers_that_is_set_is_the_number_started() -> None:
    assert read(CONCURCRAWL_WORKERS=5).worker_count == 5


def test_without_a_number_there_is_a_worker_for_each_usable_cpu() -> None:
    assert read().worker_count == usable_cpus() >= 1


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


def test_the_table_has_a_row_for_each_setting() -> None:
    head, _, *rows = markdown_table().splitlines()
    assert head == "| Setting | Default | Unit | Meaning |"
    assert [row.split("`")[1] for row in rows] == [
        PREFIX + option.name.upper() for option in fields(Config)
    ]
    assert (
        "| `CONCURCRAWL_THREADS` | 16 | threads "
        "| Blocking downloads at a time in `concurrent`. |"
    ) in rows
