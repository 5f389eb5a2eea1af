"""Percentiles of any number of values, in memory that does not grow with them. Pure.

Up to :data:`RAW_VALUES` values are kept as they are, and percentiles are exact. Beyond
that they are counted in buckets whose borders grow by a constant factor, so that each
percentile is within :data:`RELATIVE_ERROR` of a value that was seen. Percentiles of
several runs come of all their values together, never of their percentiles.

References:
    C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile
    Sketch with Relative-Error Guarantees", PVLDB 12(12), 2019.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, log
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.intervals import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable

RAW_VALUES = 100_000
RELATIVE_ERROR = 0.005

#: From one border of a bucket to the next.
_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH = log(_GROWTH)
#: What is shorter counts as nothing: a nanosecond, if values are seconds.
_LEAST = 1e-9


class Quantiles:
    """The distribution of values that are 0 or more.

    Invariant: either all values are in ``_raw``, or all are counted in ``_buckets``,
    where bucket *n* has those in (growth**(n-1), growth**n]; None has the rest.

    Args:
        values: To begin with.
        raw: How many are kept as they are.
    """

    def __init__(self, values: Iterable[float] = (), *, raw: int = RAW_VALUES) -> None:
        self._most = raw
        self._raw: list[float] | None = []
        self._buckets: Counter[int | None] = Counter()
        self._count = 0
        self.largest = 0.0
        self.add(values)

    def __len__(self) -> int:
        return self._count

    def add(self, values: Iterable[float]) -> None:
        """Take in *values*."""
        for value in values:
            self._count += 1
            self.largest = max(self.largest, value)
            if self._raw is None:
                self._buckets[_bucket(value)] += 1
                continue
            self._raw.append(value)
            if len(self._raw) > self._most:
                self._sketch()

    def merge(self, other: Quantiles) -> None:
        """Take in all values of *other*, which stays as it is."""
        raw, buckets, count = other.parts()
        if raw is not None:
            self.add(raw)
            return
        self._sketch()
        self._buckets.update(buckets)
        self._count += count
        self.largest = max(self.largest, other.largest)

    def parts(self) -> tuple[list[float] | None, Counter[int | None], int]:
        """Return the values while they are kept, else None; buckets; and the count."""
        return self._raw, self._buckets, self._count

    def at(self, share: float) -> float:
        """Return the value below which *share* (0 to 1) of the values lie.

        Raises:
            ValueError: If there are none.
        """
        if not self._count:
            raise ValueError("no values")
        if self._raw is not None:
            return percentile(sorted(self._raw), share)
        left = share * (self._count - 1)
        for bucket in sorted(self._buckets, key=_order):
            left -= self._buckets[bucket]
            if left < 0:
                return min(_middle(bucket), self.largest)
        return self.largest

    def _sketch(self) -> None:
        """Count what is kept in buckets from now on."""
        raw, self._raw = self._raw or [], None
        self._buckets.update(map(_bucket, raw))


def _bucket(value: float) -> int | None:
    return None if value <= _LEAST else ceil(log(value) / _LOG_GROWTH)


def _middle(bucket: int | None) -> float:
    """Return the value that is relatively as near to one border as to the other."""
    return 0.0 if bucket is None else 2 * _GROWTH**bucket / (_GROWTH + 1)


def _order(bucket: int | None) -> tuple[bool, int]:
    return bucket is not None, bucket or 0
