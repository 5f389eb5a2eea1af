from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http import Response

from concurcrawl.workers.protocol.cookies import CookieChange, SharedCookies

if TYPE_CHECKING:
    from collections.abc import Sequence

PAST = "Thu, 01 Jan 1970 00:00:01 GMT"


class Process:
    """The cookies of one process, driven as Scrapy's downloader drives them."""

    def __init__(self, *, has_cookies: bool = True) -> None:
        self.middleware = CookiesMiddleware() if has_cookies else None
        self.cookies = SharedCookies(self)  # type: ignore[arg-type]

    def get_downloader_middleware(self, kind: type[Any]) -> Any:
        assert kind is CookiesMiddleware
        return self.middleware

    def receive(
        self, *cookies: str, url: str = "http://a.example/", jar: Any = None
    ) -> None:
        assert self.middleware is not None
        request = Request(url, meta={"cookiejar": jar})
        response = Response(url, headers={"Set-Cookie": list(cookies)})
        self.middleware.process_response(request, response)

    def sends(self, url: str = "http://a.example/", jar: Any = None) -> set[bytes]:
        """Return the cookies that a request to *url* goes out with."""
        assert self.middleware is not None
        request = Request(url, meta={"cookiejar": jar})
        self.middleware.process_request(request)
        return set((request.headers.get("Cookie") or b"").split(b"; ")) - {b""}


def travelled(changes: Sequence[CookieChange]) -> list[CookieChange]:
    """Return *changes* as they are after the trip to another process."""
    copies: list[CookieChange] = pickle.loads(pickle.dumps(list(changes)))
    return copies


@pytest.fixture
def ours() -> Process:
    return Process()


@pytest.fixture
def theirs() -> Process:
    return Process()


def test_a_cookie_that_one_process_got_is_sent_by_another(
    ours: Process, theirs: Process
) -> None:
    ours.receive("session=1; Path=/", "colour=red; Path=/")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.sends() == {b"session=1", b"colour=red"}


def test_a_cookie_goes_only_where_it_may(ours: Process, theirs: Process) -> None:
    ours.receive("a=1; Path=/deep", "b=2; Secure")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.sends() == set()
    assert theirs.sends("http://a.example/deep/er") == {b"a=1"}
    assert theirs.sends("https://a.example/") == {b"b=2"}
    assert theirs.sends("http://b.example/deep") == set()


def test_a_change_is_reported_once(ours: Process) -> None:
    ours.receive("a=1")
    assert len(ours.cookies.changes()) == 1
    assert ours.cookies.changes() == []


def test_a_cookie_that_is_what_it_was_is_no_change(ours: Process) -> None:
    ours.receive("a=1")
    ours.cookies.changes()
    ours.receive("a=1")
    assert ours.cookies.changes() == []


def test_a_new_value_is_a_change(ours: Process, theirs: Process) -> None:
    for value in ("1", "2"):
        ours.receive(f"a={value}")
        theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.sends() == {b"a=2"}


def test_a_cookie_that_the_site_drops_is_dropped_everywhere(
    ours: Process, theirs: Process
) -> None:
    ours.receive("a=1", "b=2")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    ours.receive(f"a=; Expires={PAST}")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert ours.sends() == theirs.sends() == {b"b=2"}


def test_dropping_what_is_not_there_does_nothing(ours: Process) -> None:
    ours.receive("b=2")
    dropped = CookieChange(None, None, ("a.example", "/", "a"))
    ours.cookies.apply([dropped, dropped])
    assert ours.sends() == {b"b=2"}


def test_what_came_from_another_process_is_not_reported_as_ours(
    ours: Process, theirs: Process
) -> None:
    ours.receive("a=1", "b=2")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    ours.receive(f"a=; Expires={PAST}")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.cookies.changes() == []


def test_our_own_changes_are_still_reported_after_others_are_applied(
    ours: Process, theirs: Process
) -> None:
    ours.receive("a=1")
    theirs.receive("b=2")
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    ours.cookies.apply(travelled(theirs.cookies.changes()))
    assert ours.sends() == theirs.sends() == {b"a=1", b"b=2"}


@pytest.mark.parametrize("jar", [None, 1, "shop", ("a", 2)])
def test_a_jar_of_one_process_is_the_jar_of_that_name_in_all(
    jar: object, ours: Process, theirs: Process
) -> None:
    ours.receive("a=1", jar=jar)
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.sends(jar=jar) == {b"a=1"}
    assert theirs.sends(jar="another") == set()


def test_cookies_of_a_request_are_shared_too(ours: Process, theirs: Process) -> None:
    assert ours.middleware is not None
    request = Request("http://a.example/", cookies={"a": "1"})
    ours.middleware.process_request(request)
    theirs.cookies.apply(travelled(ours.cookies.changes()))
    assert theirs.sends() == {b"a=1"}


def test_a_process_that_starts_late_is_told_everything(
    ours: Process, theirs: Process
) -> None:
    ours.receive("a=1", "b=2")
    ours.receive("c=3", jar="shop")
    ours.receive(f"b=; Expires={PAST}")
    theirs.cookies.apply(travelled(ours.cookies.snapshot()))
    assert (theirs.sends(), theirs.sends(jar="shop")) == ({b"a=1"}, {b"c=3"})


def test_without_the_middleware_there_is_nothing_to_share() -> None:
    process = Process(has_cookies=False)
    process.cookies.apply([CookieChange(None, None, ("a.example", "/", "a"))])
    assert process.cookies.changes() == []
    assert process.cookies.snapshot() == ()


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.sampled_from("123 "))
    )
)
def test_processes_agree_however_cookies_come(
    steps: list[tuple[int, str, str]],
) -> None:
    processes = [Process(), Process(), Process()]
    for number, name, value in steps:
        gone = f"; Expires={PAST}" if value == " " else ""
        processes[number].receive(f"{name}={value.strip()}{gone}")
        changes = travelled(processes[number].cookies.changes())
        for other in processes:
            if other is not processes[number]:
                other.cookies.apply(changes)
                assert other.cookies.changes() == []
    assert processes[0].sends() == processes[1].sends() == processes[2].sends()
    last = {name: value for _, name, value in steps}
    expected = {
        f"{name}={value}".encode() for name, value in last.items() if value != " "
    }
    assert processes[0].sends() == expected
