"""The records of a comparison's runs, read from their files on demand."""

from __future__ import annotations

import gzip
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, overload

from concurcrawl.errors import ConfigError
from concurcrawl.tracing.record import Record, from_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

RECORDS = "records.jsonl"
#: Records above which a file is compressed, to a tenth of its size.
LARGE = 100_000
#: Records of earlier runs that stay in memory.
_MOST_IN_MEMORY = 200_000


def file_name(records: int) -> str:
    """Return the name of a file of so many *records*."""
    return f"{RECORDS}.gz" if records > LARGE else RECORDS


def compress_if_large(folder: Path, records: int) -> None:
    """Compress the file of *records* in *folder*, if it has very many."""
    if records <= LARGE:
        return
    path = folder / RECORDS
    half = folder / f".{RECORDS}.gz"  # so that no reader sees a partial file
    with path.open("rb") as plain, gzip.open(half, "wb", compresslevel=5) as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)
    half.replace(folder / file_name(records))
    path.unlink()


class KeptRecords(Mapping[str, Sequence[Record]]):
    """The records of each run, by its folder.

    Invariant: it holds at most one run and :data:`_MOST_IN_MEMORY` records in memory,
    however many runs there are.

    Args:
        folder: Of the comparison.
        runs: The folders of the runs below it; one without a file has no records.
    """

    def __init__(self, folder: Path, runs: Iterable[str]) -> None:
        self._folder = folder
        self._paths = {
            run: path for run in runs if (path := _path(folder / run)) is not None
        }
        self._loaded: OrderedDict[str, list[Record]] = OrderedDict()

    def __getitem__(self, run: str) -> Sequence[Record]:
        """Return the records of *run*, which are read on first access."""
        self._paths[run]
        return RunRecords(self, run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, run: str) -> list[Record]:
        """Return the records of *run*, from memory or from their file.

        Raises:
            ConfigError: If the file is damaged.
        """
        if run not in self._loaded:
            self._loaded[run] = read_file(self._paths[run], "DIR", self._folder)
        self._loaded.move_to_end(run)
        while len(self._loaded) > 1 and self._in_memory() > _MOST_IN_MEMORY:
            self._loaded.popitem(last=False)
        return self._loaded[run]

    def _in_memory(self) -> int:
        return sum(map(len, self._loaded.values()))


def read_file(path: Path, option: str, folder: Path | None = None) -> list[Record]:
    """Return the records in *path*, which may be compressed.

    Args:
        path: The file.
        option: The option that named it, for the error.
        folder: What that option named, if not the file itself.

    Raises:
        ConfigError: If it is damaged or no file of records.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as packed:
                return list(from_lines(packed))
        with path.open(encoding="utf-8") as file:
            return list(from_lines(file))
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        named = str(folder or path)
        raise ConfigError(option, named, f"whole: {path}: {error}") from None


class RunRecords(Sequence[Record]):
    """The records of one run, loaded on access."""

    def __init__(self, kept: KeptRecords, run: str) -> None:
        self._kept = kept
        self._run = run

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._kept.load(self._run)[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept.load(self._run))

    def __len__(self) -> int:
        return len(self._kept.load(self._run))


def _path(folder: Path) -> Path | None:
    paths = (folder / RECORDS, folder / f"{RECORDS}.gz")
    return next((path for path in paths if path.exists()), None)
