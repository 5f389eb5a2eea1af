from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.compare.advice import SiteLimits, advise
from concurcrawl.tools.compare.model import Cost
from tests.integration.test_cli import concurcrawl

if TYPE_CHECKING:
    from pathlib import Path


def cost(waiting_s: float, cpu_s: float) -> Cost:
    return Cost(
        pages=20, waiting_s=waiting_s, cpu_s=cpu_s, alone_s=0.1, server_cpu_s=0.0
    )


@pytest.mark.parametrize(
    ("waiting_s", "cpu_s", "limits", "settings", "said"),
    [
        (0.2, 0.001, SiteLimits(), "MODE=async CONCURRENT_REQUESTS=64", "site's owner"),
        (0.2, 0.02, SiteLimits(), None, "all cores are busy"),
        (
            *(0.5, 0.01, SiteLimits(in_flight=9)),
            "MODE=async CONCURRENT_REQUESTS=9",
            "the site does not allow it",
        ),
        (
            *(0.2, 0.001, SiteLimits(rate_per_s=19.0)),
            "MODE=async CONCURRENT_REQUESTS=4",
            "requests per second is reached",
        ),
        (0.0, 1.0, SiteLimits(), "MODE=parallel CONCURCRAWL_WORKERS=4", "all cores"),
        (0.0, 1.0, SiteLimits(in_flight=1), "MODE=serial", "the site does not allow"),
    ],
)
def test_what_to_use(
    waiting_s: float, cpu_s: float, limits: SiteLimits, settings: str | None, said: str
) -> None:
    found = advise(cost(waiting_s, cpu_s), cores=4, limits=limits)
    if settings is not None:
        assert " ".join(found.settings) == settings
    assert said in found.reason
    assert found.gain >= 1


def test_both_are_used_where_both_are_needed() -> None:
    found = advise(cost(0.2, 0.02), cores=4, limits=SiteLimits())
    assert (found.mode, found.processes) == ("hybrid", 4)
    assert found.settings[0] == "MODE=hybrid"
    assert found.pages_per_s == pytest.approx(4 / 0.02, rel=0.1)


def test_one_core_never_gets_a_second_process() -> None:
    found = advise(cost(0.2, 0.02), cores=1, limits=SiteLimits())
    assert (found.mode, found.processes) == ("async", 1)


def test_pages_that_are_known_one_after_the_other_get_no_company() -> None:
    chain = replace(cost(0.2, 0.05), pages=1, alone=4, alone_s=1.0)
    found = advise(chain, cores=4, limits=SiteLimits())
    assert (found.settings, found.gain) == (("MODE=serial",), 1.0)
    assert found.pages_per_s == pytest.approx(5 / 1.25)
    assert found.reason.startswith("4 of 5 requests were known only when the one")


def test_requests_that_failed_tell_nothing(tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/list.html"
    options = ["--site", closed, "--pages", "2", "-s", "RETRY_ENABLED=0"]
    options += ["-s", "ROBOTSTXT_OBEY=0", "--out", str(tmp_path / "advice")]
    done = concurcrawl("advise", *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no serial run shows what a page costs: " in done.stderr


def test_the_command_makes_a_run_and_says_what_to_use(tmp_path: Path) -> None:
    out = str(tmp_path / "advice")
    done = concurcrawl("advise", "--pages", "4", "--latency", "0", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Pages are saved: use -s MODE=")
    assert "times as fast as serial" in done.stdout
    again = concurcrawl("advise", "--from", out)
    assert again.stdout == done.stdout


def test_a_record_that_is_none_is_told(tmp_path: Path) -> None:
    done = concurcrawl("advise", "--from", str(tmp_path))
    assert done.returncode == 2
    assert "must be a folder that concurcrawl compare has written" in done.stderr
