r"""Full-truncation Euler for Heston's variance (Lord, Koekkoek and van Dijk 2010), the plain scheme to hold others against.

:math:`v' = v + \kappa(\theta - v^+)h + \xi\sqrt{v^+ h}\,a`, and given the variance path the log-return of a step is normal with mean
:math:`-\tfrac12 v^+ h + \rho\sqrt{v^+ h}\,a` (and the market's growth) and variance :math:`(1-\rho^2)\,v^+ h`.

Its bias in the step is larger than that of `QE` and it has no density in a step that begins at or below zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable, one_of
from pricers.models.heston.conditional_normal import ConditionalNormal, VariancePath
from pricers.models.heston.parameters import HestonParameters
from pricers.models.heston.scheme import Drivers, Scheme
from pricers.numerics.kernel import kernel
from pricers.numerics.rows import copy
from pricers.paths.paths import AffineSummary, Law, Steps
from pricers.random_numbers.path_block import increments

__all__ = ["FullTruncationEuler"]

FloatArray = npt.NDArray[np.float64]

_CHUNK = 256
"""Paths carried through all of time together, so that their state stays in the first-level cache."""


@kernel
def _evolve(v0, kappa, theta, xi, rho, h, kept_points, shocks, normals, walk, integral, drift, moves, drifts, integrals):
    """Variance paths of a block as running sums at the grid points ``kept_points``, and how they move with some parameters.

    moves is [parameter, 6]: how v0, kappa, theta, xi, rho and the logarithm of all steps move with each; drifts and integrals are
    [parameter, row, path].
    """
    count, state = len(moves), np.empty((6, _CHUNK))
    moved, moved_spent, moved_drift = np.empty((count, _CHUNK)), np.empty((count, _CHUNK)), np.empty((count, _CHUNK))
    for first in range(0, normals.shape[1], _CHUNK):
        last = min(first + _CHUNK, normals.shape[1])
        width = last - first
        variance, before, root = state[0, :width], state[1, :width], state[2, :width]
        walked, spent, drifted = state[3, :width], state[4, :width], state[5, :width]
        variance[:], walked[:], spent[:], drifted[:] = v0, 0.0, 0.0, 0.0
        moved_spent[:], moved_drift[:] = 0.0, 0.0
        for p in range(count):
            moved[p] = moves[p, 0]
        row = 0
        for t in range(kept_points[-1] + 1):
            step, a, b = h[t], normals[t, first:last], shocks[t, first:last]
            for path in range(width):
                v = variance[path]
                alive = v if v > 0.0 else 0.0
                area = alive * step
                x = math.sqrt(area)
                before[path] = v
                root[path] = x
                variance[path] = v + kappa * (theta - alive) * step + xi * x * a[path]
                walked[path] += x * b[path]
                spent[path] += area
                drifted[path] += rho * x * a[path] - 0.5 * rho * rho * area
            for p in range(count):
                by_kappa, by_theta, by_xi, by_rho, by_step = (
                    moves[p, 1],
                    moves[p, 2],
                    moves[p, 3],
                    moves[p, 4],
                    moves[p, 5] * step,
                )
                dv, dspent, ddrift = moved[p], moved_spent[p], moved_drift[p]
                for path in range(width):
                    v, x = before[path], root[path]
                    alive = v if v > 0.0 else 0.0
                    dalive = dv[path] if v > 0.0 else 0.0
                    darea = dalive * step + alive * by_step
                    dx = 0.5 * darea / x if x > 0.0 else 0.0
                    pull, dpull = kappa * (theta - alive), by_kappa * (theta - alive) + kappa * (by_theta - dalive)
                    dv[path] += dpull * step + pull * by_step + (by_xi * x + xi * dx) * a[path]
                    dspent[path] += darea
                    ddrift[path] += rho * a[path] * dx - 0.5 * rho * rho * darea + by_rho * (x * a[path] - rho * alive * step)
            if t == kept_points[row]:
                copy(walked, walk[row, first:last])
                copy(spent, integral[row, first:last])
                copy(drifted, drift[row, first:last])
                for p in range(count):
                    copy(moved_spent[p, :width], integrals[p, row, first:last])
                    copy(moved_drift[p, :width], drifts[p, row, first:last])
                row += 1


@kernel
def _full_scores(v0, kappa, theta, xi, rho, h, shocks, normals, out):
    """Scores [6, path] of the joint density of variance and spot by rate, v0, kappa, theta, xi and rho: see the module.

    Where a step begins at zero, that of rate, kappa and theta is not a number.
    """
    rest = math.sqrt(1.0 - rho * rho)
    variance = np.full(out.shape[1], v0)
    out[:] = 0.0
    for t in range(len(h)):
        step, root = h[t], math.sqrt(h[t])
        for path in range(out.shape[1]):
            v, a, b = variance[path], normals[t, path], shocks[t, path]
            alive = v if v > 0.0 else 0.0
            x = math.sqrt(alive) if v > 0.0 else np.nan
            mix = a - rho / rest * b
            out[0, path] += b * root / (rest * x)
            out[2, path] += (theta - alive) * root / (xi * x) * mix
            out[3, path] += kappa * root / (xi * x) * mix
            if v > 0.0:
                out[4, path] += (a * a - 1.0) / xi - rho * a * b / (xi * rest)
                out[5, path] += rho * (1.0 - b * b) / (rest * rest) + a * b / rest
            if t == 0:
                by_a = (kappa * step - 1.0) / (xi * x * root) - a / (2.0 * v0)
                slope = 0.5 * step - rho * (0.5 * root * a / x + x * root * by_a)
                by_b = slope / (rest * x * root) - b / (2.0 * v0)
                out[1, path] = -1.0 / v0 - a * by_a - b * by_b
            variance[path] = v + kappa * (theta - alive) * step + xi * math.sqrt(alive) * root * a


@dataclass(frozen=True, slots=True)
class FullTruncationEuler(Scheme):
    r"""Full-truncation Euler.

    An interval between two dates in which the variance stays at or below zero has no density: the likelihood ratio is then not a number for
    the parameters that move it, of which the rate is always one. Derivatives along the variance path hold
    :math:`1/\sqrt v` and are heavy-tailed where the variance comes near zero.

    Attributes
    ----------
    score : {"conditional", "full"}
        The score of the returns given the variance path, which is differentiated along its noise; or that of both Gaussian drivers,
        an independent check with a larger error. The full one is per step, not per date; a step that begins at or below zero has no
        density by rate, kappa and theta: their scores are not a number then. It knows no time and no vanna.
    """

    score: str = "conditional"

    def __post_init__(self) -> None:
        one_of("score", self.score, ("conditional", "full"))

    def evolve(self, model: HestonParameters, drivers: Drivers, *, parameters: tuple[str, ...], slopes: bool) -> VariancePath:
        """See `Scheme.evolve`; it always keeps slopes."""
        path = VariancePath.blank(len(drivers.grid_points), drivers.n_paths, parameters, slopes=True)
        moves = np.array([[float(name == p) for name in _MOVES] for p in parameters]).reshape(-1, len(_MOVES))
        sums, derivatives = (path.walk, path.integral, path.drift), (moves, path.drifts, path.integrals)
        _evolve(*_numbers(model), _steps(drivers), drivers.grid_points, *drivers.noise, *sums, *derivatives)
        return path

    def law(self, given: ConditionalNormal, model: HestonParameters, drivers: Drivers) -> Law:
        """See `Scheme.law`."""
        return given if self.score == "conditional" else _FullScore(given, model, drivers)

    def require_score(self, parameters: tuple[str, ...]) -> None:
        """See `Scheme.require_score`."""
        if self.score == "full" and ("time" in parameters or parameters == ("spot", "vol")):
            raise NotApplicable(f'the full score of FullTruncationEuler has no {" x ".join(parameters)}; use score="conditional"')


_MOVES = ("v0", "kappa", "theta", "xi", "rho", "time")
_FULL = ("rate", "v0", "kappa", "theta", "xi", "rho")


def _numbers(model: HestonParameters) -> tuple[float, float, float, float, float]:
    return model.v0, model.kappa, model.theta, model.xi, model.rho


def _steps(drivers: Drivers) -> FloatArray:
    return drivers.time_scale * increments(drivers.time_grid)


class _FullScore(Law):
    """Scores of both drivers, step by step; tangents are those given."""

    __slots__ = ("_given", "_h", "_known", "_model", "_noise")

    def __init__(self, given: ConditionalNormal, model: HestonParameters, drivers: Drivers):
        self._given, self._model, self._h, self._noise = given, model, _steps(drivers), drivers.noise
        self._known: FloatArray | None = None

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        """See `Law.score`."""
        model, spot = self._model, self._given.spot
        first = self._noise[0][0]
        s = math.sqrt((1.0 - model.rho**2) * model.v0 * self._h[0])
        match parameters:
            case ("spot",):
                return first / (spot * s)
            case ("spot", "spot"):
                return ((first * first - 1.0) / s - first) / (spot**2 * s)
            case ("dividend",):
                return -self.score(("rate",))
            case ("vol",):
                return 2.0 * math.sqrt(model.v0) * self.score(("v0",))
            case (parameter,) if parameter in _FULL:
                found: FloatArray = self._full()[_FULL.index(parameter)]
                return found
        raise NotApplicable(f'the full score of FullTruncationEuler has no {" x ".join(parameters)}; use score="conditional"')

    def affine_summary(self, name: str) -> AffineSummary | None:
        """See `Law.affine_summary`."""
        return self._given.affine_summary(name)

    def tangent(self, parameter: str) -> FloatArray:
        """See `Law.tangent`."""
        return self._given.tangent(parameter)

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """See `Law.steps`."""
        return self._given.steps(parameters)

    def _full(self) -> FloatArray:
        if self._known is None:
            self._known = np.empty((len(_FULL), self._noise[0].shape[1]))
            _full_scores(*_numbers(self._model), self._h, *self._noise, self._known)
        return self._known
