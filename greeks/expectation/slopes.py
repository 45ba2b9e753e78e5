"""The derivative of f by its argument: a user's own, or by the complex step; and whether it says how the mean of f moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from greeks.expectation.domain import FloatArray
from greeks.expectation.integrand import Function, evaluated
from greeks.expectation.tree import leaves, mapped, replaced
from pricers.errors import InvalidInput, NotApplicable

__all__ = ["slopes"]

_IMAGINARY = 1e-150
_NEAR = 1e-6
"""Share of the way to another draw at which a slope is tried."""

_TRIED = 256
_SUSPECTS, _HALVINGS = 64, 48
_JUMP = 1e-4
"""Share of the range of f that is called a jump where it happens over 2**-48 of the way between two draws."""


def slopes(f: Function, df: Callable[[Any], Any] | None, x: Any, values: FloatArray) -> Any:
    r"""Derivative of f by each coordinate of each draw, in the form of x.

    ``df`` is taken at its word as to form, and tried as to value: against differences of f towards other draws. Without
    it the complex step :math:`\Im f(x + ih)/h` is used, which needs an analytic f: sums, products, powers, exp, log,
    sin, where, maximum, but not abs. A jump of f, whose effect on the mean no slope shows, is looked for by bisection
    between those draws where f changes most beyond its slopes. What is rarer than the draws can show, or smaller than
    1e-4 of the range of f, escapes.

    Parameters
    ----------
    f, df : callable
    x : draws
    values : ndarray [sample]
        f(x).

    Raises
    ------
    InvalidInput
        Where ``df`` has the wrong shape, is not finite or is not the derivative of f.
    NotApplicable
        Where f jumps, or no ``df`` is given and f is not analytic.
    """
    found = _given(df, x) if df is not None else _by_complex_step(f, x)
    _refuse_jumps(f, x, values, found if found is not None else mapped(np.zeros_like, x))
    if found is None:
        raise _not_analytic()
    _refuse_wrong(f, df is not None, x, values, found)
    return found


def _given(df: Callable[[Any], Any], x: Any) -> Any:
    found = df(x)
    wanted, got = ({path: np.shape(leaf) for path, leaf in leaves(part)} for part in (x, found))
    if wanted != got:
        raise InvalidInput(
            "df", got.get((), got), f"must have the shape of the draws, {wanted.get((), wanted)}; its shape is wrong"
        )
    for _, leaf in leaves(found):
        if not np.isfinite(leaf).all():
            raise InvalidInput("df", "another number", "must be finite at every draw")
    return mapped(lambda leaf: np.asarray(leaf, dtype=float), found)


def _by_complex_step(f: Function, x: Any) -> Any:
    """The slope in the form of x, or None where f does not take complex numbers or makes real ones of them."""
    found = x
    for path, leaf in leaves(x):
        slope = np.empty_like(leaf)
        for index in np.ndindex(leaf.shape[1:]):
            at = (slice(None), *index)
            moved = leaf.astype(complex)
            moved[at] += 1j * _IMAGINARY
            try:
                values = np.asarray(f(replaced(x, path, moved)))
            except (TypeError, ValueError, np.exceptions.ComplexWarning):
                return None
            if values.dtype.kind != "c" or values.shape != (len(leaf),):
                return None
            slope[at] = values.imag / _IMAGINARY
        found = replaced(found, path, slope)
    return found


def _not_analytic() -> NotApplicable:
    return NotApplicable("f is no analytic function of its argument; give its derivative as df, or use ScoreFunction()")


def _refuse_wrong(f: Function, given: bool, x: Any, values: FloatArray, slope: Any) -> None:
    """Compare slopes with short differences of f towards other draws."""
    step = mapped(lambda leaf: _NEAR * (np.roll(leaf, -1, axis=0) - leaf)[:_TRIED], x)
    near = mapped(lambda leaf, by: leaf[:_TRIED] + by, x, step)
    change = evaluated(f, near) - values[:_TRIED]
    foretold = _along(mapped(lambda leaf: leaf[:_TRIED], slope), step)
    size = np.abs(foretold) + np.sqrt(np.mean(np.square(foretold))) + np.sqrt(np.mean(np.square(change)))
    wrong = np.abs(change - foretold) > 1e-3 * size + 1e-12 * np.abs(values[:_TRIED]).max()
    if wrong.mean() > 0.05:
        if not given:
            raise _not_analytic()
        worst = int(np.argmax(np.abs(change - foretold) / (size + 1e-300)))
        raise InvalidInput(
            "df", float(foretold[worst] / _NEAR), f"is not the derivative of f, whose difference is {change[worst] / _NEAR:.6g}"
        )


def _refuse_jumps(f: Function, x: Any, values: FloatArray, slope: Any) -> None:
    """Bisect between consecutive draws, where f changes most beyond its slopes."""
    step = mapped(lambda leaf: np.roll(leaf, -1, axis=0) - leaf, x)
    mean_slope = mapped(lambda leaf: 0.5 * (leaf + np.roll(leaf, -1, axis=0)), slope)
    excess = np.abs(np.roll(values, -1) - values - _along(mean_slope, step))
    suspects = np.argsort(excess)[-_SUSPECTS:]
    start = mapped(lambda leaf: leaf[suspects], x)
    way = mapped(lambda leaf: leaf[suspects], step)

    def between(share: FloatArray) -> FloatArray:
        moved = mapped(lambda leaf, by: leaf + share.reshape(-1, *[1] * (by.ndim - 1)) * by, start, way)
        return evaluated(f, moved)

    low, high = np.zeros(len(suspects)), np.ones(len(suspects))
    at_low, at_high = values[suspects], np.roll(values, -1)[suspects]
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        at_middle = between(middle)
        left = np.abs(at_middle - at_low) > np.abs(at_high - at_middle)
        low, high = np.where(left, low, middle), np.where(left, middle, high)
        at_low, at_high = np.where(left, at_low, at_middle), np.where(left, at_middle, at_high)
    if (np.abs(at_high - at_low) > _JUMP * np.ptp(values) + 1e-9 * np.abs(values).max()).any():
        raise NotApplicable("f jumps, and its slopes do not show how its mean moves; use ScoreFunction()")


def _along(slope: Any, step: Any) -> FloatArray:
    """Sum over coordinates of slope times step, [sample]."""
    products = mapped(lambda a, b: (a * b).reshape(len(a), -1).sum(axis=1), slope, step)
    total: FloatArray = np.sum([leaf for _, leaf in leaves(products)], axis=0)
    return total
