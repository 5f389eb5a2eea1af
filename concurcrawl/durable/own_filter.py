"""A ``DUPEFILTER_CLASS`` of the project's own, when the process is killed.

Such a filter notes a request as seen before the frontier has it. Killed in between, the
request would be known to the filter and waiting nowhere. Two ways against that:

- The file of Scrapy's own filter, which subclasses inherit, only grows. Its length is
  noted in the step that adds the requests, and a crawl that resumes cuts it back.
- Of any other filter, the requests that it is about to be asked for are noted first. If
  they still are when the crawl resumes, an answer that one of them was seen is believed
  only if the frontier knows it too.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.dupefilters import RFPDupeFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scrapy import Request
    from scrapy.dupefilters import BaseDupeFilter

    from concurcrawl.frontier.sqlite import SqliteFrontier

#: Prefix of the note with the length of the filter's file.
_NOTE = "filter:"


def cut_back(notes: Mapping[str, str]) -> None:
    """Cut the filter's file to what the frontier knows of, before it is opened."""
    for name, text in notes.items():
        path = Path(name.removeprefix(_NOTE))
        if name.startswith(_NOTE) and path.exists():
            os.truncate(path, min(int(text), path.stat().st_size))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a commit notes of a filter that was asked.

    Attributes:
        keys: The requests that are no longer in doubt.
        seen: Those that the filter did not know before.
        notes: The length of the filter's file, if it can be cut back.
    """

    keys: Sequence[bytes] = ()
    seen: Sequence[bytes] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


class DurableFilter:
    """Asks a filter in steps that can be taken back or doubted.

    Invariant: what the filter was asked since the last step of the frontier is in a
    file that will be cut back, or noted as asked.
    """

    def __init__(
        self, dupefilter: BaseDupeFilter, frontier: SqliteFrontier, folder: str
    ) -> None:
        """Make one.

        Args:
            dupefilter: The project's filter.
            frontier: Keeps what is asked.
            folder: The JOBDIR. Files elsewhere may be others' too, and are not cut.
        """
        self._filter = dupefilter
        self._frontier = frontier
        self._keys = frontier.keys
        self._folder = Path(folder).resolve()
        self._in_doubt = frontier.keys.asked()
        self._new: list[bytes] = []
        self._noted: dict[str, str] = {}

    def ask(self, keys: Iterable[bytes]) -> None:
        """Note what the filter is about to be asked for, before it is."""
        if self._file() is None:
            self._keys.ask(keys)
        elif not self._noted:
            self._note_length()

    def seen(self, request: Request, key: bytes) -> bool:
        """Return whether *request* is to be filtered."""
        is_seen = self._filter.request_seen(request)
        if is_seen and key in self._in_doubt:
            is_seen = self._keys.knows(key)
        self._in_doubt.discard(key)
        if not is_seen:
            self._new.append(key)
        return is_seen

    def claim(self, request: Request, key: bytes) -> bool:
        """Return whether *request* is to be filtered, which the frontier never has.

        It stays in doubt until the lease that it is done with has ended.
        """
        self._keys.ask([key])
        is_seen = self._filter.request_seen(request)
        if is_seen and key in self._in_doubt:
            is_seen = self._keys.knows(key)
        if is_seen:
            self._keys.answered([key])
        return is_seen

    def resolve(self, keys: Iterable[bytes]) -> None:
        """Note that what was claimed is done."""
        self._keys.answered(keys)

    def prepare(self, keys: Iterable[bytes]) -> Answers:
        """Flush the filter's files, and return what the commit is to note of them.

        Not within a transaction: the filter is the project's code.

        Args:
            keys: All that the filter may have been asked for, as :meth:`ask` had them.
        """
        self._flush()
        new, self._new = self._new, []
        if self._file() is None:
            return Answers(keys=[*keys], seen=new)
        return Answers(notes=self._length())

    def commit(self, answers: Answers) -> None:
        """Note *answers*, in the transaction that adds the requests."""
        if answers.notes:
            self._note(answers.notes)
        self._keys.answered(answers.keys)
        for key in answers.seen:
            self._keys.remember(key)

    def close(self) -> None:
        """Note how the filter has left its file."""
        for name in self._noted:
            path = Path(name.removeprefix(_NOTE))
            if path.exists():
                self._frontier.keep([], {name: str(path.stat().st_size)})

    def _file(self) -> io.IOBase | None:
        """Return the file that can be cut back, if the filter has one."""
        found = getattr(self._filter, "file", None)
        if not isinstance(self._filter, RFPDupeFilter) or found is None or found.closed:
            return None
        path = Path(found.name).resolve()
        is_ours: bool = "a" in found.mode and path.is_relative_to(self._folder)
        return found if is_ours else None

    def _note_length(self) -> None:
        self._note(self._length())

    def _length(self) -> dict[str, str]:
        """Return the note with the length of the filter's file, by its name."""
        file = self._file()
        assert file is not None
        name = f"{_NOTE}{Path(file.name).resolve()}"  # type: ignore[attr-defined]
        return {name: str(os.fstat(file.fileno()).st_size)}

    def _note(self, notes: Mapping[str, str]) -> None:
        if not notes.items() <= self._noted.items():
            self._noted.update(notes)
            self._frontier.keep([], notes)

    def _flush(self) -> None:
        """Have the filter's files say what it has noted, before the frontier does."""
        for thing in vars(self._filter).values():
            if isinstance(thing, io.IOBase) and not thing.closed and thing.writable():
                thing.flush()
