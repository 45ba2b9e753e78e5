"""From moments to a number with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput

__all__ = ["FOLDS", "Estimate", "Moments", "controlled"]

FloatArray = npt.NDArray[np.float64]

FOLDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number, its standard error, and how it came about.

    Attributes
    ----------
    greek : str
    value : float
        Raw derivative of present value.
    stderr : float
        Standard error of ``value``; 0.0 for a closed form, NaN where the paths cannot tell it (the note says why).
    paths : int
        Paths it was averaged over; 0 for a closed form.
    unit : str
        Of ``value``.
    estimator : str
        The method's name.
    note : str
        What else there is to know, such as a finite difference's bump.
    bias : float
        Size of the method's bias as it was measured, in the unit of ``value``; 0.0 for a method that has none.
    bias_stderr : float
        Standard error of ``bias``.
    skewness : float
        Third standardised moment of ``value`` as an average over the paths, which moves the interval's centre.
    degrees : float
        Degrees of freedom of ``stderr``; infinite where every path counts for itself.
    """

    greek: str
    value: float
    stderr: float
    paths: int
    unit: str
    estimator: str
    note: str = ""
    bias: float = 0.0
    bias_stderr: float = 0.0
    skewness: float = 0.0
    degrees: float = math.inf

    @property
    def resolved(self) -> bool:
        """Whether the error is known."""
        return math.isfinite(self.stderr)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Interval that holds the true value with probability ``level``; NaN where the error is not known.

        :math:`\hat\theta + (1 + 2z^2)\,\gamma\,s/6 \pm (z\,s + b)` with the standard error s, the skewness :math:`\gamma` of the
        average, the size b of the bias, and z the normal (or, with few degrees of freedom, Student's) quantile.

        Source: Johnson (1978), "Modified t tests and confidence intervals for asymmetrical populations", JASA 73.

        Raises
        ------
        InvalidInput
            Where ``level`` is not strictly between 0 and 1.
        """
        if not 0.0 < level < 1.0:
            raise InvalidInput("level", level, "must lie strictly between 0 and 1")
        z = quantile(level, self.degrees)
        centre = self.value + (1.0 + 2.0 * z * z) / 6.0 * self.skewness * self.stderr
        half = z * self.stderr + abs(self.bias)
        return centre - half, centre + half

    def __str__(self) -> str:
        error = f"+- {self.stderr:.2g}" if self.resolved else "(error not known)"
        if self.bias > 0.5 * self.stderr:
            error += f", bias <= {self.bias:.2g}"
        return f"{self.greek} = {self.value:.6g} {error} ({self.estimator}, {self.unit})"


def quantile(level: float, degrees: float = math.inf) -> float:
    """Half the width of a two-sided interval of probability ``level``, in standard errors of so many degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + 0.5 * level
    return float(ndtri(upper) if math.isinf(degrees) else stdtrit(degrees, upper))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """First and second moments of rows of numbers, one number per path and row, kept apart for two folds of the paths.

    Batches of consecutive paths fall into the folds in turn. What is fitted on one fold is applied to the other, so that a fitted
    number is unbiased and its error honest.

    Attributes
    ----------
    counts : ndarray [fold]
        Paths.
    mean : ndarray [fold, row]
    comoment : ndarray [fold, row, row]
        Sum over paths of products of deviations from the fold's mean.
    batch_means : ndarray [batch, row]
    batch_counts : ndarray [batch]
        Paths in each batch; batch b is in fold b % 2.
    independent : bool
        Whether paths are independent; otherwise batches are, and errors come from their means.
    """

    counts: FloatArray
    mean: FloatArray
    comoment: FloatArray
    batch_means: FloatArray
    batch_counts: FloatArray
    independent: bool = True

    def value(self, weights: FloatArray) -> float:
        """Mean over all paths of a sum of the rows, with ``weights[fold, row]``."""
        return float(self.counts @ np.einsum("fr,fr->f", weights, self.mean) / self.counts.sum())

    def stderr(self, weights: FloatArray) -> float:
        """Standard error of that mean; NaN where a fold has but one path."""
        if not self.independent:
            return float(self.batches(weights).std(ddof=1) / np.sqrt(len(self.batch_means)))
        squares = np.einsum("fr,frs,fs->f", weights, self.comoment, weights)
        filled = self.counts > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            variances = self.counts[filled] * np.maximum(squares[filled], 0.0) / (self.counts[filled] - 1.0)
        return float(np.sqrt(variances.sum()) / self.counts.sum())

    def batches(self, weights: FloatArray) -> FloatArray:
        """Batch means of the weighted sum, [batch]."""
        folds = np.arange(len(self.batch_means)) % FOLDS
        return np.einsum("br,br->b", weights[folds], self.batch_means)


def controlled(moments: Moments, target: int, controls: tuple[int, ...]) -> FloatArray:
    r"""Weights [fold, row] of ``target`` less its regression on zero-mean ``controls``, fitted on the other fold.

    :math:`Y - \beta^\top C` with :math:`\beta = \Sigma_C^{-1}\Sigma_{CY}` (Glasserman 2004, section 4.1.2). A control without variance
    gets no weight, and none has any where the other fold has less than ten paths for each.
    """
    weights = np.zeros_like(moments.mean)
    weights[:, target] = 1.0
    index = list(controls)
    if not index:
        return weights
    inner, cross = moments.comoment[:, index][:, :, index], moments.comoment[:, index, target]
    known = np.isfinite(inner).all(axis=(1, 2)) & np.isfinite(cross).all(axis=1) & (moments.counts >= 10 * len(index))
    for fold in range(FOLDS):
        other = FOLDS - 1 - fold
        if known[other]:
            weights[fold, index] = -_slope(inner[other], cross[other])
    return weights


def _slope(inner: FloatArray, cross: FloatArray) -> FloatArray:
    scale = np.sqrt(inner.diagonal())
    scale[scale == 0.0] = 1.0
    if len(cross) == 1:
        return cross / scale**2
    return np.linalg.lstsq(inner / np.outer(scale, scale), cross / scale, rcond=1e-12)[0] / scale
