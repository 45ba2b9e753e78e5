"""Where a function of normals is large: a Gaussian mixture found by the cross-entropy method, and whether it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pricers.numerics.elementary import fma
from pricers.numerics.kernel import kernel
from pricers.random_numbers.tilted import Mixture

__all__ = ["FEWEST", "LARGEST_SHARE", "Found", "Stage", "search"]

FloatArray = npt.NDArray[np.float64]
Draw = Callable[[Mixture, int, int], tuple[FloatArray, FloatArray]]
"""From a mixture, the number of the first path and how many paths to their coordinates [direction, path] and payments [path]."""

FEWEST = 30.0
"""Effective count of paths below which an error is not known."""

LARGEST_SHARE = 0.01
"""Of a sum that one path may make."""

PATHS = 8192
"""Of a stage."""

_SCALES = (1.0, 1.3, 1.7, 2.2, 2.9, 3.7, 4.8, 0.7, 0.45, 0.25)
"""Standard deviations tried in turn until enough paths pay: wider ones, then narrower ones, for payments on staying near the start."""

_ENOUGH, _LEAST = 200, 50
_MOST_STAGES = 8
"""From the first scale to the nominal law."""

_REFITS, _MOST_REFITS = 3, 8
_COMPONENTS = 4
_EFFECTIVE, _EFFECTIVE_SHARE = 150.0, 0.3
_POOLED = 4
"""Stages that a refit rests on."""

_CAP = 0.02
"""Most of the fit's weight that one path may have."""

_NOMINAL, _EXPLORER, _OWN = 0.1, 0.05, 0.8
_PILOT_EXPLORER, _PILOT_OWN = 0.15, 0.7
_SPREAD = 1.06
"""How much wider than fitted the own components are. A fit is narrower than what pays in some direction, and weights grow without end
there: a path that the mixture nearly never draws then counts for thousands (measured: effective counts of 24 to 450 became 170 to 4,000,
at the same error; with 1.12 the error grew by a fifth)."""

