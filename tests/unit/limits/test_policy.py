from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.robotstxt import ProtegoRobotParser, PythonRobotParser, RobotParser
from scrapy.settings import Settings

from concurcrawl.errors import ConfigError, ControlError
from concurcrawl.limits.limiter import NONE_AT_ALL, GroupLimits, Throttle, Written
from concurcrawl.limits.policy import (
    WHOLE_GROUP,
    Politeness,
    Profile,
    delay_of,
    host_of,
)
from concurcrawl.limits.wikimedia import PROFILE


def politeness(**settings: Any) -> Politeness:
    return Politeness.from_settings(Settings(settings))


class TestGroups:
    def test_a_host_is_a_group_of_its_own(self) -> None:
        found = politeness()
        assert found.group_of("https://a.test:8000/x", None) == "a.test"
        assert found.group_of("http://A.test./", None) == "a.test"
        assert found.group_of("https://www.a.test/", None) == "www.a.test"

    def test_a_slot_that_somebody_chose_is_the_group(self) -> None:
        assert politeness().group_of("https://a.test/", "slow ones") == "slow ones"

    def test_a_slot_that_scrapy_noted_itself_does_not_take_a_host_from_its_group(
        self,
    ) -> None:
        found = politeness(CONCURCRAWL_HOST_GROUPS={"both": ["a.test", "b.test"]})
        assert found.group_of("https://a.test/", "a.test") == "both"
        assert found.group_of("https://a.test/", "mine") == "mine"

    @pytest.mark.parametrize("written", ["a.test", "*.a.test", ".a.test", "A.TEST"])
    def test_a_host_of_a_group_stands_for_its_subdomains(self, written: str) -> None:
        found = politeness(CONCURCRAWL_HOST_GROUPS={"shop": [written]})
        groups = [
            found.group_of(f"https://{host}/", None)
            for host in ("a.test", "www.a.test", "x.y.a.test", "nota.test", "test")
        ]
        assert groups == ["shop", "shop", "shop", "nota.test", "test"]

    def test_the_nearest_domain_counts(self) -> None:
        groups = {"wide": ["a.test"], "near": ["img.a.test"]}
        found = politeness(CONCURCRAWL_HOST_GROUPS=groups)
        assert found.group_of("https://x.img.a.test/", None) == "near"
        assert found.group_of("https://x.a.test/", None) == "wide"

    def test_a_host_in_two_groups_is_refused(self) -> None:
        groups = {"one": ["a.test"], "two": ["*.a.test"]}
        with pytest.raises(ConfigError) as raised:
            politeness(CONCURCRAWL_HOST_GROUPS=groups)
        assert raised.value.expected == (
            "groups without common hosts, but a.test is in one and in two"
        )

    @pytest.mark.parametrize("url", ["", "data:,x", "http://[::1", "file:///x", "x"])
    def test_what_has_no_host_is_in_the_group_without_a_name(self, url: str) -> None:
        assert host_of(url) == politeness().group_of(url, None) == ""

    @given(st.text(), st.none() | st.text())
    def test_any_text_has_a_group(self, url: str, slot: str | None) -> None:
        assert isinstance(politeness().group_of(url, slot), str)


