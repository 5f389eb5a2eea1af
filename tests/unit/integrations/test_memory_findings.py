"""A limit of memory that leaves out workers on a cluster is named."""

from __future__ import annotations

import pytest
from scrapy.settings import Settings

from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.settings_findings import find_in_settings


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"MEMUSAGE_LIMIT_MB": 900}, ["MEMUSAGE_LIMIT_MB=900"]),
        ({"MEMUSAGE_WARNING_MB": "500"}, ["MEMUSAGE_WARNING_MB=500"]),
        ({"MEMUSAGE_LIMIT_MB": 900, "MEMUSAGE_ENABLED": False}, []),
        ({"MEMUSAGE_LIMIT_MB": 900, "CONCURCRAWL_CLUSTER": "local"}, []),
        ({"MEMUSAGE_LIMIT_MB": 900, "CONCURCRAWL_CLUSTER": ""}, []),
        ({"MEMUSAGE_LIMIT_MB": 900, HAS_WORKERS: False}, []),
        ({}, []),
    ],
)
def test_a_limit_is_named_if_workers_are_on_other_machines(
    written: dict[str, object], named: list[str]
) -> None:
    values = {HAS_WORKERS: True, "CONCURCRAWL_CLUSTER": "tcp://a:8786", **written}
    found = [*find_in_settings(Settings(values))]
    assert [f"{one.setting}={one.name}" for one in found] == named
    assert not any(one.is_refused for one in found)
