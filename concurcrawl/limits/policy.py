"""What each site allows: which limits count for which requests.

Pure, but for profiles of the user's own, which are imported when settings are read.

Limits belong to *groups* of hosts. By default a host is a group of its own; a setting
puts several into one, and so does a profile, which is what one site asks of its
crawlers. A profile's group can be made larger by a setting, but not divided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.misc import load_object
from scrapy.utils.python import to_unicode

from concurcrawl.config import PREFIX, Config
from concurcrawl.errors import ConfigError, ControlError
from concurcrawl.limits.limiter import GroupLimits, Throttle, Written
from concurcrawl.option_values import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.robotstxt import RobotParser
    from scrapy.settings import BaseSettings

T = TypeVar("T")

#: Where the profiles that come with this package are.
BUILT_IN = {"wikimedia": "concurcrawl.limits.wikimedia.PROFILE"}

#: Requests in flight in each group, 0 if the project sets no limit. The add-on sets it:
#: Scrapy's own setting has a value in any case.
PER_GROUP = f"{PREFIX}PER_GROUP"

#: In the place of a slot's name: what is written is meant for all hosts of a group.
WHOLE_GROUP = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a site asks of its crawlers.

    Limits are of all its hosts together. A crawl's own settings count where they are
    stricter than the defaults, or looser up to the highest that the site allows.

    Attributes:
        name: Of the group of hosts, and in the log.
        hosts: Domains, which stand for their subdomains too.
        in_flight: Requests at a time if the crawl sets none; 0 means no limit.
        max_in_flight: The highest that a crawl may set; 0 means any.
        rate_per_s: Requests a second on average if the crawl sets none; 0: no limit.
        max_rate_per_s: The highest that a crawl may set; 0 means any.
        min_pause_s: The shortest pause after a 429 or 503 that names none.
        obeys_robots: Is robots.txt obeyed even if ``ROBOTSTXT_OBEY`` is off?
        query_strings: May a page be asked for with a query string?
        cookies: May cookies be kept and sent?
        gzip: Must compressed pages be asked for?
        needs_contact: Must the User-Agent say where its owner can be reached?
    """

    name: str
    hosts: tuple[str, ...]
    in_flight: int = 0
    max_in_flight: int = 0
    rate_per_s: float = 0.0
    max_rate_per_s: float = 0.0
    min_pause_s: float = 1.0
    obeys_robots: bool = False
    query_strings: bool = True
    cookies: bool = True
    gzip: bool = False
    needs_contact: bool = False

    def bound(self, own: GroupLimits) -> GroupLimits:
        """Return the limits of this site for a crawl whose own are *own*."""
        rate_per_s = own.rate_per_s or self.rate_per_s
        if own.delay_s and not own.rate_per_s:
            rate_per_s = self.max_rate_per_s  # the delay says how fast, up to this
        return replace(
            own,
            in_flight=_strictest(own.in_flight or self.in_flight, self.max_in_flight),
            rate_per_s=_strictest(rate_per_s, self.max_rate_per_s),
            burst=1 if self.max_rate_per_s else own.burst,
            min_pause_s=max(own.min_pause_s, self.min_pause_s),
        )