class TestProfiles:
    @pytest.mark.parametrize(
        "host", ["en.wikipedia.org", "upload.wikimedia.org", "wikidata.org.", "w.wiki"]
    )
    @pytest.mark.parametrize("slot", [None, "en.wikipedia.org", "mine"])
    def test_all_sites_of_wikimedia_are_one_group_that_no_slot_divides(
        self, host: str, slot: str | None
    ) -> None:
        found = politeness()
        assert found.group_of(f"https://{host}/wiki/Malta", slot) == "wikimedia"
        assert found.profile_of(f"https://{host}/wiki/Malta") is PROFILE

    def test_other_sites_have_no_profile(self) -> None:
        for host in ("notwikipedia.org", "wikipedia.org.a.test", "127.0.0.1"):
            assert politeness().profile_of(f"https://{host}/") is None

    @pytest.mark.parametrize("off", ["none", "", [], "[]"])
    def test_profiles_can_be_switched_off(self, off: object) -> None:
        found = politeness(CONCURCRAWL_PROFILES=off)
        url = "https://en.wikipedia.org/"
        assert found.profile_of(url) is None
        assert found.group_of(url, None) == "en.wikipedia.org"
        assert not found.needs_asking("wikimedia")

    @pytest.mark.parametrize(
        "own",
        [
            "tests.support.polite.profiles.STRICT",
            ["tests.support.polite.profiles.STRICT"],
        ],
    )
    def test_a_profile_of_the_users_own_is_given_by_its_import_path(
        self, own: object
    ) -> None:
        profile = politeness(CONCURCRAWL_PROFILES=own).profile_of("http://127.0.0.1/")
        assert profile is not None
        assert profile.name == "strict"

    def test_a_profile_can_be_given_as_it_is_and_the_later_counts(self) -> None:
        mine = Profile(name="wikimedia", hosts=("wikipedia.org",), in_flight=1)
        found = politeness(CONCURCRAWL_PROFILES=["wikimedia", mine])
        assert found.profile_of("https://en.wikipedia.org/") is mine
        assert found.profile_of("https://wikidata.org/") is None
        assert found.limits_of("wikimedia").in_flight == 1

    @pytest.mark.parametrize("hosts", [["en.wikipedia.org"], ["org"], ["wikidata.org"]])
    def test_a_group_that_has_a_host_of_a_profile_has_them_all_and_its_limits(
        self, hosts: list[str]
    ) -> None:
        found = politeness(CONCURCRAWL_HOST_GROUPS={"mine": ["a.test", *hosts]})
        for host in ("a.test", "en.wikipedia.org", "de.wikipedia.org", "wikidata.org"):
            assert found.group_of(f"https://{host}/", None) == "mine"
        assert found.limits_of("mine").in_flight == 3

    def test_groups_that_would_divide_a_profile_are_refused(self) -> None:
        groups = {"one": ["de.wikipedia.org"], "two": ["en.wikipedia.org"]}
        with pytest.raises(ConfigError) as raised:
            politeness(CONCURCRAWL_HOST_GROUPS=groups)
        assert raised.value.expected == (
            "groups that do not divide the hosts of the profile wikimedia, whose "
            "limits are of all its hosts together, but it is in one and two"
        )