_BACK_SHARE, _BACK, _WIDER = 0.25, 0.7, 1.15
"""Part of the own components that is drawn back towards the start, how far, and how much wider. What coordinates do not see may make a
path pay nearer to the start than most, and its weight is large there: fitted components alone leave too few paths for it (measured,
Heston: effective counts of 2 to 100 became 270 to 800)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Paths of one stage that count.

    Attributes
    ----------
    y : ndarray [direction, path]
        Coordinates of those that pay something else than the centre.
    paid : ndarray [path]
        How far from the centre.
    log_ratio : ndarray [path]
        Logarithm of the standard normal density over that of the stage's mixture.
    paths : int
        Of the stage, all counted.
    """

    y: FloatArray
    paid: FloatArray
    log_ratio: FloatArray
    paths: int

    @property
    def numbers(self) -> FloatArray:
        """What the paths contribute to the mean of the distance from the centre."""
        return self.paid * np.exp(self.log_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    mixture : Mixture
        To draw from; the standard normal law where nothing was found.
    centre : float
        The typical payment.
    mean, stderr : float
        Of the distance from it, by the last stages, and its standard error.
    paths : int
        Simulated by the search.
    reason : str
        Why nothing drawn from the mixture can be trusted; empty where it can.
    """

    mixture: Mixture = field(default_factory=Mixture)
    centre: float = 0.0
    mean: float = math.nan
    stderr: float = math.nan
    paths: int = 0
    reason: str = ""


def search(draw: Draw, directions: int) -> Found:
    """A mixture that is nearly proportional to the distance of a payment from its median, under the standard normal law.

    From a scale at which enough paths pay something else, the law is brought to the standard one in stages (the target of each is as
    near to it as keeps enough effective paths); to each stage a mixture is fitted, and the next is drawn from it and from explorers,
    spheres as wide as the first scale, which look for what it missed. At the standard law the mixture is fitted again to all that was
    found, until its stages say the same and with a known error, or the budget ends.

    Sources: Rubinstein and Kroese (2004), "The Cross-Entropy Method"; Owen and Zhou (2000), "Safe and effective importance sampling",
    JASA 95 (the defensive parts).

    Parameters
    ----------
    draw : callable
        See `Draw`. The search asks for consecutive paths, the first of them 0.
    directions : int
    """
    count = 0

    def stage(mixture: Mixture) -> Stage:
        nonlocal count
        y, paid = draw(mixture, count, PATHS)
        count += PATHS
        return _stage(mixture, y, np.abs(paid - centre))

    _, paid = draw(Mixture(), 0, PATHS)
    if not np.isfinite(paid).all():
        return Found(paths=PATHS, reason="cannot tell: the payment of some paths is not a finite number")
    centre = float(np.median(paid))
    tried: list[tuple[float, Stage]] = []
    for scale in _SCALES:
        tried.append((scale, stage(_sphere(scale))))
        if len(tried[-1][1].paid) >= _ENOUGH:
            break
    scale, first = max(tried, key=lambda pair: len(pair[1].paid))
    if len(first.paid) < _LEAST:
        tries = f"{len(tried)} searches of {PATHS:,} paths, up to {max(_SCALES):g} standard deviations"
        hits = "no path" if not len(first.paid) else f"at most {len(first.paid)} paths"
        return Found(centre=centre, paths=count, reason=f"cannot tell: {hits} paid anything but {centre:g} in {tries}")
    wide = max(scale, 1.5)
    found, pooled = first, [one for _, one in tried]
    mixture, level = Mixture(), scale
    for _ in range(_MOST_STAGES):
        level = _level(found, level)
        mixture = _fitted(found.y, found.paid * np.exp(found.log_ratio + _tempering(found.y, level)), level)
        found = stage(_blend(mixture, wide, _PILOT_OWN, _PILOT_EXPLORER))
        if len(found.paid) < _LEAST:
            return Found(centre=centre, paths=count, reason="cannot tell: the search lost the paths that pay")
        pooled.append(found)
        if level == 1.0:
            break
    else:
        return Found(centre=centre, paths=count, reason=f"cannot tell: {_MOST_STAGES} stages did not reach the nominal law")
    refits: list[Stage] = []
    reason = ""
    while len(refits) < _MOST_REFITS:
        mixture = _fitted(*_pool(pooled), 1.0)
        refits.append(stage(_blend(mixture, wide, _PILOT_OWN, _PILOT_EXPLORER)))
        pooled.append(refits[-1])
        reason = _doubt(refits[-_REFITS:])
        if len(refits) >= _REFITS and not reason:
            break
    mixture = _fitted(*_pool(pooled), 1.0)
    mean, stderr = _mean(refits[-_REFITS:])
    final = _blend(mixture, wide, _OWN, _EXPLORER, _NOMINAL)
    return Found(mixture=final, centre=centre, mean=mean, stderr=stderr, paths=count, reason=reason)


def _sphere(scale: float) -> Mixture:
    return Mixture(spheres=((1.0, scale),))


def _blend(mixture: Mixture, wide: float, own: float, explorer: float, nominal: float = 0.0) -> Mixture:
    """A fit's components, a little wider, in part drawn back towards the start, with explorers and, for a defence, the nominal law."""
    spheres = ((nominal, 1.0),) if nominal else ()
    return replace(
        mixture,
        spheres=(*spheres, (explorer, wide), (explorer, 0.5 * (1.0 + wide))),
        copies=((own * (1.0 - _BACK_SHARE), 1.0, _SPREAD), (own * _BACK_SHARE, _BACK, _WIDER)),
    )


def _stage(mixture: Mixture, y: FloatArray, distance: FloatArray) -> Stage:
    weights = np.empty((2, y.shape[1]))
    mixture.weigh(y, weights)
    known = distance > 0.0  # NaN is not
    with np.errstate(divide="ignore"):
        return Stage(
            y=np.ascontiguousarray(y[:, known]), paid=distance[known], log_ratio=np.log(weights[0, known]), paths=len(distance)
        )


def _effective(numbers: FloatArray) -> float:
    """Effective count of weights."""
    square = float((numbers * numbers).sum())
    return float(numbers.sum()) ** 2 / square if square > 0.0 else 0.0


def _tempering(y: FloatArray, level: float) -> FloatArray:
    """Logarithm of the density of scale ``level`` over the standard one, constants left out."""
    tempered: FloatArray = 0.5 * (1.0 - level**-2.0) * (y * y).sum(axis=0)
    return tempered


def _level(stage: Stage, before: float) -> float:
    """The scale nearest to one, from ``before`` on, whose density leaves enough effective paths; where none does, the one with most."""
    enough = min(_EFFECTIVE, _EFFECTIVE_SHARE * len(stage.paid))
    found = []
    levels = np.linspace(1.0, before, 65) if before != 1.0 else np.ones(1)
    for level in levels.tolist():
        logs = stage.log_ratio + _tempering(stage.y, level)
        found.append(_effective(stage.paid * np.exp(logs - logs.max())))
        if found[-1] >= enough:
            return level
    return float(levels[int(np.argmax(found))])


def _pool(stages: list[Stage]) -> tuple[FloatArray, FloatArray]:
    """What the latest stages found, and its weights, each held at a small part of the sum."""
    latest = stages[-_POOLED:]
    y = np.concatenate([stage.y for stage in latest], axis=1)
    weights = np.concatenate([stage.numbers for stage in latest])
    for _ in range(3):
        weights = np.minimum(weights, _CAP * weights.sum())
    return y, weights


def _mean(stages: list[Stage]) -> tuple[float, float]:
    """Mean distance from the centre over all paths of some stages, and its standard error."""
    numbers, paths = np.concatenate([stage.numbers for stage in stages]), sum(stage.paths for stage in stages)
    mean = float(numbers.sum()) / paths
    return mean, math.sqrt(max(float((numbers**2).sum()) / paths - mean**2, 0.0) / paths)


def _doubt(stages: list[Stage]) -> str:
    """Why the error of some stages' mean is not known; empty where it is."""
    numbers = np.concatenate([stage.numbers for stage in stages])
    squares = numbers * numbers
    effective = _effective(squares) if numbers.any() else 0.0
    if effective < FEWEST:
        return f"cannot tell: the search's effective count of paths is {effective:.0f}, below {FEWEST:.0f}"
    share = float(numbers.max() / numbers.sum())
    if share > LARGEST_SHARE:
        return f"cannot tell: one path of the search makes {share:.1%} of its sum"
    return ""


def _fitted(y: FloatArray, weights: FloatArray, level: float) -> Mixture:
    """The general components fitted to weighted points [direction, path]: expectation and maximisation, few times, kept from collapsing."""
    kept = np.flatnonzero(weights > 0.0)
    kept = kept[:: -(-len(kept) // _POINTS)]
    y, weights = y[:, kept], weights[kept] / weights[kept].sum()
    count = max(1, min(_COMPONENTS, int(_effective(weights) / 10.0)))
    means = _seeds(y, weights, count)
    distances = np.array([((y - mean[:, None]) ** 2).sum(axis=0) for mean in means])
    belongs = (distances == distances.min(axis=0)).astype(float)
    for _ in range(_ROUNDS):
        shares, means, covariances = _maximised(y, weights, belongs, level)
        factors = np.linalg.cholesky(covariances).astype(np.float64)
        belongs = _expected(y, shares, means, factors)
    return Mixture(
        spheres=(),
        copies=((1.0, 1.0, 1.0),),
        shares=tuple(shares.tolist()),
        means=tuple(map(tuple, _rounded(means).tolist())),
        factors=tuple(tuple(map(tuple, factor)) for factor in _rounded(factors).tolist()),
    )


_ROUNDS = 12
_POINTS = 8192
"""That a fit rests on, at most: of more, evenly many are left out."""

_OWN_PATHS = 20.0
_NARROWEST, _WIDEST = 0.15, 2.5
"""Eigenvalues of a component's covariance, in units of the level's variance."""


def _seeds(y: FloatArray, weights: FloatArray, count: int) -> FloatArray:
    """Starting means [component, direction]: the weights' own mean's nearest point, then those that are far from all before and weigh much.

    As k-means++ (Arthur and Vassilvitskii 2007), but with fixed quantiles in place of random numbers.
    """
    centre = (y * weights).sum(axis=1)
    start = int(np.argmin(((y - centre[:, None]) ** 2).sum(axis=0)))
    means = [y[:, start]]
    for k in range(1, count):
        nearest = np.min([((y - mean[:, None]) ** 2).sum(axis=0) for mean in means], axis=0) * weights
        cumulated = np.cumsum(nearest)
        quantile = (0.5 + k * 0.6180339887498949) % 1.0
        means.append(y[:, min(int(np.searchsorted(cumulated, quantile * cumulated[-1])), y.shape[1] - 1)])
    return np.array(means)


def _maximised(
    y: FloatArray, weights: FloatArray, belongs: FloatArray, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shares, means and covariances; a covariance is drawn to that of the level the more, the fewer paths it rests on."""
    d = len(y)
    parts = belongs * weights
    shares = np.maximum(parts.sum(axis=1), 1e-300)
    means, covariances = np.empty((len(shares), d)), np.empty((len(shares), d, d))
    _moments(y, parts, shares, means, covariances)
    for k, part in enumerate(parts):
        effective = _effective(part)
        trust = effective / (effective + _OWN_PATHS + d)
        values, vectors = np.linalg.eigh(trust * covariances[k] + (1.0 - trust) * level**2 * np.eye(d))
        held = np.clip(values, _NARROWEST * level**2, _WIDEST * level**2)
        covariances[k] = np.einsum("ik,jk->ij", vectors * held, vectors)
    shares = np.maximum(shares, 0.01)
    return shares / shares.sum(), means, covariances


@kernel(sums=True)
def _moments(y, parts, shares, means, covariances):
    """Weighted means [component, direction] and covariances of points y [direction, path], with weights parts [component, path]."""
    weighed = np.empty(y.shape[1])
    for k in range(parts.shape[0]):
        for i in range(y.shape[0]):
            total = 0.0
            for path in range(y.shape[1]):
                total += parts[k, path] * y[i, path]
            means[k, i] = total / shares[k]
        for i in range(y.shape[0]):
            for path in range(y.shape[1]):
                weighed[path] = parts[k, path] * (y[i, path] - means[k, i])
            for j in range(i + 1):
                total = 0.0
                for path in range(y.shape[1]):
                    total += weighed[path] * (y[j, path] - means[k, j])
                covariances[k, i, j] = covariances[k, j, i] = total / shares[k]


def _expected(y: FloatArray, shares: FloatArray, means: FloatArray, factors: FloatArray) -> FloatArray:
    """Probability [component, path] that a point is a component's."""
    inverses = np.linalg.inv(factors)
    constants = np.log(shares) - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    logs = np.empty((len(shares), y.shape[1]))
    _log_densities(y, constants, inverses, np.einsum("kij,kj->ki", inverses, means), logs)
    found = np.exp(logs - logs.max(axis=0))
    return found / found.sum(axis=0)


@kernel
def _log_densities(y, constants, inverses, centres, out):
    """constants[component] - |inverse y - centre|^2 / 2 for points y [direction, path] and lower triangular inverses."""
    part = np.empty(y.shape[1])
    for k in range(constants.shape[0]):
        log_density = out[k]
        log_density[:] = constants[k]
        for i in range(y.shape[0]):
            part[:] = -centres[k, i]
            for j in range(i + 1):
                factor, coordinate = inverses[k, i, j], y[j]
                for path in range(part.size):
                    part[path] = fma(factor, coordinate[path], part[path])
            for path in range(part.size):
                log_density[path] = fma(-0.5 * part[path], part[path], log_density[path])


def _rounded(values: FloatArray) -> FloatArray:
    """To 2**-20, so that the last bits of another machine's linear algebra do not spread to the paths."""
    return np.round(values * 2.0**20) / 2.0**20
