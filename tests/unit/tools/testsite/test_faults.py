from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.limits import retry_after
from concurcrawl.tools.testsite.faults import (
    KINDS,
    Faults,
    RetryAfter,
    draw,
    parse_faults,
    parse_retry_after,
)

SHARES = parse_faults(
    "429:0.1,500:0.1,cut:0.05,stall:0.02,short:0.05,slow:0.1,garbage:0.02"
)
KINDS_SENTENCE = (
    "must be KIND:SHARE, KIND:SHARE, ... with shares from 0 to 1, together 1 at most,"
    " and each kind once, of 429, 500, 503, cut, stall, short, slow, garbage, badzip"
)
WAIT_SENTENCE = "must be whole seconds from 0 to 86400, date, date:SECONDS or none"


def test_shares_are_read() -> None:
    assert parse_faults("429:0.1, cut : 1e-2") == (("429", 0.1), ("cut", 0.01))
    assert parse_faults("") == ()
    assert len(parse_faults(",".join(f"{kind}:0.1" for kind in KINDS))) == 9
    assert len(parse_faults("429:0.7,500:0.2,503:0.1")) == 3  # one, all together


@pytest.mark.parametrize(
    "text",
    [
        "cut", "cut:", "cut:x", "cut:-0.1", "cut:1.1", "cut:nan", "cut:inf",
        "nap:0.1", ":0.1", "cut:0.1,", ",", "cut:0.1,cut:0.1", "cut:0.6,slow:0.5",
        "cut=0.1", "cut:0.1;slow:0.1",
    ],
)  # fmt: skip
def test_other_shares_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_faults(text)

    assert str(caught.value) == f"--fault={text!r}: {KINDS_SENTENCE}"


def test_each_fault_has_its_share_of_first_requests() -> None:
    faults = Faults(SHARES)

    seen = Counter(faults.next("a", f"/wiki/{number}") for number in range(20_000))

    for kind, share in SHARES:
        assert seen[kind] / 20_000 == pytest.approx(share, abs=0.006)  # > 3 sigma
    assert seen[None] / 20_000 == pytest.approx(0.56, abs=0.015)


def test_draws_are_even_and_below_one() -> None:
    draws = [draw(7, "/wiki/Peru", nth) for nth in range(10_000)]

    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.01)


def test_draws_are_the_same_on_every_machine() -> None:
    assert draw(0, "/wiki/Peru", 1) == 0.7468559211159587


def test_the_order_of_requests_makes_no_difference() -> None:
    asked = [(f"host{h}", f"/{p}") for h in range(2) for p in range(50)] * 5
    answers = []
    for order in range(3):
        Random(order).shuffle(asked)
        faults = Faults(SHARES, times=3)
        by_path: dict[tuple[str, str], list[str | None]] = {}
        for host, path in asked:
            by_path.setdefault((host, path), []).append(faults.next(host, path))
        answers.append(by_path)

    assert answers[0] == answers[1] == answers[2]
    kinds = {kind for row in answers[0].values() for kind in row}
    assert len(kinds) == len(SHARES) + 1  # or nothing was compared


def test_another_seed_hits_other_pages() -> None:
    hit = [
        {p for p in range(200) if Faults(SHARES, seed=seed).next("a", f"/{p}")}
        for seed in (1, 2)
    ]

    assert hit[0] != hit[1]
    assert all(hit)


@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_a_page_misbehaves_so_often_and_no_more(times: int) -> None:
    always = Faults((("cut", 1.0),), times)
    answers = [always.next("a", "/") for _ in range(10)]
    assert answers == ["cut"] * times + [None] * (10 - times)

    often = Faults((("cut", 0.5),), times)
    answers = [often.next("a", "/") for _ in range(100)]
    assert answers.count("cut") == times


def test_each_host_has_its_own_times() -> None:
    faults = Faults((("cut", 1.0),), 1)

    answers = [faults.next(host, "/") for host in ("a", "b", "a", "b")]

    assert answers == ["cut", "cut", None, None]


def test_a_restart_begins_again() -> None:
    faults = Faults(SHARES)
    rounds = []
    for _ in range(2):
        rounds.append([faults.next("a", f"/{n % 100}") for n in range(300)])
        faults.restart()

    assert rounds[0] == rounds[1]


def test_without_shares_nothing_is_wrong() -> None:
    assert {Faults().next("a", f"/{number}") for number in range(100)} == {None}


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("0", RetryAfter("seconds", 0)),
        ("86400", RetryAfter("seconds", 86400)),
        ("date", RetryAfter("date", 1)),
        ("date:5", RetryAfter("date", 5)),
        ("none", RetryAfter("none", 0)),
    ],
)
def test_a_pause_is_read(text: str, asked: RetryAfter) -> None:
    assert parse_retry_after(text) == asked


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "86401", "9" * 5000, "date:", "date:x", "never", "²", "٣"]
)
def test_another_pause_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_retry_after(text)

    assert str(caught.value) == f"--retry-after={text!r}: {WAIT_SENTENCE}"


@pytest.mark.parametrize("now_s", [1_000_000.0, 1_000_000.4, 1_000_000.999])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_says_what_it_means(form: str, now_s: float) -> None:
    header = parse_retry_after("3" if form == "seconds" else "date:3").header(now_s)

    assert header is not None
    text, pause_s = header
    assert retry_after.parse(text.encode(), now_s) == pytest.approx(pause_s, abs=1e-6)
    assert 3 <= pause_s < 4
    assert text.endswith("GMT") == (form == "date")


def test_no_pause_has_no_header() -> None:
    assert RetryAfter("none", 0).header(0) is None
