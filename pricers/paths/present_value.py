"""The present value of what a contract pays along each path, and its derivatives: the one place that discounts payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.paths.discounting import LAST, Discounting
from pricers.paths.paths import Paths, add

__all__ = ["CashFlow", "Pays", "PresentValue", "present_value", "write_derivative", "write_mixed_derivative"]

FloatArray = npt.NDArray[np.float64]


class CashFlow(NamedTuple):
    """An amount on each path, paid at one of the contract's dates.

    Attributes
    ----------
    amount : ndarray [path]
        Undiscounted.
    date : int
        Its place among the contract's dates; the last by default.
    """

    amount: FloatArray
    date: int = LAST


class Pays(Protocol):
    """What has cash flows: contracts."""

    def cash_flows(self, paths: Paths) -> Sequence[CashFlow]:
        """What is paid along each path."""

    def cash_flow_slopes(self, paths: Paths, parameter: str) -> Sequence[CashFlow]:
        """The derivatives of the amounts by a parameter along each path, the discount factors held."""


@kernel
def _weigh(amount, score, slope, factor, out):
    """One payment times score, the discount factor's slope added, and the score."""
    weighed, control = out[0], out[1]
    for path in range(out.shape[1]):
        weighed[path] = factor * amount[path] * (score[path] + slope)
        control[path] = score[path]


@kernel
def _weigh_all(value, score, explicit, factor, out):
    """The value of several payments times score, the derivative by their discount factors added, and the score."""
    weighed, control = out[0], out[1]
    for path in range(out.shape[1]):
        weighed[path] = factor * (value[path] * score[path] + explicit[path])
        control[path] = score[path]


class PresentValue:
    r"""Payments :math:`a_k` on each path, discounted to today: :math:`\sum_k D_k\,a_k`.

    It does not refer to the paths, which refer to it: a reference cycle would keep their memory until the next garbage collection.
    """

    __slots__ = ("_discounting", "_explicit", "_flows", "_total")

    def __init__(self, flows: Sequence[CashFlow], discounting: Discounting):
        self._flows, self._discounting = tuple(flows), discounting
        self._total: FloatArray | None = None
        self._explicit: dict[str, FloatArray] = {}

    @property
    def scaled(self) -> tuple[float, FloatArray]:
        """A number and an array [path] whose product is the present value; not to be written to."""
        if len(self._flows) == 1:
            ((amount, date),) = self._flows
            return self._discounting.factor(date), amount
        if self._total is None:
            self._total = self._sum([self._discounting.factor(date) for _, date in self._flows])
        return 1.0, self._total

    def at_last_date(self) -> FloatArray:
        """Its value at the last date, [path]: what is paid there, where nothing is paid before; not to be written to."""
        factor, amount = self.scaled
        last = self._discounting.factor()
        return amount if factor == last else amount * (factor / last)

    def write(self, out: FloatArray, factor: float = 1.0) -> None:
        """``factor`` times the present value."""
        scale, amount = self.scaled
        np.multiply(amount, factor * scale, out=out)

    def write_times_score(self, score: FloatArray, parameter: str, factor: float, out: FloatArray) -> None:
        r"""``factor`` times :math:`\sum_k D_k a_k (\mathrm{score} + \partial_p \ln D_k)`, and the score, [2, path]."""
        scale, amount = self.scaled
        if len(self._flows) == 1:
            _weigh(amount, score, self._discounting.log_slope(parameter, self._flows[0].date), factor * scale, out)
            return
        slopes = [self._discounting.log_slope(parameter, date) for _, date in self._flows]
        if not any(slopes):
            _weigh(amount, score, 0.0, scale * factor, out)
            return
        if parameter not in self._explicit:
            weights = [self._discounting.factor(date) * slope for (_, date), slope in zip(self._flows, slopes, strict=True)]
            self._explicit[parameter] = self._sum(weights)
        _weigh_all(amount, score, self._explicit[parameter], factor, out)

    def add_explicit(self, parameter: str, factor: float, out: FloatArray) -> None:
        r"""Add ``factor`` times :math:`\sum_k D_k a_k\,\partial_p \ln D_k`."""
        for amount, date in self._flows:
            slope = self._discounting.log_slope(parameter, date)
            if slope:
                add(factor * slope * self._discounting.factor(date), amount, out)

    def _sum(self, weights: Sequence[float]) -> FloatArray:
        out = empty(self._flows[0].amount.shape)
        (first, *more), (weight, *others) = self._flows, weights
        np.multiply(first.amount, weight, out=out)
        for flow, other in zip(more, others, strict=True):
            add(other, flow.amount, out)
        return out


def present_value(contract: Pays, paths: Paths) -> PresentValue:
    """Of a contract on these paths, made once."""
    return paths.once(("present value", contract), lambda: PresentValue(contract.cash_flows(paths), paths.discounting))


def write_derivative(contract: Pays, paths: Paths, parameter: str, factor: float, out: FloatArray) -> None:
    r"""``factor`` times :math:`\sum_k D_k (\partial_p a_k + a_k\,\partial_p \ln D_k)` along each path."""
    first, *more = contract.cash_flow_slopes(paths, parameter)
    np.multiply(first.amount, factor * paths.discounting.factor(first.date), out=out)
    for slope, date in more:
        add(factor * paths.discounting.factor(date), slope, out)
    present_value(contract, paths).add_explicit(parameter, factor, out)


def write_mixed_derivative(
    contract: Pays, paths: Paths, parameter: str, score: FloatArray, other: str, factor: float, out: FloatArray
) -> None:
    r"""``factor`` times :math:`\sum_k D_k\,\partial_p a_k\,(\mathrm{score}_q + \partial_q \ln D_k)`, p a parameter that discounts nothing.

    Parameters
    ----------
    parameter : str
        p: spot or a model's own.
    score : ndarray [path]
        That by ``other``, q, with what else the paths' derivatives by p move by q.
    """
    first, *more = contract.cash_flow_slopes(paths, parameter)
    discounting = paths.discounting
    np.multiply(first.amount, factor * discounting.factor(first.date), out=out)
    out *= score + discounting.log_slope(other, first.date)
    for slope, date in more:
        add(factor * discounting.factor(date), slope * (score + discounting.log_slope(other, date)), out)