class TestLimits:
    def test_nothing_set_limits_nothing_but_profiles(self) -> None:
        found = politeness()
        assert not found.needs_asking("a.test")
        assert found.limits_of("a.test") == GroupLimits(jitter=0.5)
        assert found.needs_asking("wikimedia")

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"CONCURCRAWL_PER_GROUP": 4}, {"in_flight": 4}),
            ({"DOWNLOAD_DELAY": "0.25"}, {"delay_s": 0.25}),
            ({"CONCURCRAWL_RATE": 2, "CONCURCRAWL_BURST": 5}, {"rate_per_s": 2.0}),
            (
                {
                    "AUTOTHROTTLE_ENABLED": True,
                    "AUTOTHROTTLE_START_DELAY": 1,
                    "AUTOTHROTTLE_MAX_DELAY": 9,
                    "AUTOTHROTTLE_TARGET_CONCURRENCY": 2,
                },
                {"throttle": Throttle(target=2.0, start_delay_s=1.0, max_delay_s=9.0)},
            ),
            (
                {"DOWNLOAD_SLOTS": {"a.test": {"concurrency": 1, "delay": 3}}},
                {"in_flight": 1, "delay_s": 3.0},
            ),
        ],
    )
    def test_each_limit_of_the_users_makes_the_crawl_strict(
        self, settings: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        found = politeness(**settings)
        assert found.needs_asking("a.test")
        limits = found.limits_of("a.test")
        assert {name: getattr(limits, name) for name in expected} == expected

    def test_pauses_have_the_bound_that_is_set(self) -> None:
        found = politeness(CONCURCRAWL_MAX_PAUSE_S=7)
        assert found.limits_of("a.test").max_pause_s == 7
        assert found.limits_of("wikimedia").max_pause_s == 7

    @pytest.mark.parametrize(
        ("settings", "jitter"),
        [
            ({}, 0.5),
            ({"DOWNLOAD_DELAY_JITTER": 0.1}, 0.1),
            ({"RANDOMIZE_DOWNLOAD_DELAY": False}, 0.0),
            ({"RANDOMIZE_DOWNLOAD_DELAY": True}, 0.5),
            ({"RANDOMIZE_DOWNLOAD_DELAY": False, "DOWNLOAD_DELAY_JITTER": 0.1}, 0.1),
        ],
    )
    def test_the_jitter_is_read_as_scrapy_reads_it(
        self, settings: dict[str, Any], jitter: float
    ) -> None:
        assert politeness(**settings).limits_of("a.test").jitter == jitter

    def test_a_throttle_without_a_target_is_off_as_in_scrapy(self) -> None:
        found = politeness(AUTOTHROTTLE_ENABLED=True, AUTOTHROTTLE_TARGET_CONCURRENCY=0)
        assert not found.needs_asking("a.test")

    def test_a_slot_of_one_host_of_a_group_can_only_make_the_group_stricter(
        self,
    ) -> None:
        found = politeness(
            CONCURCRAWL_PER_GROUP=4,
            CONCURCRAWL_HOST_GROUPS={"both": ["a.test", "b.test"]},
            DOWNLOAD_SLOTS={
                "a.test": {"concurrency": 8, "delay": 2},
                "b.test": {"concurrency": 2},
                "alone.test": {"concurrency": 8, "randomize_delay": False},
            },
        )
        both, alone = found.limits_of("both"), found.limits_of("alone.test")
        assert (both.in_flight, both.delay_s) == (2, 2.0)
        assert (alone.in_flight, alone.jitter) == (8, 0.0)

    @pytest.mark.parametrize(
        ("settings", "in_flight", "rate_per_s", "delay_s"),
        [
            ({}, 3, 5.0, 0.0),
            ({"CONCURCRAWL_PER_GROUP": 1}, 1, 5.0, 0.0),
            ({"CONCURCRAWL_PER_GROUP": 8}, 8, 5.0, 0.0),
            ({"CONCURCRAWL_PER_GROUP": 64}, 9, 5.0, 0.0),
            ({"CONCURCRAWL_RATE": 0.5}, 3, 0.5, 0.0),
            ({"CONCURCRAWL_RATE": 12}, 3, 12.0, 0.0),
            ({"CONCURCRAWL_RATE": 500, "CONCURCRAWL_BURST": 500}, 3, 19.0, 0.0),
            ({"DOWNLOAD_DELAY": 2}, 3, 19.0, 2.0),
            ({"DOWNLOAD_DELAY": 0.001}, 3, 19.0, 0.001),
            (
                {"DOWNLOAD_SLOTS": {"en.wikipedia.org": {"concurrency": 50}}},
                9,
                5.0,
                0.0,
            ),
        ],
    )
    def test_on_wikimedia_the_users_own_limits_count_up_to_the_highest_allowed(
        self,
        settings: dict[str, Any],
        in_flight: int,
        rate_per_s: float,
        delay_s: float,
    ) -> None:
        limits = politeness(**settings).limits_of("wikimedia")
        assert (limits.in_flight, limits.rate_per_s) == (in_flight, rate_per_s)
        assert (limits.delay_s, limits.burst, limits.min_pause_s) == (delay_s, 1, 5.0)

    @given(
        st.integers(0, 1000),
        st.floats(0, 1000, allow_subnormal=False),
        st.floats(0, 10),
        st.integers(1, 100),
    )
    def test_nothing_that_is_set_breaks_wikimedia_s_rules(
        self, in_flight: int, rate: float, delay_s: float, burst: int
    ) -> None:
        limits = politeness(
            CONCURCRAWL_PER_GROUP=in_flight,
            CONCURCRAWL_RATE=rate,
            CONCURCRAWL_BURST=burst,
            DOWNLOAD_DELAY=delay_s,
        ).limits_of("wikimedia")
        assert 1 <= limits.in_flight <= 9
        assert 0 < limits.rate_per_s < 20
        assert limits.burst == 1
        assert limits.delay_s == delay_s

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"DOWNLOAD_DELAY": "x"}, "DOWNLOAD_DELAY='x': must be a number >= 0"),
            ({"DOWNLOAD_DELAY": -1}, "DOWNLOAD_DELAY=-1: must be a number >= 0"),
            (
                {"DOWNLOAD_SLOTS": {"a.test": {"delay": "long"}}},
                (
                    "DOWNLOAD_SLOTS={'delay': 'long'}: must be for each slot a dict "
                    "of numbers: concurrency, delay, jitter"
                ),
            ),
            (
                {"CONCURCRAWL_PROFILES": [7]},
                (
                    "CONCURCRAWL_PROFILES=7: must be wikimedia, none, or import paths "
                    "of Profile records"
                ),
            ),
        ],
    )
    def test_what_cannot_be_worked_with_is_named(
        self, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError) as raised:
            politeness(**settings)
        assert str(raised.value) == message


