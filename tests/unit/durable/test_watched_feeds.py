"""Feed exporters that are watched: what is put in their place, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.extensions.feedexport import FeedExporter
from scrapy.settings import Settings

from concurcrawl.compat import feed_export
from concurcrawl.compat.feed_export import WatchedFeedExporter

if TYPE_CHECKING:
    from typing import Any

    import pytest


class Own(FeedExporter):
    """As a project has its own."""


def enabled(**settings: Any) -> dict[Any, Any]:
    """Return the extensions that are feed exporters, with the places they have."""
    values: dict[str, Any] = {"FEEDS": {"a.json": {"format": "json"}}, **settings}
    made = Settings(values)
    feed_export.enable(made, "cmdline")
    found: dict[Any, Any] = dict(made.getwithbase("EXTENSIONS"))
    return {
        key: place
        for key, place in found.items()
        if isinstance(key, type) and place is not None
    }


def test_scrapys_feed_exporter_is_watched_at_its_place() -> None:
    assert enabled() == {WatchedFeedExporter: 0}


def test_a_projects_own_feed_exporter_is_watched_too() -> None:
    off: dict[Any, Any] = {"scrapy.extensions.feedexport.FeedExporter": None}
    ((cls, place),) = enabled(EXTENSIONS={**off, Own: 7}).items()
    assert isinstance(cls, type)
    assert issubclass(cls, WatchedFeedExporter)
    assert issubclass(cls, Own)
    assert (cls.__name__, place) == ("Own", 7)


def test_feeds_that_something_unknown_writes_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    off: dict[Any, Any] = {"scrapy.extensions.feedexport.FeedExporter": None}
    assert enabled(EXTENSIONS=off) == {}
    assert "no extension derives from Scrapy's FeedExporter" in caplog.text
