"""Every error that concurcrawl raises on purpose.

Each one can be pickled, because workers send theirs to the supervisor.
"""

from __future__ import annotations

#: How a crawl stays in one process.
IN_ONE_PROCESS = "use MODE=serial, concurrent or async, which stay in one process"


class ConcurcrawlError(Exception):
    """Root of the errors below; catch it to catch them all."""


class ConfigError(ConcurcrawlError, ValueError):
    """A setting or an option has a value that cannot be worked with.

    Attributes:
        name: The setting.
        value: What it was set to.
        expected: What it may be, as words that follow "must be".
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(name, value, expected)  # what pickle calls __init__ with
        self.name = name
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: must be {self.expected}"


class MissingExtraError(ConcurcrawlError):
    """A library is not installed that only an extra of the package brings.

    Attributes:
        what: What needs it, in words.
        library: Its name.
        extra: The extra that has it.
    """

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(what, library, extra)
        self.what = what
        self.library = library
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs {self.library}, which is not installed: "
            f"pip install 'concurcrawl[{self.extra}]'"
        )


class NotInEffectError(ConcurcrawlError):
    """Something of a project would not be in effect, and must be.

    Attributes:
        what: What, why and what to do, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class MovedPartError(ConcurcrawlError):
    """A release of a library lacks a part that the modes touch.

    Attributes:
        installed: The library and its release.
        part: The part, or several.
        remedy: What else to install, as words that follow "or".
    """

    def __init__(self, installed: str, part: str, remedy: str) -> None:
        super().__init__(installed, part, remedy)
        self.installed = installed
        self.part = part
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.installed} has no {self.part}, which MODE needs: leave MODE out, "
            f"or {self.remedy}"
        )


class NotShippableError(ConcurcrawlError):
    """A request, an item or a spider cannot travel to another process.

    Attributes:
        what: It, in words.
        reason: What the pickler said.
        remedy: How to keep it in one process, as words that follow "or".
    """

    def __init__(self, what: str, reason: str, remedy: str = IN_ONE_PROCESS) -> None:
        super().__init__(what, reason, remedy)
        self.what = what
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.what} cannot be sent to another process: {self.reason}. "
            f"Put plain values into it, or {self.remedy}."
        )


class UnguardedError(ConcurcrawlError):
    """A script would crawl again in each worker that imports it.

    Attributes:
        script: Its path.
    """

    def __init__(self, script: str) -> None:
        super().__init__(script)
        self.script = script

    def __str__(self) -> str:
        return (
            f"{self.script} would crawl again in each worker: workers are spawned here "
            "and import the script. Put what runs the crawl below "
            "'if __name__ == \"__main__\":', or use MODE=serial, concurrent or async."
        )


class NotDefinableError(ConcurcrawlError):
    """Spawned workers cannot have what ``__main__`` defines.

    Attributes:
        what: The names that the spider needs of it.
        reason: What the pickler said.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what}: what was typed in (in a notebook, say) cannot be sent to "
            f"spawned workers: {self.reason}. Put the spider and what it needs into a "
            "module, or use MODE=serial, concurrent or async."
        )


class WorkerLostError(ConcurcrawlError):
    """A worker ended before it had done what it was lent.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} ended before it had finished its requests"


class UnfinishedError(ConcurcrawlError):
    """A callback had not ended when the time for a stop was over."""

    def __str__(self) -> str:
        return "it had not ended when the time for a stop was over"


class BlockedError(ConcurcrawlError):
    """A callback had blocked its process when the time for a stop was over.

    Attributes:
        where: File, line and function.
        timeout_s: Seconds for which it had blocked.
    """

    def __init__(self, where: str, timeout_s: float) -> None:
        super().__init__(where, timeout_s)
        self.where = where
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return (
            f"{self.where} had blocked the process for {self.timeout_s:g} s after the "
            "crawl was told to stop (CONCURCRAWL_STOP_TIMEOUT_S), and was ended"
        )


class LeaseReturnedError(ConcurcrawlError):
    """A worker returned a request that it had not begun: the crawl is paused.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} returned a request that it had not begun"


class NotSharedError(ConcurcrawlError):
    """A worker opens what only one process can have open.

    Attributes:
        name: The file, or the class that opens it.
        reason: Who has it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.reason}. Only one process can have this open, and "
            "each worker opens it: set CONCURCRAWL_WORKERS=1, or use MODE=serial, "
            "concurrent or async."
        )


