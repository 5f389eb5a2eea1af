from __future__ import annotations

import logging

from concurcrawl.monitor.error_log import ErrorLog


def logged(*messages: str) -> ErrorLog:
    errors = ErrorLog()
    logger = logging.Logger("a.spider")  # noqa: LOG001 - of this test alone
    logger.addHandler(errors)
    logger.warning("no error")
    for message in messages:
        logger.error(message)
    try:
        dict[str, str]()["price"]
    except KeyError:
        logger.exception("broken %s", "page")
    return errors


def test_the_newest_error_comes_first_with_its_traceback() -> None:
    newest, older = logged("first").last
    assert (newest.number, newest.logger, newest.message) == (
        2,
        "a.spider",
        "broken page",
    )
    assert newest.traceback.splitlines()[-1] == "KeyError: 'price'"
    assert (older.message, older.traceback) == ("first", "")


def test_memory_is_bounded() -> None:
    last = logged(*("x" * 100_000 for _ in range(50))).last
    assert len(last) == 20
    assert max(len(one.message) for one in last) == 8000
