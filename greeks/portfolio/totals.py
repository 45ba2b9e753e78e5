"""Sums over positions, with the standard error that shared paths give them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from greeks.portfolio.batch_sums import BatchSums
from greeks.portfolio.desk_units import Desk

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVELS", "Term", "totals"]

FloatArray = npt.NDArray[np.float64]

LEVELS = ("book x underlying", "book", "underlying", "all")

UNREADABLE = "(unreadable)"
"""The book or underlying of a row whose name cannot be used."""

COLUMNS = (
    *("level", "book", "underlying", "greek", "value", "stderr", "bias", "unit"),
    *("desk_greek", "desk_value", "desk_stderr", "desk_bias", "desk_unit"),
    *("trades", "missing", "not_resolved", "by_formula", "noisy", "status"),
)

NOISE, NET = 0.1, 0.01
"""A total is noisy where its error is over a tenth (`NOISE`) of its size: the larger of its own absolute value and a hundredth (`NET`) of
the sum of its trades' natural sizes (see `greeks.estimators.natural_size`), so that a total that nets to nothing is not noisy for that."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """One position's part of a total.

    Attributes
    ----------
    book, underlying, greek, unit : str
    desk : Desk
    factor : float
        From raw to desk units.
    value : float
        Of the position, raw; NaN where there is none.
    quantity : float
    bias : float
        Size of the measured bias of ``value``.
    size : float
        Natural size of the position's Greek, raw; NaN where it is not known.
    resolved : bool
        Whether the error of ``value`` is known.
    sampled : bool
        Whether paths made ``value``, and no closed form: its batch means are then in the `BatchSums`, where ``resolved``.
    """

    book: str
    underlying: str
    greek: str
    unit: str
    desk: Desk
    factor: float = math.nan
    value: float = math.nan
    quantity: float = math.nan
    bias: float = 0.0
    size: float = math.nan
    resolved: bool = True
    sampled: bool = False


def totals(terms: Sequence[Term], sums: BatchSums) -> pd.DataFrame:
    r"""Totals by book and underlying, by book, by underlying, and of all, one row for each and Greek.

    Positions on one underlying share their paths, so their errors are correlated and no sum of squares is right. The paths
    come in batches; with :math:`m_b` the quantity-weighted sum over trades of their means over the :math:`n_b` paths of batch
    b, the total's variance is :math:`\sum_b n_b (m_b - \bar m)^2 / ((B - 1) \sum_b n_b)` (batch means). Sums are exactly
    rounded (`math.fsum`), so that no order of rows can change them and opposite positions leave exactly nothing.

    A total is the sum of the positions that have a number; ``missing`` counts those that have none, and where no position has one
    the total is NaN. Its error is that of the positions whose own is known; ``not_resolved`` counts the others, ``by_formula`` those
    without any error, and where no position's error is known, nor is the total's. ``bias`` is the sum of the sizes of the
    positions' biases, an upper bound; ``noisy`` says whether the error exceeds a tenth of the total's size (`NOISE`, `NET`).
    Where positions have different numbers of paths (see `risk_report`'s ``enough``), the errors of each number's are added up, which is
    the most they can amount to.
    Raw delta and gamma of different underlyings do not add up: such totals are in desk units only.

    Parameters
    ----------
    terms : sequence of Term
    sums : BatchSums
        Batch means of the terms that are ``sampled`` and ``resolved``.
    """
    import pandas as pd

    groups: dict[tuple[int, str, str, str], list[Term]] = {}
    for term in terms:
        for level, book, underlying in _places(term):
            groups.setdefault((level, book, underlying, term.greek), []).append(term)
    greeks = {name: place for place, name in enumerate(dict.fromkeys(term.greek for term in terms))}
    ordered = sorted(groups, key=lambda key: (-key[0], key[1], key[2], greeks[key[3]]))
    return pd.DataFrame([_total(key, groups[key], sums) for key in ordered], columns=list(COLUMNS))


def _places(term: Term) -> Iterator[tuple[int, str, str]]:
    book, underlying = term.book or UNREADABLE, term.underlying or UNREADABLE
    yield 0, book, underlying
    yield 1, book, ""
    yield 2, "", underlying
    yield 3, "", ""


def _total(key: tuple[int, str, str, str], terms: list[Term], sums: BatchSums) -> tuple[object, ...]:
    level, book, underlying, greek = key
    desk = terms[0].desk
    summed = [term for term in terms if math.isfinite(term.value)]
    missing, unresolved = len(terms) - len(summed), sum(not term.resolved for term in summed)
    additive = desk.power == 0 or len({term.underlying for term in summed}) == 1
    desk_value, desk_stderr, desk_bias = _sum(summed, sums, desk=True)
    value, stderr, bias = _sum(summed, sums, desk=False) if additive else (math.nan, math.nan, math.nan)
    by_formula = sum(term.resolved and not term.sampled for term in summed)
    return (
        *(LEVELS[level], book, underlying, greek, value, stderr, bias, terms[0].unit if additive else ""),
        *(desk.name, desk_value, desk_stderr, desk_bias, desk.unit, len(summed), missing, unresolved, by_formula),
        *(_noisy(summed, desk_value, desk_stderr), _status(len(terms), missing, unresolved, desk_value)),
    )


def _status(trades: int, missing: int, unresolved: int, desk_value: float) -> str:
    """What a total leaves out, in words."""
    if missing < trades and not math.isfinite(desk_value):
        return "not finite"
    text = []
    if missing or not trades:
        text.append(f"lacks {missing} of {trades} trades")
    if unresolved:
        text.append(f"error without {unresolved} of {trades} trades: not resolved")
    return "; ".join(text) or "ok"


def _noisy(terms: list[Term], value: float, stderr: float) -> bool:
    """Whether the error is large beside what the total amounts to; see `NOISE`."""
    sizes = math.fsum(size for term in terms if math.isfinite(size := abs(term.size * term.factor)))
    return stderr > NOISE * max(abs(value), NET * sizes)


def _sum(terms: list[Term], sums: BatchSums, *, desk: bool) -> tuple[float, float, float]:
    """Value, standard error and size of the bias of the sum of the terms, in desk units or raw."""
    if not terms:
        return math.nan, math.nan, math.nan
    factors = [term.factor if desk else 1.0 for term in terms]
    try:
        value = math.fsum(term.value * factor for term, factor in zip(terms, factors, strict=True))
        bias = math.fsum(abs(term.bias * factor) for term, factor in zip(terms, factors, strict=True))
        return value, _stderr(terms, sums, desk), bias
    except (OverflowError, ValueError):  # of math.fsum, beyond the greatest float
        return math.nan, math.nan, math.nan


def _stderr(terms: list[Term], sums: BatchSums, desk: bool) -> float:
    """Standard error of the sum of the terms whose error is known, by batch means."""
    resolved = [term for term in terms if term.resolved]
    groups = dict.fromkeys((term.book, term.underlying, term.greek) for term in resolved if term.sampled)
    if not groups:
        return 0.0 if resolved else math.nan
    return math.fsum(_batch_error(counts, series) for counts, series in sums.series(groups, desk=desk))


def _batch_error(counts: FloatArray, series: FloatArray) -> float:
    """Standard error of a mean by its batch means."""
    if len(counts) < 2:
        return math.nan
    deviations = series - np.average(series, weights=counts)
    return math.sqrt(float(counts @ deviations**2) / (len(counts) - 1) / float(counts.sum()))
