"""Sums of batch means over positions that lose nothing to rounding, so that no position's own batch means have to be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["BatchSums", "ExactSum"]

FloatArray = npt.NDArray[np.float64]


class ExactSum:
    r"""Sums of arrays of one shape, element by element, without rounding.

    Each element's sum is held as floats :math:`p_1, \dots, p_K` whose exact sum it is and which do not overlap, so that there are few of
    them; `math.fsum` of them is the correctly rounded sum of all that was added, whatever the order. What is beyond the greatest float, or
    no number, makes its element NaN.

    Source: Shewchuk (1997), "Adaptive precision floating-point arithmetic and fast robust geometric predicates", Discrete & Computational
    Geometry 18, theorem 10 (grow-expansion), with the sum and error of two numbers by Knuth.
    """

    def __init__(self) -> None:
        self.parts: list[FloatArray] = []

    def add(self, terms: FloatArray) -> None:
        """Add ``terms`` [element]."""
        grown, total = [], terms
        for part in self.parts:
            raised = total + part
            share = raised - total
            grown.append((total - (raised - share)) + (part - share))
            total = raised
        grown.append(total)
        self.parts = [part for part in grown if part.any()]
        if len(self.parts) > _MOST_PARTS:
            self.parts = _without_zeros(self.parts)
        if len(self.parts) > _MOST_PARTS:
            self.parts = _fewest(self.parts)


_MOST_PARTS = 6
"""Beyond, the parts are made fewer; two or three hold a sum of like sizes."""


def _without_zeros(parts: list[FloatArray]) -> list[FloatArray]:
    """The same sums: each element's zeros first, the other parts in their order, and no row of zeros only."""
    stacked = np.stack(parts)
    order = np.argsort(stacked != 0.0, axis=0, kind="stable")
    return [part for part in np.take_along_axis(stacked, order, axis=0) if part.any()]


def _fewest(parts: list[FloatArray]) -> list[FloatArray]:
    """The same sums in as few parts as there can be: each element's rounded sum, what is left of it rounded, and so on."""
    n_paths = [_digits(path) for path in zip(*(part.tolist() for part in parts), strict=True)]
    width = max(map(len, n_paths))
    return list(np.array([[0.0] * (width - len(path)) + path for path in n_paths]).T)


def _digits(path: tuple[float, ...]) -> list[float]:
    """Parts of one element, the largest last."""
    left, found = list(path), list[float]()
    try:
        while rounded := math.fsum(left):
            if not math.isfinite(rounded):
                return [math.nan]
            left.append(-rounded)
            found.insert(0, rounded)
    except (OverflowError, ValueError):  # beyond the greatest float
        return [math.nan]
    return found


Group = tuple[str, str, str]
"""Book, underlying, Greek."""

_Paths = tuple[int, float]
"""Batches and paths: what tells the paths of a run from those of another one on fewer."""


class BatchSums:
    """Sums over positions of their batch means, for each group and in each kind of unit; positions on other paths are summed apart.

    Memory grows with the groups and not with the positions.
    """

    def __init__(self) -> None:
        self._counts: dict[_Paths, FloatArray] = {}
        self._sums: dict[tuple[_Paths, Group, bool], ExactSum] = {}

    def add(self, group: Group, means: FloatArray, counts: FloatArray, quantity: float, factor: float) -> None:
        """Add a position.

        Parameters
        ----------
        group : tuple of str
            Book, underlying, Greek.
        means, counts : ndarray [batch]
            Batch means for one contract, and the paths in each batch.
        quantity : float
        factor : float
            From raw to desk units.
        """
        paths, raw = (len(counts), float(counts.sum())), means * quantity
        self._counts[paths] = counts
        self._sums.setdefault((paths, group, False), ExactSum()).add(raw)
        self._sums.setdefault((paths, group, True), ExactSum()).add(raw * factor)

    def series(self, groups: Iterable[Group], *, desk: bool) -> list[tuple[FloatArray, FloatArray]]:
        """Batch means of the sum over all positions of the groups, each correctly rounded, in desk units or raw.

        One pair for each number of paths that positions have: the paths in each batch, and the means, both [batch].

        Raises
        ------
        OverflowError
            Where a sum is beyond the greatest float.
        """
        wanted, found = list(groups), []
        for paths, counts in self._counts.items():
            sums = [self._sums[paths, group, desk] for group in wanted if (paths, group, desk) in self._sums]
            if sums:
                parts = [np.zeros(len(counts)), *(part for summed in sums for part in summed.parts)]
                found.append(
                    (counts, np.array([math.fsum(batch) for batch in zip(*(part.tolist() for part in parts), strict=True)]))
                )
        return found
