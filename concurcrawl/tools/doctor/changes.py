"""Which of Scrapy's settings a mode changes, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.settings import BaseSettings

from concurcrawl.config import PREFIX
from concurcrawl.integrations.finding import name_of
from concurcrawl.modes import REASONS
from concurcrawl.tools.doctor.report import MISSING, OFF, SettingChange

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABSENT = object()


def changes(before: BaseSettings, after: BaseSettings) -> Iterator[SettingChange]:
    """Yield what differs between *before* and *after*, by name.

    Settings of our own are left out, as they are no settings of the project's, and so
    is ``ADDONS``, which only the examination changes.
    """
    for name in sorted({*before, *after}):
        if name == "ADDONS" or name.startswith(PREFIX):
            continue
        old, new = setting_value(before, name), setting_value(after, name)
        if old == new:
            continue
        reason = REASONS.get(name, "")
        if isinstance(old, dict) and isinstance(new, dict):
            for key in {**old, **new}:
                was, becomes = old.get(key, _ABSENT), new.get(key, _ABSENT)
                if was != becomes:
                    yield SettingChange(name, key, _shown(was), _shown(becomes), reason)
        else:
            yield SettingChange(name, "", _shown(old), _shown(new), reason)


def setting_value(settings: BaseSettings, name: str) -> Any:
    """Return a setting; a dict of components with Scrapy's own, by import path."""
    # Not get(), which warns about deprecated names.
    value: Any = settings[name]
    if f"{name}_BASE" in settings:
        value = settings.getwithbase(name)
    if isinstance(value, BaseSettings):
        return {name_of(key) or "''": value[key] for key in value}
    return value


def _shown(value: object) -> str:
    if value is _ABSENT:
        return MISSING
    if value is None:
        return OFF
    return name_of(value) if isinstance(value, str | type) else repr(value)