class Politeness:
    """The groups of one crawl and their limits.

    Invariant: all hosts of a profile are in one group, whatever is set.
    """

    def __init__(
        self,
        own: GroupLimits,
        host_groups: Mapping[str, tuple[str, ...]],
        profiles: tuple[Profile, ...],
        slots: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Put hosts into groups.

        Args:
            own: What the crawl's settings say for every group.
            host_groups: Names of groups and their hosts.
            profiles: Of the sites that have one, each of another name. Of two for the
                same host the later counts.
            slots: What ``DOWNLOAD_SLOTS`` says of some groups.

        Raises:
            ConfigError: If a host is in two groups, or two groups share a profile.
        """
        self._own = own
        self._groups = _by_host(host_groups)
        self._profiles = {
            _domain(host): profile for profile in profiles for host in profile.hosts
        }
        self._group_of_profile = {
            profile.name: _group_of(profile, self._groups) for profile in profiles
        }
        self._shared = {*host_groups, *self._group_of_profile.values()}
        self._asked = self._slot_limits(slots)  # of groups, whatever profiles say
        self._limits = dict(self._asked)
        for group in self._group_of_profile.values():
            self._limits[group] = self._bound(group, self._asked.get(group, own))
        #: What was written to slots, by group and slot.
        self.written: dict[str, dict[str, Written]] = {}

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """Read what the user and the sites want.

        Raises:
            ConfigError: If a setting cannot be worked with.
        """
        config = Config.from_settings(settings)
        own = GroupLimits(
            in_flight=int(_number(settings, PER_GROUP)),
            delay_s=_number(settings, "DOWNLOAD_DELAY"),
            jitter=_jitter(settings),
            rate_per_s=config.rate,
            burst=config.burst,
            max_pause_s=config.max_pause_s,
            throttle=_throttle(settings),
        )
        return cls(
            own,
            config.host_groups,
            profiles_of(settings),
            settings.getdict("DOWNLOAD_SLOTS"),
        )

    @property
    def default(self) -> GroupLimits:
        """What groups must not exceed that have no limits of their own."""
        return self._own

    @property
    def is_throttled(self) -> bool:
        """Whether AutoThrottle steers a delay of each group."""
        return self._own.throttle is not None

    def group_of(self, url: str, slot: str | None) -> str:
        """Return the group whose limits a request shares.

        Args:
            url: Of the request.
            slot: Its ``download_slot``. One that is just the host says nothing:
                Scrapy's downloader notes it itself.
        """
        host = host_of(url)
        profile = _find(self._profiles, host)
        if profile is not None:
            return self._group_of_profile[profile.name]
        if slot and slot != host:
            return slot
        return _find(self._groups, host) or host

    def group_of_slot(self, slot: str, url: str | None = None) -> str:
        """Return the group whose limits a slot of Scrapy's downloader stands for.

        Args:
            slot: Its name: a host, or what a ``download_slot`` says.
            url: Of a request in it, if there is one whose ``download_slot`` it is.
        """
        if url is not None and host_of(url) != slot:
            return self.group_of(url, slot)
        profile = _find(self._profiles, slot)
        if profile is not None:
            return self._group_of_profile[profile.name]
        return _find(self._groups, slot) or slot

    def limits_of(self, group: str) -> GroupLimits:
        """Return what *group* must not exceed."""
        return self._limits.get(group, self._own)

    def write(self, group: str, slot: str, written: Written) -> GroupLimits:
        """Keep what a project wrote to a slot of *group* while the crawl runs.

        Of several slots in a group the strictest counts, and so do the settings. What a
        profile forbids stays forbidden.

        Returns:
            What *group* must not exceed from now on.
        """
        slots = self.written.setdefault(group, {})
        slots[slot] = written.over(slots.get(slot, Written()))
        base = limits = self._asked.get(group, self._own)
        for name, one in slots.items():
            if name == WHOLE_GROUP:
                continue
            asked = one.limits(base)
            limits = _stricter(asked, limits) if group in self._shared else asked
        # Last: the word of who steers the crawl counts for the group, also if looser.
        limits = slots.get(WHOLE_GROUP, Written()).limits(limits)
        self._limits[group] = self._bound(group, limits)
        return self._limits[group]

    def require_allowed(
        self, group: str, in_flight: int | None, delay_s: float | None
    ) -> None:
        """See that the profiles of *group* allow limits, which :meth:`write` bounds.

        Raises:
            ControlError: If they do not.
        """
        for profile in self._profiles_of(group):
            most, rate = profile.max_in_flight, profile.max_rate_per_s
            if most and in_flight is not None and in_flight > most:
                raise ControlError(
                    f"the profile {profile.name} allows at most {most} requests in "
                    f"flight for {group}, not {in_flight}"
                )
            if rate and delay_s is not None and delay_s < 1 / rate:
                raise ControlError(
                    f"the profile {profile.name} allows at most {rate:g} requests per "
                    f"second for {group}: a delay of at least {1 / rate:g} s, not "
                    f"{delay_s:g}"
                )

    def needs_asking(self, group: str) -> bool:
        """Return whether each request of *group* must ask before it starts."""
        return _is_limit(self.limits_of(group))

    def is_paced(self, group: str) -> bool:
        """Return whether time must pass between two requests of *group*."""
        limits = self.limits_of(group)
        return bool(limits.delay_s or limits.rate_per_s)

    def profile_of(self, url: str) -> Profile | None:
        """Return the profile of the site that *url* is on, or None."""
        return _find(self._profiles, host_of(url))

    def profile_of_host(self, host: str) -> Profile | None:
        """Return the profile of the site that *host* belongs to, or None."""
        return _find(self._profiles, host.rstrip("."))

    def _bound(self, group: str, limits: GroupLimits) -> GroupLimits:
        """Return *limits* as the profiles of *group* bound them."""
        for profile in self._profiles_of(group):
            limits = profile.bound(limits)
        return limits

    def _profiles_of(self, group: str) -> list[Profile]:
        by_name = {one.name: one for one in self._profiles.values()}
        return [
            one
            for name, one in by_name.items()
            if self._group_of_profile[name] == group
        ]

    def _slot_limits(
        self, slots: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, GroupLimits]:
        limits: dict[str, GroupLimits] = {}
        for slot, written in slots.items():
            asked = _slot_limits(self._own, written)
            group = self.group_of_slot(slot)
            if group != slot:  # one host of several: the strictest counts for all
                asked = _stricter(asked, limits.get(group, self._own))
            limits[group] = asked
        return limits


def profiles_of(settings: BaseSettings) -> tuple[Profile, ...]:
    """Return the profiles that are on. Of two with one name the later counts.

    Raises:
        ConfigError: If one is not known or no :class:`Profile`.
    """
    chosen = Config.from_settings(settings).profiles
    found = [
        profile if isinstance(profile, Profile) else _load(profile)
        for profile in chosen
    ]
    return tuple({profile.name: profile for profile in found}.values())


def host_of(url: str) -> str:
    """Return the host of *url* in small letters, empty if it has none."""
    try:
        return _domain(urlsplit(url).hostname or "")
    except ValueError:  # half an IPv6 address
        return ""


def delay_of(robotparser: RobotParser, user_agent: str | bytes) -> float | None:
    """Return the seconds between two requests that a robots.txt asks for.

    Args:
        robotparser: What Scrapy's signal ``robots_parsed`` brings.
        user_agent: Of the crawl.

    Returns:
        The longer one of its Crawl-delay and what its Request-rate comes to; None if
        it has neither. A rate that is meant for some hours of the day counts always.
    """
    found = [robotparser.crawl_delay(user_agent)]
    # Scrapy passes on the delay only; two of the three parsers it knows have the rate.
    request_rate = getattr(getattr(robotparser, "rp", None), "request_rate", None)
    if request_rate is not None:
        rate = request_rate(to_unicode(user_agent))
        found.append(rate.seconds / rate.requests if rate and rate.requests else None)
    return max((s for s in found if s is not None and 0 < s < math.inf), default=None)


def _load(name: object) -> Profile:
    expected = f"{', '.join(BUILT_IN)}, none, or import paths of Profile records"
    try:
        found = load_object(BUILT_IN.get(name, name))  # type: ignore[call-overload]
    except (ImportError, NameError, TypeError, ValueError) as error:
        raise ConfigError(f"{PREFIX}PROFILES", name, expected) from error
    if not isinstance(found, Profile):
        raise ConfigError(f"{PREFIX}PROFILES", name, expected)
    return found


def _domain(host: str) -> str:
    return host.lower().removeprefix("*.").strip(".")


def _find(table: Mapping[str, T], host: str) -> T | None:
    """Return what is noted for *host*, or for the nearest domain above it."""
    while host:
        if host in table:
            return table[host]
        _, _, host = host.partition(".")
    return None


def _by_host(groups: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for group, hosts in groups.items():
        for host in map(_domain, hosts):
            if found.setdefault(host, group) != group:
                raise ConfigError(
                    f"{PREFIX}HOST_GROUPS",
                    groups,
                    f"groups without common hosts, but {host} is in {found[host]} and "
                    f"in {group}",
                )
    return found


def _group_of(profile: Profile, groups: Mapping[str, str]) -> str:
    """Return the group of all hosts of *profile*: a setting's, or its own."""
    found = sorted(
        {
            group
            for host, group in groups.items()
            for domain in map(_domain, profile.hosts)
            if f".{host}".endswith(f".{domain}") or f".{domain}".endswith(f".{host}")
        }
    )
    if len(found) > 1:
        raise ConfigError(
            f"{PREFIX}HOST_GROUPS",
            dict(groups),
            f"groups that do not divide the hosts of the profile {profile.name}, whose "
            f"limits are of all its hosts together, but it is in {' and '.join(found)}",
        )
    return found[0] if found else profile.name


def _strictest(*limits: float) -> Any:
    """Return the lowest limit; 0 means none."""
    return min((limit for limit in limits if limit), default=0)


def _stricter(asked: GroupLimits, other: GroupLimits) -> GroupLimits:
    """Return *asked* where *other* is not stricter."""
    return replace(
        asked,
        in_flight=_strictest(asked.in_flight, other.in_flight),
        delay_s=max(asked.delay_s, other.delay_s),
    )


def _is_limit(limits: GroupLimits) -> bool:
    return bool(
        limits.in_flight or limits.delay_s or limits.rate_per_s or limits.throttle
    )


def _number(settings: BaseSettings, name: str) -> float:
    return number(name, settings.get(name, 0), "a number >= 0", float)


def _jitter(settings: BaseSettings) -> float:
    """Return how far a delay may stray, as Scrapy's downloader reads it."""
    new, old = "DOWNLOAD_DELAY_JITTER", "RANDOMIZE_DOWNLOAD_DELAY"
    rank = settings.getpriority(old) or 0
    is_old = rank > SETTINGS_PRIORITIES["default"]
    if is_old and rank > (settings.getpriority(new) or 0):
        return 0.5 if settings.getbool(old) else 0.0
    return _number(settings, new)


def _throttle(settings: BaseSettings) -> Throttle | None:
    if not settings.getbool("AUTOTHROTTLE_ENABLED"):
        return None
    target = _number(settings, "AUTOTHROTTLE_TARGET_CONCURRENCY")
    if not target:
        return None  # Scrapy's extension switches itself off then
    return Throttle(
        target=target,
        start_delay_s=_number(settings, "AUTOTHROTTLE_START_DELAY"),
        max_delay_s=_number(settings, "AUTOTHROTTLE_MAX_DELAY"),
    )


def _slot_limits(own: GroupLimits, written: Mapping[str, Any]) -> GroupLimits:
    """Return *own* with what an entry of ``DOWNLOAD_SLOTS`` says otherwise."""
    jitter = own.jitter
    if "randomize_delay" in written:
        jitter = 0.5 if written["randomize_delay"] else 0.0
    try:
        return replace(
            own,
            in_flight=int(written.get("concurrency", own.in_flight)),
            delay_s=float(written.get("delay", own.delay_s)),
            jitter=float(written.get("jitter", jitter)),
        )
    except (TypeError, ValueError) as error:
        expected = "for each slot a dict of numbers: concurrency, delay, jitter"
        raise ConfigError("DOWNLOAD_SLOTS", dict(written), expected) from error
