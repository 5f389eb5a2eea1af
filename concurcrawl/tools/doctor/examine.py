"""Examine a spider in a mode, with the code that a crawl would run at its start.

Add-ons are instantiated and update a copy of the settings, as before a crawl. Nothing
else is instantiated: no spider, extension, middleware or engine.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import Spider
from scrapy.addons import AddonManager
from scrapy.crawler import Crawler

from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.integrations import inventory, settings_findings
from concurcrawl.integrations.finding import HAS_WORKERS, name_of
from concurcrawl.limits.policy import Politeness
from concurcrawl.mode_settings import decide, limits_kept
from concurcrawl.modes import CURL_HANDLERS, Mode, Plan, bound, hindrance
from concurcrawl.tools.doctor.changes import changes, setting_value
from concurcrawl.tools.doctor.project import is_ours, message_of
from concurcrawl.tools.doctor.report import (
    NOT_IN_EFFECT,
    REFUSED,
    ComponentStatus,
    ModeReport,
    PluginReport,
    SpiderReport,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scrapy.settings import Settings

    from concurcrawl.integrations.finding import Finding
    from concurcrawl.integrations.inventory import Component

#: The priority at which a missing add-on is inserted.
_PLACE = 500


@dataclass(slots=True)
class _Look:
    """The state in which a crawl would begin."""

    settings: Settings
    planned: Plan | None = None
    error: Exception | None = None
    says: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def examine(
    spidercls: type[Spider] | None, settings: Settings, modes: Sequence[Mode]
) -> SpiderReport:
    """Return the report of a spider in *modes*.

    Args:
        spidercls: The spider; None for the project's settings alone.
        settings: Of the project; they are not changed.
        modes: The modes to examine.
    """
    chosen = spidercls or Spider
    plain = _look(chosen, settings, None)
    looks = {mode: _look(chosen, settings, mode) for mode in modes}
    return SpiderReport(
        spider="" if spidercls is None else spidercls.name,
        own_settings=_own_settings(chosen, settings),
        modes=tuple(
            _mode_report(mode, plain, look, chosen) for mode, look in looks.items()
        ),
        plugins=tuple(_plugins(plain, looks, chosen)),
    )


def _own_settings(spidercls: type[Spider], settings: Settings) -> tuple[str, ...]:
    own = settings.copy()
    # Where the spider's own code fails, each mode says so.
    with contextlib.suppress(Exception):
        spidercls.update_settings(own)
    return tuple(
        sorted(
            name
            for name in own
            if setting_value(own, name) != setting_value(settings, name)
        )
    )


def _look(spidercls: type[Spider], settings: Settings, mode: Mode | None) -> _Look:
    """Do with the settings what Scrapy does before a crawl, and nothing else."""
    look = _Look(settings)

    class Decides:
        def update_settings(self, settings: Settings) -> None:
            look.planned = decide(settings, crawler)

    try:
        crawler = Crawler(spidercls, settings)
        look.settings = crawler.settings
        add_ons = dict(look.settings.getdict("ADDONS"))
        places = [add_ons.pop(key) for key in list(add_ons) if is_ours(key)]
        if mode is not None:
            add_ons[Decides] = next((at for at in places if at is not None), _PLACE)
            look.settings.set("CONCURCRAWL_MODE", mode.value, "cmdline")
        look.settings.set("ADDONS", add_ons, "cmdline")
        with _collected(look.says):
            AddonManager(crawler).load_settings(look.settings)
        if mode is not None:
            look.findings += settings_findings.find_in_settings(look.settings)
            look.findings += settings_findings.find_in_extensions(look.settings)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any add-on's code
        look.error = error if isinstance(error, Exception) else ValueError(str(error))
    return look


@contextlib.contextmanager
def _collected(says: list[str]) -> Iterator[None]:
    """Append warnings of this package to *says* instead of logging them."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            says.append(record.getMessage())

    ours, collector = logging.getLogger("concurcrawl"), Collector(logging.WARNING)
    propagated, ours.propagate = ours.propagate, False
    ours.addHandler(collector)
    try:
        yield
    finally:
        ours.removeHandler(collector)
        ours.propagate = propagated


