"""From moments to a number with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pricers.engine.moments import pool_folds, weigh
from pricers.errors import InvalidInput

__all__ = [
    "FOLDS",
    "LEAST_EFFECTIVE",
    "LEAST_HEAVY",
    "ROUNDING",
    "Estimate",
    "Moments",
    "Statistics",
    "bound",
    "controlled",
    "is_rounding",
    "quantile",
    "student",
    "symmetric",
    "why_unknown",
]

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
    effective : float
        How many paths, about, carry the number (see `Statistics`); infinite for a closed form, NaN where paths do not differ.
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
    effective: float = math.inf

    @property
    def resolved(self) -> bool:
        """Whether the error is known."""
        return math.isfinite(self.stderr)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Interval that holds the true value with probability ``level``; NaN where the error is not known.

        :math:`\hat\theta + (1 + 2z^2)\,\gamma\,s/6 \pm (z\,s + b)` with the standard error s, the skewness :math:`\gamma` of the
        average, the part b of the bias beyond its own standard error, and z the normal (or, with few degrees of freedom, Student's)
        quantile.

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
        half = z * self.stderr + max(abs(self.bias) - self.bias_stderr, 0.0)
        return centre - half, centre + half

    def __str__(self) -> str:
        error = f"+- {self.stderr:.2g}" if self.resolved else "(error not known)"
        if self.bias > 0.5 * self.stderr:
            error += f", bias <= {self.bias:.2g}"
        return f"{self.greek} = {self.value:.6g} {error} ({self.estimator}, {self.unit})"


def quantile(level: float, degrees: float = math.inf) -> float:
    """Half the width of a two-sided interval of probability ``level``, in standard errors of so many degrees of freedom."""
    from scipy.special import ndtri

    return student(float(ndtri(0.5 + 0.5 * level)), degrees)


def student(z: float, degrees: float) -> float:
    """The quantile of Student's distribution that is as likely to be passed as the normal one ``z``."""
    from scipy.special import ndtr, stdtrit

    return z if math.isinf(degrees) else -float(stdtrit(degrees, float(ndtr(-z))))


def symmetric(t: float, skewness: float) -> float:
    r"""A distance in standard errors, corrected for the skewness of the sample that both mean and error come from.

    :math:`t + \gamma (2t^2 + 1)/6 + \gamma^2 t^3/27`, monotone in t. Source: Hall (1992), "On the removal of skewness by transformation",
    Journal of the Royal Statistical Society B 54, equation 2.3.
    """
    return t + skewness * (2.0 * t * t + 1.0) / 6.0 + skewness**2 * t**3 / 27.0


class Statistics(NamedTuple):
    r"""What the paths say of the mean of one number per path.

    Attributes
    ----------
    value, stderr : float
        The mean and its standard error.
    skewness : float
        Third standardised moment of the mean.
    degrees : float
        Degrees of freedom of the standard error.
    effective : float
        :math:`(\sum d^2)^2/\sum d^4` over the deviations d of the paths from their mean: how many paths, about, carry the number.
    spread : float
        Greatest standard error of a weighted row that the number is made of.
    """

    value: float
    stderr: float
    skewness: float
    degrees: float
    effective: float
    spread: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """First and second moments of rows of numbers, one number per path and row, for sections of consecutive paths.

    Sections fall into two folds in turn. What is fitted on one fold is applied to the other, so that a fitted number is unbiased and its
    error honest. How much the sums of squares differ from section to section says how heavy the tails of a number are, and how
    they go with the means how skewed it is, for any weighted sum of the rows.

    Attributes
    ----------
    counts : ndarray [section]
        Paths; all sections but the last have the same number.
    mean : ndarray [section, row]
    comoment : ndarray [section, row, row]
        Sum over paths of products of deviations from the section's mean.
    batch_means : ndarray [batch, row]
    batch_counts : ndarray [batch]
        Paths in each batch.
    batches_per_section : int
        Batches in a section; the last may have fewer.
    independent : bool
        Whether paths are independent; otherwise batches are, and errors come from their means.
    """

    counts: FloatArray
    mean: FloatArray
    comoment: FloatArray
    batch_means: FloatArray
    batch_counts: FloatArray
    batches_per_section: int = 1
    independent: bool = True

    @cached_property
    def folds(self) -> Folds:
        """The sections of each fold pooled."""
        return Folds.of(self.counts, self.mean, self.comoment)

    def only(self, row: int) -> FloatArray:
        """Weights [fold, row] of one row."""
        weights = np.zeros((FOLDS, self.mean.shape[1]))
        weights[:, row] = 1.0
        return weights

    def value(self, weights: FloatArray) -> float:
        """Mean over all paths of a sum of the rows, with ``weights[fold, row]``."""
        return self.statistics(weights).value

    def stderr(self, weights: FloatArray) -> float:
        """Standard error of that mean; NaN where a fold has but one path."""
        return self.statistics(weights).stderr

    def statistics(self, weights: FloatArray) -> Statistics:
        """The mean of the weighted sum of the rows, its error, and what tells whether that error is known."""
        assert weights.shape == (FOLDS, self.mean.shape[1])
        out = np.empty(5)
        weigh(weights, self.counts, self.mean, self.comoment, *self.folds, out)
        value, stderr, skewness, effective, spread = out.tolist()
        if self.independent:
            return Statistics(value, stderr, skewness, math.inf, effective, spread)
        rows = np.eye(len(weights[0]))[weights.any(axis=0)]
        spread = max((_batch_error(self.batches(weights * row)) for row in rows), default=0.0)
        return Statistics(value, _batch_error(self.batches(weights)), 0.0, len(self.batch_means) - 1.0, effective, spread)

    def batches(self, weights: FloatArray) -> FloatArray:
        """Batch means of the weighted sum, [batch]."""
        folds = np.arange(len(self.batch_means)) // self.batches_per_section % FOLDS
        return np.einsum("br,br->b", weights[folds], self.batch_means)


