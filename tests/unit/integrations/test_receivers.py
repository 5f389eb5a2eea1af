"""Who hears a signal, and how another process finds one."""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import signals
from scrapy.extensions.corestats import CoreStats
from scrapy.utils.test import get_crawler

from concurcrawl.integrations.receivers import (
    SignalsElsewhere,
    is_foreign,
    name_signal,
    own_signals,
    receiver_name,
    takes,
    watch_connections,
)
from concurcrawl.local.scheduler import FrontierScheduler

if TYPE_CHECKING:
    from collections.abc import Callable

AT_HOME = object()


class Kinds:
    inside = object()


class MyStats(CoreStats):
    pass


class Called:
    def __call__(self, item: Any) -> None: ...


def heard(response: Any) -> None: ...


@pytest.mark.parametrize(
    "signal", [AT_HOME, Kinds.inside, "text", ("a", 1), Kinds, heard]
)
def test_a_signal_is_found_by_its_place_or_by_its_value(signal: object) -> None:
    name = name_signal(signal)
    assert name is not None
    assert SignalsElsewhere([name._replace(number=3)]).number_of(signal) == 3


def test_a_signal_without_a_place_is_not_found() -> None:
    assert name_signal(object()) is None


def test_scrapys_signals_are_not_looked_for() -> None:
    name = name_signal(signals.item_scraped)
    assert name is not None
    elsewhere = SignalsElsewhere([name])
    assert elsewhere.number_of(signals.item_scraped) is None


def test_a_signal_is_found_once_its_module_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module: Any = ModuleType("made_up")
    module.later = object()
    monkeypatch.setitem(sys.modules, "made_up", module)
    name = name_signal(module.later)
    assert name is not None
    monkeypatch.delitem(sys.modules, "made_up")
    elsewhere = SignalsElsewhere([name])
    assert elsewhere.number_of(module.later) is None
    monkeypatch.setitem(sys.modules, "made_up", module)
    assert elsewhere.number_of(module.later) == 0


@pytest.mark.parametrize(
    ("receiver", "expected"),
    [
        (heard, True),
        (partial(heard, 1), True),
        (Called(), True),
        (MyStats(object()).item_dropped, True),  # type: ignore[arg-type]
        (CoreStats(object()).item_dropped, False),  # type: ignore[arg-type]
        (FrontierScheduler.from_crawler, False),
        (lambda: None, True),
    ],
)
def test_whose_a_receiver_is(receiver: Callable[..., Any], expected: bool) -> None:
    assert is_foreign(receiver) is expected


def test_what_a_receiver_takes() -> None:
    assert takes(heard, "response")
    assert not takes(heard, "item")
    assert takes(Called(), "item")
    assert takes(lambda **about: about, "anything")


def test_a_method_is_called_alike_in_another_process_and_not_like_anothers() -> None:
    one, another = CoreStats(object()), MyStats(object())  # type: ignore[arg-type]
    assert receiver_name(one.item_dropped) != receiver_name(another.item_dropped)
    assert receiver_name(heard) == f"{__name__}.heard"


def test_connections_are_watched() -> None:
    crawler, changed = get_crawler(), list[object]()
    watch_connections(crawler, changed.append)
    crawler.signals.connect(heard, AT_HOME)
    assert own_signals(crawler) == [AT_HOME]
    crawler.signals.disconnect(heard, AT_HOME)
    assert own_signals(crawler) == []
    assert changed == [AT_HOME, AT_HOME]
