"""The report of ``concurcrawl doctor``, as records for JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Version of the JSON document; a key that is removed or changes its meaning raises it.
SCHEMA = 1

REFUSED = "refused"
NOT_IN_EFFECT = "not_in_effect"

#: Values of an entry in a dict of components that is missing, or set to None.
MISSING, OFF = "none", "off"


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting that a mode changes.

    Attributes:
        setting: Its name.
        entry: The key, if it is a dict of components; else empty.
        before: The project's value, as text.
        after: The value under the mode, as text.
        reason: Why, as words that follow "because".
    """

    setting: str
    entry: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """The status of a component in one mode.

    Attributes:
        status: ``in_effect``, ``in_supervisor``, ``in_each_worker``,
            ``in_each_process``, ``not_in_effect`` or ``refused``.
        says: What the start of a crawl logs about it, as sentences.
    """

    status: str
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginReport:
    """A component of a project, and its status in each mode.

    Attributes:
        setting: The setting that names it.
        name: Its import path.
        package: The distribution it comes from; empty if it is the project's own.
        version: That distribution's version.
        modes: Its status, by mode.
    """

    setting: str
    name: str
    package: str
    version: str
    modes: Mapping[str, ComponentStatus]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeReport:
    """The effects of one mode.

    Attributes:
        mode: Its name.
        refused: Why a crawl would not begin, as a sentence; empty if it would.
        processes: How many there would be, the supervisor included; 0 if it is refused
            before that is known.
        workers: How many of them download and run callbacks for a supervisor.
        in_flight: Requests at a time over all processes; 0 means no limit.
        downloads_by: ``Scrapy``, ``libcurl``, or the import path of another handler.
        held_back_by: Settings that limit its requests in flight.
        says: What else the start of a crawl logs, as sentences.
        changes: The settings that it changes.
    """

    mode: str
    refused: str = ""
    processes: int = 0
    workers: int = 0
    in_flight: int = 0
    downloads_by: str = ""
    held_back_by: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    changes: tuple[SettingChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderReport:
    """The report of one spider, or of the project's settings without a spider.

    Attributes:
        spider: The spider's name; empty for the project's settings.
        own_settings: Names of the settings that the spider changes.
        modes: The effects of each mode.
        plugins: The components that are not Scrapy's.
    """

    spider: str
    own_settings: tuple[str, ...]
    modes: tuple[ModeReport, ...]
    plugins: tuple[PluginReport, ...]

    def problems(self) -> dict[str, list[str]]:
        """Return components that would have no effect, and in which modes."""
        sentences = [(one.refused, one.mode) for one in self.modes if one.refused]
        sentences += [
            (sentence, mode)
            for plugin in self.plugins
            for mode, fare in plugin.modes.items()
            for sentence in fare.says
        ]
        found: dict[str, list[str]] = {}
        for sentence, mode in dict.fromkeys(sentences):
            found.setdefault(sentence, []).append(mode)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectReport:
    """The whole report.

    Attributes:
        project: Name of the settings module.
        add_on: Whether ``ADDONS`` has the add-on.
        mode: What ``MODE`` is in the project's settings; empty if it is not set.
        broken: Why modules of spiders cannot be imported, by module.
        wrong: Sentences about problems of the whole project.
        versions: Of Python and libraries; None for one that is not installed.
        machine: Platform, CPUs, and how workers are started.
        spiders: The project's settings, or the spider of ``--spider``, first.
        not_looked_at: What only a crawl can show, as sentences.
    """

    project: str
    add_on: bool
    mode: str
    broken: Mapping[str, str]
    wrong: tuple[str, ...]
    versions: Mapping[str, str | None]
    machine: Mapping[str, Any]
    spiders: tuple[SpiderReport, ...]
    not_looked_at: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether everything would be in effect in the examined modes."""
        has_problems = any(spider.problems() for spider in self.spiders)
        return not (has_problems or self.broken or self.wrong)

    def values(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"schema": SCHEMA, "ok": self.is_well, **asdict(self)}