def _batch_error(means: FloatArray) -> float:
    """Standard error of the mean of independent batches.

    Where batches take few different values (counts of a payoff that jumps, from points that fill space evenly), some that are rare may not
    have been seen at all: then twice two batches more, a step above and below, are taken to be (as Agresti and Coull do for a probability).
    """
    count, variance = len(means), float(means.var(ddof=1))
    gaps = np.diff(np.sort(means))
    gaps = gaps[gaps > 1e-12 * np.abs(means).max()]
    if 0 < len(gaps) < count // 4:
        variance += 0.05 * float(gaps.min()) ** 2
    return math.sqrt(variance / count)


LEAST_EFFECTIVE, LEAST_HEAVY = 30.0, 100.0
"""How many paths must carry a number for its error to be known, and how many where weights are unbounded (measured over digitals of
probabilities 1e-1 to 1e-6: with 30, 95 % intervals cover 93 %)."""

ROUNDING = 1e-6
"""A standard error below this share of that of the rows a number is made of is what rounding leaves of them: the paths that would
tell it were not drawn."""


def is_rounding(found: Statistics) -> bool:
    """Whether an error is no more than rounding; see `why_unknown`."""
    return found.stderr <= max(ROUNDING * found.spread, 1e-14 * abs(found.value))


def why_unknown(found: Statistics, paths: int, *, heavy: bool = False) -> str:
    """Why the error of a mean over so many paths cannot be known from them; empty where it is known.

    Where weights are unbounded (``heavy``), more paths must carry the number.
    """
    if not math.isfinite(found.value):
        return ""
    if is_rounding(found):
        alike = found.spread <= 1e-14 * abs(found.value)
        return f"no path of {paths} differs from the others" if alike else "controls leave rounding only"
    least = LEAST_HEAVY if heavy else LEAST_EFFECTIVE
    if found.effective >= least:
        return ""
    if math.isnan(found.effective):
        return f"{paths} paths are too few to tell their spread"
    return f"about {max(found.effective, 1.0):.0f} of {paths} paths carry it, fewer than {least:.0f}"


def bound(value: float, most: float, paths: int) -> str:
    r"""What paths say of the mean of payments from 0 to ``most`` that are rare, or rarely fail; empty where there is no bound.

    With k payments in N paths the mean is at most ``most`` over N times the 95 % quantile of a gamma variable of shape k + 1: 3 ``most``/N
    for k = 0. Payments below ``most`` vary less than payments of ``most`` with the same mean.
    """
    from scipy.special import gammaincinv

    if not (math.isfinite(most) and most > 0.0 and 0.0 <= value <= most):
        return ""
    rare = min(value, most - value)
    room = most * float(gammaincinv(paths * rare / most + 1.0, 0.95)) / paths
    return f"at most {room:.3g}" if rare == value else f"at least {most - room:.6g}"


class Folds(NamedTuple):
    """Moments of each fold: ``counts`` [fold], ``mean`` [fold, row], ``comoment`` [fold, row, row], as in `Moments`."""

    counts: FloatArray
    mean: FloatArray
    comoment: FloatArray

    @classmethod
    def of(cls, counts: FloatArray, mean: FloatArray, comoment: FloatArray) -> Folds:
        """Sections pooled."""
        rows = mean.shape[1]
        result = cls(np.zeros(FOLDS), np.zeros((FOLDS, rows)), np.zeros((FOLDS, rows, rows)))
        pool_folds(counts, mean, comoment, *result)
        return result


def controlled(moments: Moments, target: int, controls: tuple[int, ...]) -> FloatArray:
    r"""Weights [fold, row] of ``target`` less its regression on zero-mean ``controls``, fitted on the other fold.

    :math:`Y - \beta^\top C` with :math:`\beta = \Sigma_C^{-1}\Sigma_{CY}` (Glasserman 2004, section 4.1.2). No control has a weight where
    the other fold has less than ten paths for each, and none whose mean there is more than eight of its standard errors away from zero:
    it varies on paths that were not drawn, and what is left of it is a constant.
    """
    weights, index = moments.only(target), np.array(controls, dtype=np.int64)
    folds = moments.folds
    for fold in range(FOLDS):
        count, mean, comoment = (part[FOLDS - 1 - fold] for part in folds)
        with np.errstate(invalid="ignore"):
            varies = count * np.abs(mean[index]) <= 8.0 * np.sqrt(comoment[index, index])
        used = index[varies]
        inner, cross = comoment[np.ix_(used, used)], comoment[used, target]
        if len(used) and count >= 10 * len(index) and np.isfinite(inner).all() and np.isfinite(cross).all():
            weights[fold, used] = -_slope(inner, cross)
    return weights


def _slope(inner: FloatArray, cross: FloatArray) -> FloatArray:
    scale = np.sqrt(inner.diagonal())
    scale[scale == 0.0] = 1.0
    if len(cross) == 1:
        return cross / scale**2
    return np.linalg.lstsq(inner / np.outer(scale, scale), cross / scale, rcond=1e-12)[0] / scale
