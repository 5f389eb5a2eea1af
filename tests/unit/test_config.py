from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from scrapy.settings import Settings

from concurcrawl.config import PREFIX, Config, markdown_table
from concurcrawl.cpus import usable_cpus
from concurcrawl.errors import ConfigError


def read(**settings: Any) -> Config:
    return Config.from_settings(Settings(settings))


def test_nothing_set_gives_the_defaults() -> None:
    assert read() == Config()


#: What a command line may set an option to, and what that is: by the option's kind,
#: and by name where the kind does not tell.
KINDS: dict[type, tuple[str, Any]] = {
    bool: ("1", True),
    int: ("7", 7),
    float: ("7.5", 7.5),
    str: ("somewhere", "somewhere"),
}
NAMES: dict[str, tuple[str, Any]] = {
    "start_method": ("spawn", "spawn"),
    "host_groups": (
        '{"shop": ["a.example", "b.example"]}',
        {"shop": ("a.example", "b.example")},
    ),
    "profiles": ("wikimedia, mine.Profile", ("wikimedia", "mine.Profile")),
    "cluster_files": ("data/*.csv, words.txt", ("data/*.csv", "words.txt")),
    "worker_pipelines": ("shop.A, shop.B", ("shop.A", "shop.B")),
    "sticky_meta": ("session, browser", ("session", "browser")),
    "frontier_start": ("resume", "resume"),
    "frontier_items": ("stream", "stream"),
}


@pytest.mark.parametrize("name", [option.name for option in fields(Config)])
def test_each_option_is_read_from_the_setting_of_its_name(name: str) -> None:
    written, expected = NAMES.get(name) or KINDS[type(getattr(Config(), name))]
    config = read(**{PREFIX + name.upper(): written})
    assert config == replace(Config(), **{name: expected})
    assert config != Config()


@pytest.mark.parametrize(
    "groups",
    [{"shop": ["a.example"]}, {"shop": ("a.example",)}, '{"shop": ["a.example"]}'],
)
def test_groups_of_hosts_are_a_dict_or_json(groups: Any) -> None:
    assert read(CONCURCRAWL_HOST_GROUPS=groups).host_groups == {"shop": ("a.example",)}


@pytest.mark.parametrize("names", ["none", "", [], ()])
def test_profiles_can_be_switched_off(names: Any) -> None:
    assert read(CONCURCRAWL_PROFILES=names).profiles == ()


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
        (
            {"CONCURCRAWL_RATE": "nan"},
            "CONCURCRAWL_RATE='nan': must be a number >= 0 (requests/s)",
        ),
        (
            {"CONCURCRAWL_MAX_PAUSE_S": "inf"},
            "CONCURCRAWL_MAX_PAUSE_S='inf': must be a number >= 0 (seconds)",
        ),
        (
            {"CONCURCRAWL_HOST_GROUPS": '{"shop": "a.example"}'},
            (
                'CONCURCRAWL_HOST_GROUPS=\'{"shop": "a.example"}\': must be a JSON '
                "object of groups and lists of their hosts, like "
                '{"shop": ["shop.example", "pictures.example"]}'
            ),
        ),
        (
            {"CONCURCRAWL_HOST_GROUPS": "shop"},
            (
                "CONCURCRAWL_HOST_GROUPS='shop': must be a JSON object of groups and "
                "lists of their hosts, like "
                '{"shop": ["shop.example", "pictures.example"]}'
            ),
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


def test_the_table_has_a_row_for_each_setting() -> None:
    head, _, *rows = markdown_table().splitlines()
    assert head == "| Setting | Default | Unit | Meaning |"
    assert [row.split("`")[1] for row in rows] == [
        PREFIX + option.name.upper() for option in fields(Config)
    ]
    assert (
        "| `CONCURCRAWL_THREADS` | 16 | threads "
        "| Blocking downloads that `concurrent` runs at the same time. |"
    ) in rows


@pytest.mark.parametrize("value", ["1", 1, True, "True", "true"])
def test_there_are_some_ways_to_say_yes(value: object) -> None:
    assert read(CONCURCRAWL_PROGRESS=value).progress is True


@pytest.mark.parametrize("value", ["yes", "", 2])
def test_what_is_neither_yes_nor_no_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="must be 0 or 1"):
        read(CONCURCRAWL_PROGRESS=value)


def test_a_word_that_is_none_of_the_choices_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of auto, new, resume"):
        read(CONCURCRAWL_FRONTIER_START="later")
