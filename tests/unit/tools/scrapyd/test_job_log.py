from __future__ import annotations

import pytest

from concurcrawl.tools.scrapyd.job_log import JobLog

BEGUN = "2026-01-02 03:04:05 [scrapy.utils.log] INFO: Scrapy 2.19.0 started (bot: b)\n"
ENDED = "2026-01-02 03:04:06 [scrapy.core.engine] INFO: Spider closed (%s)\n"
SO_FAR = (
    "… [scrapy.extensions.logstats] INFO: Crawled 12 pages (at 9 pages/min), "
    "scraped 7 items (at 5 items/min)\n"
)
STATS = "{'item_scraped_count': 8,\n 'response_received_count': 13,\n 'x': 1}\n"
TRACEBACK = """… [scrapy.core.engine] ERROR: Error while obtaining start requests:
Traceback (most recent call last):
  File "a.py", line 1, in b
    raise Boom("because")
a.Boom: because
"""
BOOM = "Error while obtaining start requests: a.Boom: because"
DIED = (
    "its process ended before its spider closed: killed, or Scrapyd's own log there "
    "says why"
)


def read(*texts: str) -> JobLog:
    log = JobLog()
    for text in texts:
        log.feed(text)
    return log


def test_it_counts_while_it_grows_in_pieces_of_any_length() -> None:
    log = read(*(BEGUN + SO_FAR))
    assert (log.pages, log.items, log.closed) == (12, 7, None)
    log.feed(STATS + ENDED % "finished")
    assert (log.pages, log.items, log.closed) == (13, 8, "finished")


@pytest.mark.parametrize(
    ("texts", "failure"),
    [
        ((BEGUN, ENDED % "finished"), ""),
        ((BEGUN, ENDED % "closespider_itemcount"), ""),
        ((BEGUN, TRACEBACK, ENDED % "finished"), ""),
        ((BEGUN, ENDED % "shutdown"), "ended early: shutdown"),
        (
            (BEGUN, TRACEBACK, ENDED % "enough"),
            f"ended early: enough; last error: {BOOM}",
        ),
        (
            (BEGUN, TRACEBACK),
            f"crashed: {BOOM}",
        ),
        (
            ("Traceback (most recent call last):\n  File\nX: y\n",),
            "crashed: X: y",
        ),
        (
            (BEGUN,),
            DIED,
        ),
        (("a log without the usual lines\n",), ""),
    ],
)
def test_it_says_why_a_job_failed(texts: tuple[str, ...], failure: str) -> None:
    assert read(*texts).failure() == failure


def test_a_job_that_runs_again_is_not_judged_by_its_first_run() -> None:
    first = (BEGUN, TRACEBACK, ENDED % "finished")
    assert read(*first, BEGUN).closed is None
    assert read(*first, BEGUN, ENDED % "shutdown").failure() == "ended early: shutdown"
