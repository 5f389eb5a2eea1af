"""Jars of cookies, and cookies in them."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

from scrapy import Request
from scrapy.http import Response
from scrapy.http.cookies import CookieJar

from concurcrawl.compat.cookies import SuccessorJar, find, rest_of

URL = "http://a.example/"


def test_a_cookie_is_found_with_what_no_standard_knows() -> None:
    jar = CookieJar()
    header = {"Set-Cookie": "a=1; HttpOnly; priority=High"}
    jar.extract_cookies(Response(URL, headers=header), Request(URL))
    found = find(jar.jar, ("a.example", "/", "a"))
    assert found is not None
    assert found.value == "1"
    assert rest_of(found) == {"HttpOnly": None, "priority": "High"}
    assert find(jar.jar, ("a.example", "/", "b")) is None


def test_a_jar_takes_over_the_policy_and_the_lock_of_another() -> None:
    policy = DefaultCookiePolicy(blocked_domains=["a.example"])
    replaced = CookieJar(policy=policy)
    jar = CookieJar()
    jar.jar = SuccessorJar(replaced.jar)
    header = {"Set-Cookie": "a=1"}
    jar.extract_cookies(Response(URL, headers=header), Request(URL))
    assert len(jar.jar) == 0
    other = Request("http://b.example/")
    jar.extract_cookies(Response(other.url, headers=header), other)
    assert len(jar.jar) == 1
    assert vars(jar.jar)["_cookies_lock"] is vars(replaced.jar)["_cookies_lock"]