def _mode_report(
    mode: Mode, plain: _Look, look: _Look, spidercls: type[Spider]
) -> ModeReport:
    planned = look.planned
    if look.error is not None or planned is None:
        return ModeReport(mode=mode.value, refused=_why(look.error))
    kept = limits_kept(look.settings, planned)
    sentences = (bound(planned), hindrance(planned, kept))
    held = [f"CONCURRENT_REQUESTS={planned.in_flight}"] if planned.unbound else []
    workers = len(planned.slots) if planned.is_supervised else 0
    refused = (str(finding) for finding in look.findings if finding.is_refused)
    return ModeReport(
        mode=mode.value,
        refused=next(refused, ""),
        processes=1 + workers,
        workers=workers,
        in_flight=planned.in_flight,
        downloads_by=_downloads_by(look.settings),
        held_back_by=(*held, *kept, *_site_limits(look.settings, spidercls)),
        says=tuple(one for one in look.says if one not in sentences),
        changes=tuple(changes(plain.settings, look.settings)),
    )


def _why(error: Exception | None) -> str:
    if isinstance(error, ConcurcrawlError):
        return f"{error}."
    return (
        "" if error is None else f"It would end at the start with {message_of(error)}."
    )


def _downloads_by(settings: Settings) -> str:
    found = settings.getwithbase("DOWNLOAD_HANDLERS")
    names = {name_of(found.get(scheme)) for scheme in ("http", "https")}
    known = dict.fromkeys(CURL_HANDLERS, "libcurl")
    shown = {
        known.get(name, "Scrapy" if name.startswith("scrapy.") else name)
        for name in names
    }
    return ", ".join(sorted(shown))


def _site_limits(settings: Settings, spidercls: type[Spider]) -> Iterator[str]:
    """Yield the limits of the sites in the spider's ``start_urls``."""
    rate = settings.get("CONCURCRAWL_RATE")
    if rate and float(rate):
        yield f"CONCURCRAWL_RATE={float(rate):g}"
    if settings.getdict("DOWNLOAD_SLOTS"):
        yield "DOWNLOAD_SLOTS"
    politeness = Politeness.from_settings(settings)
    profiles = {
        profile.name: profile
        for host in _hosts(spidercls)
        if (profile := politeness.profile_of_host(host)) is not None
    }
    for name, profile in profiles.items():
        limits = [f"{profile.in_flight} in flight"] if profile.in_flight else []
        limits += [f"{profile.rate_per_s:g}/s"] if profile.rate_per_s else []
        limits += ["robots.txt"] if profile.obeys_robots else []
        yield f"profile {name} ({', '.join(limits)})" if limits else f"profile {name}"


def _hosts(spidercls: type[Spider]) -> set[str]:
    urls = getattr(spidercls, "start_urls", None) or ()
    domains = getattr(spidercls, "allowed_domains", None) or ()
    found = {str(domain).partition("/")[0] for domain in domains}
    for url in urls:
        try:
            found.add(urlsplit(str(url)).hostname or "")
        except ValueError:  # half an IPv6 address; Scrapy will say so
            continue
    return found - {""}


def _plugins(
    plain: _Look, looks: dict[Mode, _Look], spidercls: type[Spider]
) -> Iterator[PluginReport]:
    rows: dict[tuple[str, str], Component] = {
        (one.setting, one.name): one
        for one in inventory.components(plain.settings, spidercls)
    }
    named = {name for _, name in rows}
    for look in looks.values():
        for finding in look.findings:
            if finding.name not in named:
                row = inventory.component(finding.setting, finding.name)
                rows[finding.setting, finding.name] = row
    for row in rows.values():
        statuses = {mode.value: _status(row, look) for mode, look in looks.items()}
        yield PluginReport(row.setting, row.name, row.package, row.version, statuses)


def _status(row: Component, look: _Look) -> ComponentStatus:
    found = [one for one in look.findings if one.name == row.name]
    says = tuple(str(one) for one in found)
    if any(one.is_refused for one in found) or _is_about(look.error, row):
        return ComponentStatus(REFUSED, says)
    if found:
        return ComponentStatus(NOT_IN_EFFECT, says)
    if look.error is not None:
        return ComponentStatus(REFUSED)
    has_workers = look.settings.getbool(HAS_WORKERS)
    return ComponentStatus(inventory.place(row.setting, has_workers=has_workers).value)


def _is_about(error: Any, row: Component) -> bool:
    return isinstance(error, ConfigError) and error.name == row.setting
