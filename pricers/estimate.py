"""From moments to a number with its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "Moments", "controlled"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number, its standard error, and how it came about.

    Attributes
    ----------
    greek : str
    value : float
        Raw derivative of present value.
    stderr : float
        Standard error of ``value``; 0.0 for a closed form.
    paths : int
        Paths it was averaged over; 0 for a closed form.
    unit : str
        Of ``value``.
    estimator : str
        The method's name.
    note : str
        What else there is to know, such as a finite difference's bump.
    truncation : float
        Order of magnitude of the bias, in the unit of ``value``, where the method is known to have one.
    """

    greek: str
    value: float
    stderr: float
    paths: int
    unit: str
    estimator: str
    note: str = ""
    truncation: float = 0.0

    def __str__(self) -> str:
        return f"{self.greek} = {self.value:.6g} +- {self.stderr:.2g} ({self.estimator}, {self.unit})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """First and second moments of rows of numbers, one number per path and row.

    Attributes
    ----------
    count : int
        Paths.
    mean : ndarray [row]
    comoment : ndarray [row, row]
        Sum over paths of products of deviations from the mean.
    batch_means : ndarray [batch, row]
        Means over consecutive batches of paths.
    batch_counts : ndarray [batch]
        Paths in each batch.
    """

    count: int
    mean: FloatArray
    comoment: FloatArray
    batch_means: FloatArray
    batch_counts: FloatArray

    def value(self, weights: FloatArray) -> float:
        """Mean of a weighted sum of the rows."""
        return float(weights @ self.mean)

    def stderr(self, weights: FloatArray, fitted: int = 0) -> float:
        """Standard error of that mean; ``fitted`` coefficients of the weights came from these very moments."""
        freedom = self.count - 1 - fitted
        if freedom < 1:
            return float("nan")
        squares = float(weights @ self.comoment @ weights)
        return float(np.sqrt(max(squares, 0.0) / freedom / self.count)) if squares == squares else float("nan")

    def batches(self, weights: FloatArray) -> FloatArray:
        """Batch means of the weighted sum, [batch]."""
        found: FloatArray = self.batch_means @ weights
        return found


def controlled(moments: Moments, target: int, controls: tuple[int, ...]) -> FloatArray:
    r"""Weights [row] of ``target`` less its regression on zero-mean ``controls``.

    :math:`Y - \beta^\top C` with :math:`\beta = \Sigma_C^{-1}\Sigma_{CY}`.

    Glasserman (2004), section 4.1.2. A control without variance gets no weight.
    """
    weights = np.zeros(len(moments.mean))
    weights[target] = 1.0
    if controls:
        index = list(controls)
        inner, cross = moments.comoment[np.ix_(index, index)], moments.comoment[index, target]
        scale = np.sqrt(np.diag(inner))
        if np.all(np.isfinite(inner)) and np.all(np.isfinite(cross)):
            scale = np.where(scale > 0.0, scale, 1.0)
            slope = np.linalg.lstsq(inner / np.outer(scale, scale), cross / scale, rcond=1e-12)[0] / scale
            weights[index] = -slope
    return weights
