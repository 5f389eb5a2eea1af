"""Which pipelines workers run, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from scrapy.settings import Settings

from concurcrawl.errors import ConfigError
from concurcrawl.workers.moved_pipelines import MOVED, move


class First:
    """A pipeline."""


class Second:
    """A pipeline."""


class Third:
    """A pipeline."""


HERE = __name__
NAME = "CONCURCRAWL_WORKER_PIPELINES"


def settings(**values: Any) -> Settings:
    pipelines = {f"{HERE}.Second": 20, First: 10, f"{HERE}.Third": 30}
    return Settings({"ITEM_PIPELINES": pipelines, NAME: "it", **values})


@pytest.mark.parametrize(
    "names", [[f"{HERE}.First", f"{HERE}.Second"], [Second, First]]
)
def test_the_first_ones_move_however_they_are_named(names: list[Any]) -> None:
    found = settings()
    move(found, names, "cmdline")
    assert found.getdict(MOVED) == {First: 10, f"{HERE}.Second": 20}
    left = found.get_component_priority_dict_with_base("ITEM_PIPELINES")
    assert dict(left) == {f"{HERE}.Third": 30}


@pytest.mark.parametrize(
    ("names", "values", "sentence"),
    [
        ([Second], {}, "the first ones of ITEM_PIPELINES, whose order is First, "),
        ([f"{HERE}.None"], {}, "import paths \\("),
        (["no_such_module.Pipeline"], {}, "import paths \\("),
        ([Settings], {}, "pipelines in ITEM_PIPELINES, which are First, "),
        ([First], {"ITEM_PIPELINES": {}}, "which are none"),
        ([First], {"CONCURCRAWL_FRONTIER_URL": "redis:///"}, "run all pipelines"),
    ],
)
def test_what_would_change_an_item_is_refused(
    names: list[Any], values: dict[str, Any], sentence: str
) -> None:
    found = settings(**values)
    with pytest.raises(ConfigError, match=sentence):
        move(found, names, "cmdline")
    assert found[MOVED] is None
