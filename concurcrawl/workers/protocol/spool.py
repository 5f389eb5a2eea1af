"""Keeps partial results on disk until the result arrives.

A page may have any number of links; in memory they could fill it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
from typing import IO, TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from concurcrawl.workers.protocol.messages.results import Product

T_co = TypeVar("T_co", covariant=True)


class SpoolView(Generic[T_co]):
    """A part of a spool. Each iteration reads it from the file again."""

    def __init__(self, read: Callable[[], Iterator[T_co]], count: int) -> None:
        self._read = read
        self._count = count

    def __iter__(self) -> Iterator[T_co]:
        return self._read()

    def __len__(self) -> int:
        return self._count


class Spool:
    """The products of one lease, in an anonymous temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._parts = self._items = self._requests = 0
        self._error: OSError | None = None

    def add(self, products: Sequence[Product]) -> None:
        """Add *products*. If they cannot be written, iteration raises the error."""
        items = sum(product.is_item for product in products)
        self._items += items
        self._requests += len(products) - items
        try:
            if self._file is None:
                self._file = _nameless()
            pickle.dump(products, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            self._error = error
        self._parts += 1

    def items(self) -> SpoolView[bytes]:
        """Return the items, encoded, in the order they were added."""
        return SpoolView(lambda: (p.payload for p in self if p.is_item), self._items)

    def requests(self) -> SpoolView[Product]:
        """Return the requests, in the order they were added."""
        return SpoolView(lambda: (p for p in self if not p.is_item), self._requests)

    def __iter__(self) -> Iterator[Product]:
        """Yield all products, in the order they were added.

        Raises:
            OSError: If they could not be written.
        """
        if self._error is not None:
            raise self._error
        if self._file is None:
            return
        at = 0
        for _ in range(self._parts):
            self._file.seek(at)
            products = pickle.load(self._file)  # noqa: S301 - our own file
            at = self._file.tell()
            yield from products

    def close(self) -> None:
        """Close the file, which deletes it."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # its last bytes did not fit on the disk
                self._file.close()


def _nameless() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no temporary folder is writable, or too many files are open
        return io.BytesIO()
