"""A profile as a user writes one, and what switches profiles on without a mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.limits.policy import Profile
from concurcrawl.limits.profile_middleware import enable

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

STRICT = Profile(
    name="strict",
    hosts=("127.0.0.1",),
    obeys_robots=True,
    query_strings=False,
    cookies=False,
    gzip=True,
    needs_contact=True,
)


class Enable:
    def update_settings(self, settings: BaseSettings) -> None:
        enable(settings, "cmdline")
