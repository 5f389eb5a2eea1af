from __future__ import annotations

import pickle

import pytest

from concurcrawl import errors
from concurcrawl.errors import ConcurcrawlError

SAMPLES = {
    errors.ConfigError("MODE", "fast", "one of serial, async"): (
        "MODE='fast': must be one of serial, async"
    ),
    errors.MissingExtraError("the report", "Bokeh", "compare"): (
        "the report needs Bokeh, which is not installed: "
        "pip install 'concurcrawl[compare]'"
    ),
    errors.NotInEffectError("SCHEDULER=mine.Scheduler: it would not be used."): (
        "SCHEDULER=mine.Scheduler: it would not be used."
    ),
    errors.MovedPartError(
        "Scrapy 2.20.0", "scrapy.core.engine.ExecutionEngine._slot", "install 2.19.0"
    ): (
        "Scrapy 2.20.0 has no scrapy.core.engine.ExecutionEngine._slot, which MODE "
        "needs: leave MODE out, or install 2.19.0"
    ),
    errors.NotShippableError("<GET http://a/>", "cannot pickle a lock"): (
        "<GET http://a/> cannot be sent to another process: cannot pickle a lock. "
        "Put plain values into it, or use MODE=serial, concurrent or async, which "
        "stay in one process."
    ),
    errors.WorkerLostError("worker-3"): (
        "worker-3 ended before it had finished its requests"
    ),
    errors.LeaseReturnedError("worker-3"): (
        "worker-3 returned a request that it had not begun"
    ),
    errors.UnfinishedError(): (
        "it was still running when CONCURCRAWL_STOP_TIMEOUT_S was over"
    ),
    errors.BlockedError("shop.py:7 in Shop.parse", 20.0): (
        "shop.py:7 in Shop.parse had blocked the process for 20 s after the crawl was "
        "told to stop (CONCURCRAWL_STOP_TIMEOUT_S), and was ended"
    ),
    errors.NotSharedError("seen.db", "worker-1 has it, too"): (
        "seen.db: worker-1 has it, too. Only one process can have this open, and each "
        "worker opens it: set CONCURCRAWL_WORKERS=1, or use MODE=serial, concurrent or "
        "async."
    ),
    errors.LocalRequestsLostError("worker-3"): (
        "worker-3 died, and with it the requests that this one's callback yielded and "
        "that could not be sent to another process"
    ),
    errors.ListPageError("http://a/list"): (
        "no countries found on http://a/list: it has no table with class 'wikitable' "
        "whose rows link to countries. Check in a browser that the address is that of "
        "a list of countries; if it is, its markup is new to this version."
    ),
    errors.SiteError("the test site did not start"): "the test site did not start",
    errors.NoSerialRunError("exit code 1"): (
        "no serial run shows what a page costs: exit code 1"
    ),
    errors.DeadLetteredError(3): "3 workers died while they handled this request",
    errors.ResultsError(3): "its results could not be applied, 3 times",
    errors.UnreadableError("an item", "TypeError: no price"): (
        "an item cannot be read back in another process (TypeError: no price); see "
        "that its class can be unpickled, or use MODE=serial, concurrent or async, "
        "which stay in one process"
    ),
    errors.StalledError(): "the crawl stalled and ends",
    errors.WorkersFailedError(17): (
        "17 workers died; the crawl ends. Look above for why the first one did; raise "
        "CONCURCRAWL_MAX_RESTARTS if that is to be expected."
    ),
    errors.FeedError("/tmp/a.json", "another crawl writes it; name another file"): (
        "feed '/tmp/a.json': another crawl writes it; name another file."
    ),
    errors.JobDirError("/tmp/job", "it was made by a newer version; use that"): (
        "JOBDIR='/tmp/job': it was made by a newer version; use that."
    ),
    errors.PausedTooLongError("a.example", 3600.4, 600.0): (
        "a.example asks for a pause of 3600 s (Retry-After), more than "
        "CONCURCRAWL_MAX_PAUSE_S=600; crawl it later, or raise that setting"
    ),
    errors.ControlError("no crawl answers at unix:/tmp/a.sock (refused)"): (
        "no crawl answers at unix:/tmp/a.sock (refused)"
    ),
    errors.NodeError("a:6800", "wrong user or password"): (
        "a:6800: wrong user or password"
    ),
    errors.NodeUnreachableError("a:6800", "unreachable: it refuses connections"): (
        "a:6800: unreachable: it refuses connections"
    ),
    errors.EggError("scrapyd-client built no egg: boom"): (
        "scrapyd-client built no egg: boom"
    ),
    errors.LeaseLostError(7): "lease 7 expired; its results were discarded",
    errors.FrontierError("frontier_unreachable", "no Redis answers at redis://a"): (
        "no Redis answers at redis://a"
    ),
    errors.ClusterError("No worker can be started: a: it has Scrapy 2.18"): (
        "No worker can be started: a: it has Scrapy 2.18"
    ),
    errors.NotJsonError("the item {1: 2}", "it holds a lock"): (
        "the item {1: 2} cannot be sent to another machine: it holds a lock. Requests "
        "and items travel as JSON, callbacks as names of the spider's methods."
    ),
    errors.UnguardedError("/home/me/crawl.py"): (
        "/home/me/crawl.py would crawl again in each worker: workers are spawned here "
        "and import the script. Put what runs the crawl below "
        "'if __name__ == \"__main__\":', or use MODE=serial, concurrent or async."
    ),
    errors.NotDefinableError("Pages, connection", "it holds a lock"): (
        "Pages, connection: code typed into a notebook or a shell cannot be sent to "
        "spawned workers: it holds a lock. Put the spider and what it needs into a "
        "module, or use MODE=serial, concurrent or async."
    ),
    errors.ItemsError("No space left on device"): (
        "the items cannot be written: No space left on device"
    ),
}


def kinds() -> set[type[ConcurcrawlError]]:
    return {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ConcurcrawlError)
    }


def test_every_error_has_a_sample() -> None:
    assert kinds() - {type(error) for error in SAMPLES} == {ConcurcrawlError}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_in_a_sentence_what_happened(error: ConcurcrawlError) -> None:
    assert str(error) == SAMPLES[error]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_trip_to_another_process(
    error: ConcurcrawlError,
) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (
        type(error),
        str(error),
        vars(error),
    )


def test_a_wrong_setting_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="MODE"):
        raise errors.ConfigError("MODE", "fast", "one of serial, async")