class TestDelayOfRobots:
    @pytest.mark.parametrize("parser", [ProtegoRobotParser, PythonRobotParser])
    @pytest.mark.parametrize(
        ("rules", "delay_s"),
        [
            ("Disallow: /x", None),
            ("Crawl-delay: 3", 3.0),
            ("Crawl-delay: 0", None),
            ("Crawl-delay: nan", None),
            ("Request-rate: 1/5", 5.0),
            ("Request-rate: 4/2", 0.5),
            ("Crawl-delay: 1\nRequest-rate: 1/10", 10.0),
            ("Crawl-delay: 20\nRequest-rate: 1/10", 20.0),
            ("Request-rate: 0/5", None),
        ],
    )
    @pytest.mark.parametrize("agent", ["census/1.0", b"census/1.0"])
    def test_the_longer_of_crawl_delay_and_request_rate_counts(
        self,
        parser: type[ProtegoRobotParser | PythonRobotParser],
        rules: str,
        delay_s: float | None,
        agent: str | bytes,
    ) -> None:
        robots = parser(f"User-agent: *\n{rules}\n".encode(), None)
        assert delay_of(robots, agent) == delay_s

    def test_a_parser_that_knows_of_no_delays_asks_for_none(self) -> None:
        class Plain(RobotParser):
            @classmethod
            def from_crawler(cls, crawler: object, robotstxt_body: bytes) -> Plain:
                return cls()

            def allowed(self, url: str | bytes, user_agent: str | bytes) -> bool:
                return True

        assert delay_of(Plain(), "census/1.0") is None


