from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.terminal.arguments import has_password
from concurcrawl.tools.scrapyd import options
from concurcrawl.tools.scrapyd.options import AUTH_VARIABLE

if TYPE_CHECKING:
    from concurcrawl.tools.scrapyd.options import Deployment


def read(*words: str, **environment: str) -> Deployment:
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.configure(parser)
    args = parser.parse_args(words)
    return options.read(args, environment, project="shop", now="20260102-030405")


def test_a_job_is_named_after_spider_and_time_and_is_the_same_everywhere() -> None:
    found = read("--nodes", "http://a:6800", "--spider", "books", "--mode", "hybrid")
    assert found.job.id == "books-20260102-030405"
    assert found.job.project == "shop"
    assert found.job.settings == ("MODE=hybrid", "LOGSTATS_INTERVAL=5")


def test_a_frontier_is_a_setting_of_every_job() -> None:
    nodes = "http://a:6800, http://b:6800/"
    words = ("--frontier", "redis://c", "-s", "LOGSTATS_INTERVAL=9", "-a", "x=y=z")
    found = read("--nodes", nodes, "--spider", "books", *words)
    assert [node.url for node in found.nodes] == ["http://a:6800/", "http://b:6800/"]
    assert found.job.settings == (
        "LOGSTATS_INTERVAL=9",
        "CONCURCRAWL_FRONTIER_URL=redis://c",
        "CONCURCRAWL_FRONTIER_JOB=books-20260102-030405",
    )
    assert found.job.arguments == {"x": "y=z"}


def test_passwords_come_from_the_url_the_option_or_the_environment() -> None:
    nodes = "http://me:p%40ss@a:6800,https://b/scrapyd"
    words = ("--nodes", nodes, "--spider", "books", "--independent")
    a, b = read(*words, **{AUTH_VARIABLE: "us:a:b"}).nodes
    assert (a.name, a.url, a.user, a.password) == (
        *("a:6800", "http://a:6800/", "me", "p@ss"),
    )
    assert (b.name, b.url, b.user, b.password) == (
        *("b/scrapyd", "https://b/scrapyd/", "us", "a:b"),
    )
    assert b.file_name == "b-scrapyd"
    assert "p@ss" not in repr(a)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--nodes http://a,http://b --spider s", "each of the 2 crawls everything"),
        ("--nodes a:6800 --spider s", "--nodes='a:6800': must be the address"),
        ("--nodes http://a:x --spider s", "--nodes='http://a:x': must be"),
        ("--nodes http://a,http://a --spider s", "addresses of different servers"),
        ("--nodes , --spider s", "addresses of different servers"),
        ("--nodes http://a", "--spider='': must be the name of a spider"),
        ("--nodes http://a --spider s --mode fast", "--mode='fast': must be one of"),
        ("--nodes http://a --spider s -s MODE", "-s='MODE': must be NAME=VALUE"),
        ("--nodes http://a --spider s -a =x", "-a='=x': must be NAME=VALUE"),
        ("--nodes http://a --spider s --frontier a", "--frontier='a': must be redis:"),
        ("--nodes http://a --spider s --job ../x", "--job='../x': must be letters"),
        ("--nodes http://a --follow /", "--follow='/': must be letters"),
        ("--nodes http://a --spider s --auth me", "--auth='…': must be USER:PASSWORD"),
        ("--nodes http://a --spider s --patience x", "--patience='x': must be"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(*words.split())
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        "--nodes http://u:secret@a:x --spider s",
        "--nodes ftp://u:secret@a --spider s",
        "--nodes http://u:secret@a,http://u:secret@a --spider s",
        "--nodes http://u:secret@a,http://u:secret@b --spider s",
        "--nodes http://a --spider s --frontier http://u:secret@c",
        "--nodes http://a --spider s -s redis://u:secret@c",
    ],
)
def test_a_refusal_tells_no_password(words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(*words.split())
    assert "secret" not in str(refused.value)
    assert "must be" in str(refused.value)


def test_a_password_in_a_setting_is_seen() -> None:
    assert has_password("CONCURCRAWL_FRONTIER_URL=redis://:secret@c/0")
    assert has_password("X=redis://u:secret@c/0")
    assert not has_password("X=redis://c:6379/0")
