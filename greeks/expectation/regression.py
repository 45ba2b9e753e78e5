"""Numbers less their regression on controls of mean zero, without the bias of a fit on the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

__all__ = ["regressed"]

_NOTHING = 1e-12
"""Share of a control's sum of squares that is no more than rounding."""

_ALONE = 1e-8
"""One minus the leverage of a sample without which its controls do not vary."""


def regressed(target: FloatArray, controls: Sequence[FloatArray]) -> FloatArray:
    r"""Each sample's :math:`y_i - \beta_{-i}^\top c_i`, [sample, ...], whose mean is that of y whatever the controls.

    :math:`\beta_{-i}` is the least-squares slope (with intercept) over all samples but i, so it is independent of :math:`c_i` and,
    :math:`E[c] = 0`, the mean is exactly unbiased. One fit does for all: with controls made orthogonal and centred to :math:`\bar c`,
    e the residual and h the leverage, :math:`\beta_{-i} = \beta - \bar c_i e_i / (|\bar c|^2 (1 - h_i))` (Belsley, Kuh and Welsch 1980,
    section 2.1). The spread of the numbers is that of deleted residuals, which allows for the fitted coefficients. A control that
    does not vary or repeats earlier ones changes nothing. Control variates: Glasserman (2004), section 4.1.

    Parameters
    ----------
    target : ndarray [sample, ...]
    controls : sequence of ndarray [sample, ...]
        Each in the shape of ``target``: a separate regression for each number.
    """
    count, shape = len(target), target.shape
    if not controls:
        return target
    if count < len(controls) + 3:
        raise InvalidInput("samples", count, f"must be at least {len(controls) + 3} to fit {len(controls)} controls")
    y, columns = target.reshape(count, -1), [np.reshape(control, (count, -1)) for control in controls]
    everyone = np.ones(count, dtype=bool)
    residual, out = y - y.mean(axis=0), y
    rest, lift = np.full_like(y, 1.0 - 1.0 / count), np.zeros_like(y)
    for own, centred, square in _orthogonal(columns, everyone):
        slope = (centred * y).sum(axis=0) / square
        residual = residual - centred * slope
        rest = rest - centred * centred / square
        out = out - own * slope
        lift = lift + own * centred / square
    alone = rest < _ALONE
    out = out + lift * residual / np.where(alone, 1.0, rest)
    for sample, number in np.argwhere(alone):
        at = slice(number, number + 1)
        others = np.arange(count) != sample
        value = y[sample, number]
        for own, centred, square in _orthogonal([column[:, at] for column in columns], others):
            value = value - own[sample, 0] * (centred[others] * y[others, at]).sum() / square[0]
        out[sample, number] = value
    found: FloatArray = out.reshape(shape)
    return found


def _orthogonal(columns: Sequence[FloatArray], used: Any) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """Controls less their regressions on earlier ones over the ``used`` samples: as they are, centred, and the centred's square.

    By Gram and Schmidt, each pass twice. What rounding alone would leave is set to zero, with the square 1.
    """
    basis: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for column in columns:
        own, centred = column, column - column[used].mean(axis=0)
        whole = (column[used] ** 2).sum(axis=0)
        for earlier, direction, square in basis + basis:
            share = (direction[used] * centred[used]).sum(axis=0) / square
            own, centred = own - share * earlier, centred - share * direction
        square = (centred[used] ** 2).sum(axis=0)
        varies = square > _NOTHING * whole
        basis.append((np.where(varies, own, 0.0), np.where(varies, centred, 0.0), np.where(varies, square, 1.0)))
    return basis