class TestSlots:
    """What a project writes to slots of the downloader."""

    @pytest.mark.parametrize("slot", ["api@a.test", "Slow Ones", "a.test:8000"])
    def test_a_slot_of_any_name_is_a_group(self, slot: str) -> None:
        found = politeness(DOWNLOAD_SLOTS={slot: {"delay": 2}})
        assert found.limits_of(found.group_of("http://a.test/", slot)).delay_s == 2
        assert found.limits_of("a.test").delay_s == 0
        assert found.group_of_slot(slot) == slot
        assert found.group_of_slot(slot, "http://a.test/") == slot

    def test_a_slot_with_the_name_of_a_host_is_the_group_of_the_host(self) -> None:
        found = politeness(CONCURCRAWL_HOST_GROUPS={"shop": ["a.test"]})
        assert found.group_of_slot("www.a.test") == "shop"
        assert found.group_of_slot("b.test", "http://b.test/") == "b.test"
        page = "https://en.wikipedia.org/wiki/A"
        assert found.group_of_slot("mine", page) == PROFILE.name

    def test_what_is_written_replaces_what_was_written_before(self) -> None:
        found = politeness(DOWNLOAD_DELAY=3, CONCURCRAWL_RATE=2)
        for written, delay_s, in_flight in (
            (Written(delay_s=5), 5, 0),
            (Written(concurrency=2), 5, 2),
            (Written(delay_s=0, jitter=0.1), 0, 2),
            (Written(delay_s=-1, concurrency=0), 0, NONE_AT_ALL),
        ):
            limits = found.write("a.test", "a.test", written)
            assert (limits.delay_s, limits.in_flight) == (delay_s, in_flight)
            assert limits == found.limits_of("a.test")
        assert limits.jitter == 0.1
        assert limits.rate_per_s == 2
        assert found.limits_of("b.test").delay_s == 3

    def test_of_several_slots_in_a_group_the_strictest_counts(self) -> None:
        groups = {"shop": ["a.test", "b.test"]}
        found = politeness(CONCURCRAWL_HOST_GROUPS=groups, DOWNLOAD_DELAY=1)
        found.write("shop", "a.test", Written(delay_s=5, concurrency=3))
        found.write("shop", "b.test", Written(delay_s=2, concurrency=1))
        assert found.limits_of("shop").delay_s == 5
        assert found.limits_of("shop").in_flight == 1
        found.write("shop", "a.test", Written(delay_s=0))
        assert found.limits_of("shop").delay_s == 2
        found.write("shop", "b.test", Written(delay_s=0))
        assert found.limits_of("shop").delay_s == 1

    def test_what_a_profile_forbids_stays_forbidden(self) -> None:
        found, group = politeness(), PROFILE.name
        slot = "en.wikipedia.org"
        loose = found.write(group, slot, Written(delay_s=0.001, concurrency=1000))
        assert loose.in_flight == PROFILE.max_in_flight
        assert loose.rate_per_s == PROFILE.max_rate_per_s
        strict = found.write(group, slot, Written(delay_s=7, concurrency=1))
        assert (strict.delay_s, strict.in_flight) == (7, 1)

    def test_a_group_with_a_written_limit_asks(self) -> None:
        found = politeness()
        assert not found.needs_asking("a.test")
        found.write("a.test", "a.test", Written(concurrency=1))
        assert found.needs_asking("a.test")
        assert not found.is_paced("a.test")
        found.write("a.test", "a.test", Written(delay_s=1))
        assert found.is_paced("a.test")


class TestSteering:
    def test_what_is_said_of_the_whole_group_counts_also_if_it_is_looser(self) -> None:
        found = politeness(
            CONCURCRAWL_HOST_GROUPS={"shop": ["a.test", "b.test"]}, DOWNLOAD_DELAY=2
        )
        found.write("shop", "a.test", Written(delay_s=3, concurrency=1))
        limits = found.write("shop", WHOLE_GROUP, Written(delay_s=0.5, concurrency=4))
        assert (limits.delay_s, limits.in_flight) == (0.5, 4)
        limits = found.write("shop", "b.test", Written(delay_s=5))
        assert (limits.delay_s, limits.in_flight) == (0.5, 4)

    @pytest.mark.parametrize(
        ("in_flight", "delay_s"), [(10, None), (9, 0.01), (None, 0.0)]
    )
    def test_what_a_profile_forbids_is_refused(
        self, in_flight: int | None, delay_s: float | None
    ) -> None:
        with pytest.raises(ControlError, match="the profile wikimedia allows at most"):
            politeness().require_allowed("wikimedia", in_flight, delay_s)

    def test_what_a_profile_allows_is_not(self) -> None:
        politeness().require_allowed("wikimedia", 1, 10.0)
        politeness().require_allowed("a.test", 1000, 0.0)
