from __future__ import annotations

import pytest

from concurcrawl.progress.rates import (
    DASH,
    Rates,
    Row,
    Sight,
    Tally,
    duration,
    plain_line,
    unanswered,
)


def sight(
    elapsed_s: float,
    pages: int,
    waiting: int | None = 0,
    *,
    workers: tuple[Row, ...] = (),
    is_starting: bool = False,
) -> Sight:
    total = Row("total", Tally(pages=pages, errors=2, retries=1), 0)
    return Sight(elapsed_s, workers, total, waiting, is_starting)


def seen(*sights: Sight) -> Rates:
    rates = Rates()
    for one in sights:
        rates.see(one)
    return rates


def test_a_status_tells_pages_from_errors() -> None:
    tally = Tally()
    for status in (200, 304, 404, 500):
        tally.answered(status)
    assert tally == Tally(pages=2, errors=2)


def test_an_exception_that_is_retried_is_no_error_yet() -> None:
    stats = {
        "downloader/exception_count": 5,
        "downloader/exception_type_count/scrapy.exceptions.IgnoreRequest": 1,
        "retry/count": 4,
        "retry/reason_count/scrapy.exceptions.DownloadTimeoutError": 3,
        "retry/reason_count/503 Service Unavailable": 1,
    }
    assert unanswered(stats) == Tally(errors=1, retries=4)


def test_a_rate_is_of_the_last_seconds() -> None:
    rates = seen(*(sight(float(s), 10 * s if s < 20 else 200) for s in range(41)))
    total = sight(0, 0).total
    assert rates.pages_per_s(total) == 0.0
    assert seen(sight(0, 0), sight(2, 10)).pages_per_s(total) == 5.0
    assert seen(sight(0, 0), sight(0.1, 10)).pages_per_s(total) is None


def test_a_worker_that_was_not_there_yet_has_no_rate() -> None:
    row = Row("worker-3", Tally(pages=9), 1)
    rates = seen(sight(0, 0), sight(3, 3, workers=(row,)))
    assert rates.pages_per_s(row) is None


def test_the_time_left_is_what_is_open_at_the_pace_it_gets_less() -> None:
    rates = seen(*(sight(float(s), s, 100 - 2 * s) for s in range(11)))
    assert rates.left_s() == pytest.approx(80 / 2)


@pytest.mark.parametrize(
    "sights",
    [
        [sight(0, 0, 1), sight(5, 10, 100)],  # a list page has just come
        [sight(float(s), s, 50) for s in range(9)],  # as many come as go
        [sight(0, 0, None), sight(5, 10, None)],
        [sight(0, 0, 9), sight(5, 5, 4, is_starting=True)],
        [sight(0, 0, 9)],
    ],
)
def test_what_would_be_a_guess_is_not_told(sights: list[Sight]) -> None:
    assert seen(*sights).left_s() is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, DASH), (0.4, "0:00"), (61, "1:01"), (3599.6, "1:00:00"), (7323, "2:02:03")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_plain_line_says_it_all() -> None:
    workers = (Row("worker-1", Tally(pages=6), 1), Row("worker-2", Tally(pages=4), 0))
    last = sight(5, 10, 40, workers=workers)
    rates = seen(sight(0, 0, 50), last)
    assert plain_line("shop", last, rates) == (
        "shop 0:05: 10 pages, 2.0 pages/s, 0 in flight, 2 errors, 1 retries, "
        "40 waiting, 0:20 left (worker-1 6, worker-2 4)"
    )
    assert plain_line("shop", last, rates, is_over=True) == (
        "shop 0:05 done: 10 pages, 2.0 pages/s, 2 errors, 1 retries "
        "(worker-1 6, worker-2 4)"
    )
