from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from concurcrawl.limits.retry_after import LONGEST_S, parse

NOW_S = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (b"0", 0),
        (b"120", 120),
        (b"  120\t", 120),
        (b"0" * 30 + b"120", 120),
        (b"Wed, 01 Jul 2026 12:00:30 GMT", 30),
        (b"Wed, 01 Jul 2026 14:00:30 +0200", 30),
        (b"Wed, 01 Jul 2026 12:00:30 -0000", 30),
        (b"Wednesday, 01-Jul-26 12:00:30 GMT", 30),
        (b"Wed Jul  1 12:00:30 2026", 30),
        (b"Wed, 01 Jul 2026 11:00:00 GMT", 0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_seconds_and_all_three_forms_of_dates_are_understood(
    value: bytes, expected_s: float
) -> None:
    assert parse(value, NOW_S) == expected_s


@pytest.mark.parametrize("value", [b"9" * 400, b"Fri, 31 Dec 9999 23:59:59 GMT"])
def test_what_no_site_can_mean_is_bounded(value: bytes) -> None:
    assert parse(value, NOW_S) == LONGEST_S


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"soon",
        b"-5",
        b"+5",
        b"1.5",
        b"1e3",
        b"1_000",
        b"5, 10",
        b"inf",
        b"nan",
        "\u0663".encode(),  # a digit three, but not of ASCII
        b"\xff\xfe",
        b"Wed, 99 Jul 2026 12:00:00 GMT",
        b"Wed, 01 Jul 2026 25:00:00 GMT",
        b"Wed, 01 Jul 2026 12:00:00 +9999",
        b"Wed, 01 Jul 99999 12:00:00 GMT",
    ],
)
def test_what_cannot_be_understood_says_nothing(value: bytes | None) -> None:
    assert parse(value, NOW_S) is None


@given(st.integers(min_value=0, max_value=int(LONGEST_S)))
def test_any_number_of_seconds_is_that_number(seconds: int) -> None:
    assert parse(b"%d" % seconds, NOW_S) == seconds


@given(st.integers(min_value=0, max_value=int(LONGEST_S)))
def test_any_date_to_come_is_the_seconds_until_then(seconds: int) -> None:
    then = datetime.fromtimestamp(NOW_S + seconds, UTC)
    assert parse(format_datetime(then, usegmt=True).encode(), NOW_S) == seconds


_DATELIKE = st.from_regex(
    rb"(Wed,? )?[0-9]{1,5}[ -](Jul|Feb|[0-9]{1,3})[ -][0-9]{1,6}"
    rb"( [0-9:.]{1,12})?( [+-][0-9]{1,6}| GMT| [A-Z]{1,4})?",
    fullmatch=True,
)


@given(
    st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode), _DATELIKE),
    st.floats(min_value=0, max_value=4e9),
)
@example(b"Mon, 01 Jan 0001 00:00:00 +2359", 0.0)
@example(b"Fri, 31 Dec 9999 23:59:59 -2359", 0.0)
def test_whatever_a_site_sends_is_a_bounded_number_or_nothing(
    value: bytes, now_s: float
) -> None:
    wait_s = parse(value, now_s)
    assert wait_s is None or 0 <= wait_s <= LONGEST_S
