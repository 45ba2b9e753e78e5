"""Numbers less their regression on controls of mean zero, without the bias of a fit on the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

__all__ = ["regressed"]

_ALONE = 1e-8
"""One minus the leverage of a sample without which its control does not vary."""


def regressed(target: FloatArray, controls: Sequence[FloatArray]) -> FloatArray:
    r"""Each sample's :math:`y_i - \beta_{-i}^\top c_i`, [sample, ...], whose mean is that of y whatever the controls.

    :math:`\beta_{-i}` is the least-squares slope (with intercept) over all samples but i, so it is independent of :math:`c_i` and,
    :math:`E[c] = 0`, the mean is exactly unbiased. By the update of Sherman and Morrison
    :math:`\beta_{-i} = \beta - (C^\top C)^{-1} \bar c_i\, e_i / (1 - h_i)` with residual e and leverage h: one fit does for all. The spread
    of the numbers is that of deleted residuals, which allows for the fitted coefficients (Belsley, Kuh and Welsch 1980, ch. 2).
    A control that does not vary, or repeats others, changes nothing. Control variates: Glasserman (2004), section 4.1.

    Parameters
    ----------
    target : ndarray [sample, ...]
    controls : sequence of ndarray [sample, ...]
        Each in the shape of ``target``: a separate regression for each number.
    """
    if not controls:
        return target
    count, shape = len(target), target.shape
    if count < len(controls) + 3:
        raise InvalidInput("samples", count, f"must be at least {len(controls) + 3} to fit {len(controls)} controls")
    y = target.reshape(count, -1).T
    raw = np.stack([np.reshape(control, (count, -1)) for control in controls], axis=-1).transpose(1, 0, 2)  # [number, sample, control]
    scale = np.sqrt(np.mean(np.square(raw), axis=1, keepdims=True))
    raw = raw / np.where(scale > 0.0, scale, 1.0)
    centred = raw - raw.mean(axis=1, keepdims=True)
    gram = np.linalg.pinv(centred.transpose(0, 2, 1) @ centred, rcond=1e-12, hermitian=True)
    lift = centred @ gram
    slope = np.einsum("gnk,gn->gk", lift, y - y.mean(axis=1, keepdims=True))
    residual = y - y.mean(axis=1, keepdims=True) - np.einsum("gnk,gk->gn", centred, slope)
    rest = 1.0 - 1.0 / count - np.einsum("gnk,gnk->gn", lift, centred)
    alone = rest < _ALONE
    deleted = residual / np.where(alone, 1.0, rest)
    out = y - np.einsum("gnk,gk->gn", raw, slope) + np.einsum("gnk,gnk->gn", raw, lift) * deleted
    for number, sample in np.argwhere(alone):
        others = np.arange(count) != sample
        c, v = raw[number, others], y[number, others]
        fit = np.linalg.lstsq(c - c.mean(axis=0), v - v.mean(), rcond=1e-8)[0]
        out[number, sample] = y[number, sample] - raw[number, sample] @ fit
    return out.T.reshape(shape)
