"""The folder of a crawl that can be resumed: who may use it, and what is in it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from scrapy import signals

from concurcrawl.durable.atomic_files import make_name_safe
from concurcrawl.durable.locks import locked
from concurcrawl.errors import JobDirError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

#: The frontier, with all that is left to do and all items not yet safe in a feed.
FRONTIER = "concurcrawl.sqlite"
_LOCK = "concurcrawl.lock"

#: What Scrapy's own extension keeps of a spider.
STATE = "spider.state"

#: The note with the name of the spider that the folder belongs to.
SPIDER = "spider"

#: The note of a crawl that has finished: the same folder begins anew.
FINISHED = "finished"


class JobDir:
    """A job's folder, ours alone while this object lives and its process runs."""

    def __init__(self, path: str, spider: str) -> None:
        """Claim the folder at *path* for *spider*. Nothing in it is changed.

        Raises:
            JobDirError: If it cannot be had: used by a live crawl, by another spider,
                by Scrapy's own scheduler, damaged, or not writable.
        """
        self._folder = Path(path)
        self._closing: list[Callable[[], object]] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refuse_scrapys(path)
            self._lock = locked(self._folder / _LOCK)
        except BlockingIOError:
            raise JobDirError(
                path,
                "another crawl that runs now uses it; wait until that has ended, or "
                "use another folder",
            ) from None
        except OSError as error:
            raise JobDirError(
                path, f"it cannot be used: {error.strerror}; use another folder"
            ) from None
        try:
            self.is_resumed = self._check(path, spider)
        except JobDirError:
            self._lock.close()
            raise

    @property
    def path(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def state(self) -> str:
        """The path of the file with ``spider.state``."""
        return str(self._folder / STATE)

    @property
    def frontier(self) -> str:
        """The path of the frontier's file, readable by its owner only."""
        file = self._folder / FRONTIER
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        make_name_safe(self._folder.absolute())
        make_name_safe(file)
        return str(file)

    def before_close(self, close: Callable[[], object]) -> None:
        """Call *close* when the crawl has stopped and before the folder is free."""
        self._closing.append(close)

    def close(self) -> None:
        """Let others have it."""
        while self._closing:
            self._closing.pop()()
        with contextlib.suppress(OSError):  # Scrapy has written none
            (self._folder / STATE).chmod(0o600)
        self._lock.close()

    def _refuse_scrapys(self, path: str) -> None:
        has_ours = (self._folder / FRONTIER).exists()
        if (self._folder / "requests.queue").exists() and not has_ours:
            raise JobDirError(
                path,
                "Scrapy's own scheduler began this crawl; resume it without MODE, or "
                "use another folder",
            )

    def _check(self, path: str, spider: str) -> bool:
        """Return whether there is a crawl to resume."""
        file = self._folder / FRONTIER
        if not file.exists():
            return False
        try:
            owner = _owner(file)
        except sqlite3.DatabaseError as error:
            reason = str(error).partition("\n")[0]
            raise JobDirError(
                path,
                f"{FRONTIER} in it is damaged ({reason}); restore it from a copy, or "
                "remove the folder to begin anew",
            ) from None
        if owner not in (None, spider):
            raise JobDirError(
                path,
                f"it belongs to the spider {owner!r}, not to {spider!r}; use another "
                "folder",
            )
        return owner is not None


_claimed: WeakKeyDictionary[Crawler, JobDir] = WeakKeyDictionary()


def claim(crawler: Crawler, path: str) -> None:
    """Claim the folder at *path* for *crawler*, until it has stopped.

    Raises:
        JobDirError: See :class:`JobDir`.
    """
    claimed = _claimed[crawler] = JobDir(path, crawler.spidercls.name)
    # Not earlier: the feeds are closed after the scheduler.
    crawler.signals.connect(claimed.close, signals.engine_stopped)


def claimed_by(crawler: Crawler) -> JobDir | None:
    """Return the folder that *crawler* has, or None."""
    return _claimed.get(crawler)


def _owner(file: Path) -> str | None:
    if file.stat().st_size == 0:
        return None
    # Without a log there is nothing to read but the file, and no need to leave a log
    # beside it. With one, its index (-shm) is all that reading may write.
    log = file.with_name(f"{file.name}-wal")
    how = "mode=ro" if log.exists() else "immutable=1"
    uri = f"{file.absolute().as_uri()}?{how}"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        try:
            select = "SELECT text FROM note WHERE name = ?"
            row = db.execute(select, (SPIDER,)).fetchone()
        except sqlite3.OperationalError:  # it was killed before it wrote anything
            return None
    return None if row is None else str(row[0])
