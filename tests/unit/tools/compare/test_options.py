from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.modes import Mode
from concurcrawl.tools.compare import command, options

if TYPE_CHECKING:
    from concurcrawl.tools.compare.options import CompareOptions


def read(*words: str) -> CompareOptions:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return options.read(parser.parse_args(words))


def test_without_options_both_lessons_are_shown_in_all_modes() -> None:
    found = read()
    assert found.modes == tuple(Mode)
    assert found.experiments == (options.WAITING, options.WORKING)
    assert found.out == Path("compare")


def test_pages_apply_to_both_lessons() -> None:
    assert [experiment.pages for experiment in read("--pages", "7").experiments] == [
        7,
        7,
    ]


@pytest.mark.parametrize(
    ("words", "work", "latency_s"),
    [
        (["--work", "save"], "save", 0.2),
        (["--work", "parse"], "parse", 0.0),
        (["--latency", "0.05"], "save", 0.05),
        (["--work", "parse", "--latency", "1"], "parse", 1.0),
    ],
)
def test_work_or_latency_make_one_experiment_of_all_pages(
    words: list[str], work: str, latency_s: float
) -> None:
    (found,) = read(*words).experiments
    assert (found.work, found.latency_s, found.pages) == (work, latency_s, 233)


def test_both_kinds_of_work_can_share_a_latency() -> None:
    found = read("--work", "both", "--latency", "0.1").experiments
    assert [(one.work, one.latency_s) for one in found] == [
        ("save", 0.1),
        ("parse", 0.1),
    ]


def test_modes_keep_their_order_and_come_once() -> None:
    assert read("--modes", "async, serial,async").modes == (Mode.ASYNC, Mode.SERIAL)


def test_a_spider_gets_only_the_arguments_that_were_given() -> None:
    (found,) = read("--spider", "mine").experiments
    assert (found.name, found.work, found.pages, found.latency_s) == (
        "spider",
        None,
        None,
        None,
    )


def test_a_sweep_is_a_list_of_numbers_each_once_in_order() -> None:
    assert read("--sweep", "8, 1,2,8").sweep == (1, 2, 8)
    assert read().sweep == ()


def test_a_live_site_may_be_crawled_when_allowed() -> None:
    assert read("--site", "https://example.com/", "--yes-live").site


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--sweep", "1,0"],
            "--sweep='1,0': must be whole numbers from 1 to 1024, as 1,2,4,8",
        ),
        (
            ["--modes", "fast"],
            "--modes='fast': must be a list of serial, concurrent, async,",
        ),
        (["--modes", ""], "--modes='': must be a list of"),
        (["--rounds", "0"], "--rounds='0': must be a whole number from 1 to 1000"),
        (["--pages", "0"], "--pages='0': must be a whole number from 1 to 233"),
        (["--pages", "x"], "--pages='x': must be a whole number from 1 to 233"),
        (["--latency", "-1"], "--latency='-1': must be a number >= 0 (seconds)"),
        (["--latency", "nan"], "--latency='nan': must be a number >= 0 (seconds)"),
        (["--timeout", "0"], "--timeout='0': must be a number > 0 (seconds)"),
        (["--work", "play"], "--work='play': must be save, parse or both"),
        (["--site", "countries.html"], "must be an http or https address"),
        (["--site", "http://[::1"], "must be an http or https address"),
        (["--site", "https://example.com/"], "or allowed with --yes-live"),
        (["-a", "site"], "-a='site': must be NAME=VALUE"),
        (["-s", "MODE"], "-s='MODE': must be NAME=VALUE"),
        (
            ["--latency", "1", "--site", "http://localhost/"],
            "--latency='1': must be left out with --site or --spider",
        ),
    ],
)
def test_a_wrong_option_is_named(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(*words)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80/", True),
        ("http://127.8.9.1/", True),
        ("http://localhost:8000/", True),
        ("http://[::1]/", True),
        ("http://LOCALHOST/", True),
        ("http://a.localhost/", True),
        ("data:,x", True),
        ("http://localhost.example.com/", False),
        ("http://10.0.0.1/", False),
        ("https://en.wikipedia.org/", False),
        ("http://[::1", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, here: bool) -> None:
    assert options.is_loopback(url) is here


def test_the_tutorials_table_is_made_with_its_own_numbers() -> None:
    found = read("--tutorial", "-s", "LOG_LEVEL=INFO")
    assert found.modes == (Mode.SERIAL, Mode.CONCURRENT, Mode.PARALLEL)
    (experiment,) = found.experiments
    assert (experiment.name, experiment.work) == ("tutorial", "save")
    assert (experiment.latency_s, experiment.pages) == (0.58, 233)
    assert found.settings == (
        "CONCURCRAWL_THREADS=16",
        "CONCURCRAWL_WORKERS=8",
        "LOG_LEVEL=INFO",
    )


def test_the_tutorials_table_leaves_nothing_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"--pages='7': must be left out with --tut"):
        read("--tutorial", "--pages", "7")
