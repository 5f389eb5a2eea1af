from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

from rich.console import Console, RenderableType

from concurcrawl.frontier.redis.admin import GroupStatus, NodeStatus, Snapshot
from concurcrawl.tools.redis import picture
from concurcrawl.tools.redis.purge import summary

NODE = NodeStatus(
    name="a-1",
    is_live=True,
    is_leader=True,
    is_dead=False,
    joined_s=1000.0,
    left_s=None,
    silent_s=0.4,
    done=30,
    leased=2,
    about={"host": "a", "pid": 11, "mode": "hybrid", "workers": 2},
)
DEAD = replace(
    NODE,
    name="b-2",
    is_live=False,
    is_leader=False,
    is_dead=True,
    left_s=1005.0,
    silent_s=None,
    done=10,
    leased=0,
)
CRAWL = Snapshot(
    job="shop",
    spider="books",
    state="live",
    reason="",
    at_s=1010.0,
    began_s=1000.0,
    ended_s=None,
    waiting=7,
    leased=2,
    done=40,
    undelivered=3,
    in_doubt=0,
    streamed=5,
    nodes=(NODE, DEAD),
    groups=(GroupStatus("books.example", 7, 2, 0.5, 12.0),),
    failures=({"deaths": 3, "url": "http://books.example/1"},),
    stats={"item_scraped_count": 38},
)


def text(shown: RenderableType) -> str:
    out = StringIO()
    Console(width=110, file=out).print(shown)
    lines = out.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def test_all_of_a_job_is_shown() -> None:
    assert text(picture.job_picture(CRAWL, None)) == SHOWN


SHOWN = """\
shop  live, 10 s  40 done (4.0 per second), 7 waiting, 2 leased, 38 items

node   state   mode     pid   done   per second   leased   last seen
────────────────────────────────────────────────────────────────────
a-1    leads   hybrid   11      30          3.0        2     0 s ago
b-2    dead    hybrid   11      10          2.0        0

group           waiting   in flight   delay   paused
────────────────────────────────────────────────────
books.example         7           2   0.5 s     12 s

Items: 5 in the stream, 3 in no feed yet

Dead-lettered: 1 requests
  deaths: 3, url: http://books.example/1"""


def test_rates_are_those_since_the_look_before() -> None:
    now = replace(
        CRAWL, at_s=1012.0, done=60, nodes=(replace(NODE, done=50), DEAD), groups=()
    )
    assert picture.rate(now, CRAWL) == 10.0
    assert picture.node_rates(now, CRAWL) == {"a-1": 10.0, "b-2": 0.0}
    assert picture.rate(replace(CRAWL, began_s=1010.0), None) == 0.0


def test_the_rate_of_a_crawl_that_has_ended_grows_no_smaller() -> None:
    ended = replace(CRAWL, state="ended", ended_s=1010.0, reason="finished")
    assert picture.rate(replace(ended, at_s=9999.0), None) == 4.0


def test_values_are_json() -> None:
    found = json.loads(json.dumps(picture.values(CRAWL, None)))
    assert found["rate_per_s"] == 4.0
    assert [node["rate_per_s"] for node in found["nodes"]] == [3.0, 2.0]


def test_jobs_are_a_line_each() -> None:
    ended = replace(CRAWL, job="old", state="ended", reason="finished", nodes=())
    lines = text(picture.jobs_table([CRAWL, ended])).splitlines()
    assert lines[0].split()[:6] == [
        "job",
        "spider",
        "state",
        "nodes",
        "waiting",
        "leased",
    ]
    assert lines[2].split() == [
        *("shop", "books", "live", "1", "7", "2", "40", "4.0", "1")
    ]
    assert lines[3].startswith("old    books    ended (finished)")
    assert text(picture.jobs_table([])) == "No job."


def test_who_purges_is_told_what_goes() -> None:
    assert summary(CRAWL) == (
        "shop (spider books; 1 live nodes work on it): 7 requests that wait, "
        "2 requests that nodes have, 5 items in the stream, 3 items in no feed yet"
    )