class LocalRequestsLostError(ConcurcrawlError):
    """A worker ended that had requests which could not leave it.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return (
            f"{self.worker} ended, and with it the requests that came of this one and "
            "held what cannot be sent to another process"
        )


class ListPageError(ConcurcrawlError):
    """A page that should list countries holds none.

    Attributes:
        url: The page.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return (
            f"no countries found on {self.url}: it has no table with class 'wikitable' "
            "whose rows link to countries. Check in a browser that the address is that "
            "of a list of countries; if it is, its markup is new to this version."
        )


class MirrorError(ConcurcrawlError):
    """The mirror does not run, or does not answer."""


class NoSerialRunError(ConcurcrawlError):
    """There is no serial run that tells what a page costs.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"no serial run tells what a page costs: {self.reason}"


class PoisonError(ConcurcrawlError):
    """A request was set aside because workers died each time they held it.

    Attributes:
        attempts: How many died.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.attempts} workers died while they did this request"


class ResultsError(ConcurcrawlError):
    """The results of a request could not be applied, each time that it was done.

    Attributes:
        attempts: How often.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"its results could not be applied, {self.attempts} times"


class StalledError(ConcurcrawlError):
    """A request was dropped because the crawl had stalled."""

    def __str__(self) -> str:
        return "the crawl had stalled and ends"


class WorkersFailedError(ConcurcrawlError):
    """Workers kept dying, so the crawl gives up.

    Attributes:
        restarts: How often one was replaced.
    """

    def __init__(self, restarts: int) -> None:
        super().__init__(restarts)
        self.restarts = restarts

    def __str__(self) -> str:
        return (
            f"{self.restarts} workers died; the crawl ends. Look above for why the "
            "first one did; raise CONCURCRAWL_MAX_RESTARTS if that is to be expected."
        )


class PausedTooLongError(ConcurcrawlError):
    """A site asks for a pause that is longer than the crawl waits.

    Attributes:
        group: The site's group of hosts.
        pause_s: How long it still wants to be left alone.
        max_pause_s: How long the crawl waits at most.
    """

    def __init__(self, group: str, pause_s: float, max_pause_s: float) -> None:
        super().__init__(group, pause_s, max_pause_s)
        self.group = group
        self.pause_s = pause_s
        self.max_pause_s = max_pause_s

    def __str__(self) -> str:
        return (
            f"{self.group} asks for a pause of {self.pause_s:.0f} s (Retry-After), "
            f"more than CONCURCRAWL_MAX_PAUSE_S={self.max_pause_s:g}; crawl it later, "
            "or raise that setting"
        )


class JobDirError(ConcurcrawlError):
    """A ``JOBDIR`` cannot be used.

    Attributes:
        path: The folder.
        reason: Why, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"JOBDIR={self.path!r}: {self.reason}."


class FeedError(ConcurcrawlError):
    """A feed cannot be written as it must be.

    Attributes:
        feed: Its file or address.
        reason: Why, and what to do.
    """

    def __init__(self, feed: str, reason: str) -> None:
        super().__init__(feed, reason)
        self.feed = feed
        self.reason = reason

    def __str__(self) -> str:
        return f"feed {self.feed!r}: {self.reason}."


class NodeError(ConcurcrawlError):
    """A Scrapyd server cannot be used, or does not do what it is asked.

    Attributes:
        node: Its name, without user and password.
        reason: Why.
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)
        self.node = node
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


class NodeUnreachableError(NodeError):
    """A Scrapyd server did not answer; it may do so later."""


class EggError(ConcurcrawlError):
    """The egg of the project at hand cannot be built."""


class LeaseLostError(ConcurcrawlError, KeyError):
    """A request is not lent to who says so, or no longer: others may have it.

    Attributes:
        lease_id: Its lease id.
    """

    def __init__(self, lease_id: int) -> None:
        super().__init__(lease_id)
        self.lease_id = lease_id

    def __str__(self) -> str:
        return f"lease {self.lease_id} expired; its results were discarded"


class FrontierError(ConcurcrawlError):
    """A frontier on another machine cannot be used.

    Attributes:
        reason: The ``finish_reason`` of a crawl that ends for it.
        what: What is wrong and what to do, in words.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(reason, what)
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return self.what


class NotJsonError(ConcurcrawlError):
    """A request or an item holds something that does not travel as JSON.

    Attributes:
        what: It, in words.
        reason: What it holds.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what} cannot be sent to another machine: {self.reason}. "
            "Requests and items travel as JSON, callbacks as names of the spider's "
            "methods."
        )


class ItemsError(ConcurcrawlError):
    """Items cannot be written to the standard output.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the items cannot be written: {self.reason}"


class ControlError(ConcurcrawlError):
    """A running crawl cannot be reached, or refuses what it is told.

    Attributes:
        what: Why, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what
