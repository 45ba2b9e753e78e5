"""One-step survival: barriers without their indicator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import GAMMA, PathEstimator, SampleSpec
from greeks.estimators.conditional import Claim, TotalReturn, select_greek, total_return, value_and_derivatives
from greeks.estimators.kernels.survival import first_touches
from greeks.greek import Greek
from pricers.contracts.barrier import Barrier
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths, Steps
from pricers.paths.row_operations import empty

__all__ = ["OneStepSurvival"]

FloatArray = npt.NDArray[np.float64]

OVERSHOOT = 0.5825971579390106
r""":math:`-\zeta(\frac12)/\sqrt{2\pi}`: how far beyond the barrier a walk is found on average, in standard deviations of a step
(Broadie, Glasserman and Kou 1997)."""

STEEPEST = 8.0
"""Most that an image's power may be, in inverse standard deviations of the last log-spot: what keeps its parts within floats."""


def _alive(contract: Barrier, edge: float, image: tuple[float, float] | None = None) -> Claim:
    """The exercise value less the rebate on the alive side of an edge in log-spot, and nothing beyond."""
    side, strike, k = 1.0 if contract.down else -1.0, contract.strike, math.log(contract.strike)
    sign, inside = 1.0 if contract.option == "call" else -1.0, side * (k - edge) > 0.0
    at_edge, at_strike = (0.0, -contract.rebate, edge, side), (0.0, 0.0, k, side)
    whole = sign, -sign * strike - contract.rebate, edge, side
    if sign == side:  # pays far inside: from the strike on or, if that lies beyond, from the edge
        at_strike, at_edge = ((sign, -sign * strike, k, side), at_edge) if inside else (at_strike, whole)
    elif inside:  # pays between edge and strike
        at_strike, at_edge = (-sign, sign * strike, k, side), whole
    return Claim.of(at_strike, at_edge, image=image)


@dataclass(frozen=True, slots=True)
class OneStepSurvival(PathEstimator):
    r"""Barrier options on paths that are sampled to survive: each date's normal is drawn given that the barrier is not touched.

    The indicator becomes a product of probabilities, :math:`L_j = \prod_{i \le j} \Phi(d_i)`,
    :math:`d_j = \pm(X_{j-1} + M_j - \ln H)/s_j`, smooth in every parameter. Any claim g that is worth the same as the option to a
    survivor at the end is worth the option and what is lost where a path dies, :math:`G_j(x) = E[g \mid X_j = x]`:

    .. math:: E[g\,1_{alive}] = G_0 - E\Big[\sum_{j<m} L_{j-1}\,\Phi(-d_j)\,G_j(X_j^\dagger)
                                         + L_{m-1}\,E[g\,1_{dead} \mid X_{m-1}]\Big],

    :math:`X_j^\dagger` drawn on the dead side by the survivor's own uniform, the last date in closed form. With g the vanilla this is
    the parity of in and out. Where all paths share the drift, g is cut off a little beyond the barrier and taken less its image there
    (static replication): it is then worth next to nothing wherever a path dies, and so is the noise. The present value is
    differentiated along the path, twice for gamma. What it differs by from the survivors' own form, :math:`L_{m-1}\,E[g\,1_{alive}
    \mid X_{m-1}]`, has mean zero and serves as a control, with the coefficient fitted on other paths. Knock-ins follow by parity with
    the vanilla, whose value given the path of its variance is Black-Scholes.

    For any model whose log-returns are Gaussian given the rest. The spot need not be far from the barrier.

    Sources: Glasserman and Staum (2001), Operations Research 49; for smoothness and Greeks, Alm, Harrach, Harrach and Keller (2013),
    Journal of Computational Finance 17(1); for images, Carr and Chou (1997), Risk 10(9); for where to put them, Broadie, Glasserman
    and Kou (1997), Mathematical Finance 7.
    """

    name: ClassVar[str] = "one_step_survival"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = GAMMA
    structural: ClassVar[bool] = True

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: normal distribution functions and their inverse on each date near the barrier."""
        return 300.0 + 36.0 * len(contract.times)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; for barrier options that were not touched yet, first derivatives and gamma."""
        if not isinstance(contract, Barrier) or contract.touched:
            raise NotApplicable(
                f"one-step survival is for barriers still untouched, not {contract.family}; use LikelihoodRatio()"
            )
        for parameter in greek.parameters:
            scenario.model.require_score((parameter,))

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            steps, total = path.steps(*greek.parameters), total_return(path, *greek.parameters)
            key = "survival", contract, steps.parameters, steps.second_order
            estimate, control = path.once(key, lambda: path.discounting.factor() * _sampled(contract, steps, total))
            out[0], out[1] = (select_greek(rows, steps.parameters, greek, path) for rows in (estimate, control))

        return SampleSpec(scenarios=(scenario,), samples=samples, controls=1)


def _sampled(contract: Barrier, steps: Steps, total: TotalReturn) -> FloatArray:
    """Undiscounted value, second derivative by the spot (filled with ``second_order`` only) and first derivatives, [2, 2 + p, path].

    The second of the two is the control.
    """
    claim, tilts = _reference(contract, total, len(steps.mean))
    state, slope, second = _survivors(contract, claim, tilts, steps, total)
    sign, barrier = 1.0 if contract.down else -1.0, math.log(contract.barrier)
    y, variance = barrier + sign * state[0] + steps.mean[-1], steps.stdev[-1] ** 2
    moved = sign * slope[:, 0] + steps.mean_slope[:, -1], 2.0 * steps.stdev[-1] * steps.stdev_slope[:, -1]
    alive = _alive(contract, barrier).value(y, variance)
    along = tilts, sign, state[1], slope[:, 1], *moved, second
    survived = _weighted(alive, *along)
    gone = _weighted(claim.value(y, variance) - alive, *along)
    gone[0] += state[2]
    gone[2:] += slope[:, 2]
    if steps.second_order:
        gone[1] += second[2]
    plain = value_and_derivatives(claim, total, tilts) - gone
    out = np.stack([plain, survived - plain])
    if contract.out:
        out[0, 0] += contract.rebate
    else:
        out *= -1.0
        out[0] += value_and_derivatives(Claim.vanilla(contract.option, contract.strike), total)
    return out


def _reference(contract: Barrier, total: TotalReturn, dates: int) -> tuple[Claim, FloatArray]:
    """The claim that survivors end with, and how its image's power moves with each parameter."""
    if len(total.mean) > 1:
        return Claim.vanilla(contract.option, contract.strike, less=contract.rebate), np.zeros(len(total.mean_slope))
    mean, variance = float(total.mean[0]), float(total.variance[0])
    power, most = -2.0 * mean / variance, STEEPEST / math.sqrt(variance)
    tilts = -2.0 * (total.mean_slope[:, 0] - total.variance_slope[:, 0] * mean / variance) / variance
    if abs(power) > most:
        power, tilts = math.copysign(most, power), 0.0 * tilts
    pole = math.log(contract.barrier) + (-1.0 if contract.down else 1.0) * OVERSHOOT * math.sqrt(variance / dates)
    return _alive(contract, pole, (power, pole)), tilts


def _survivors(
    contract: Barrier, claim: Claim, tilts: FloatArray, steps: Steps, total: TotalReturn
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """State, slopes and bends (see `first_touches`) on the date before the last."""
    count, n_paths = len(steps.mean_slope), steps.normals.shape[1]
    sign, barrier = 1.0 if contract.down else -1.0, math.log(contract.barrier)
    state, slope, second = (
        np.zeros((3, n_paths)),
        np.zeros((count, 3, n_paths)),
        np.zeros((3 if steps.second_order else 0, n_paths)),
    )
    state[0], state[1] = sign * (math.log(steps.spot) - barrier), 1.0
    slope[0, 0], second[:1] = sign / steps.spot, -sign / steps.spot**2
    left, left_slope = np.stack([total.mean, total.variance]), np.stack([total.mean_slope, total.variance_slope], axis=1)
    slopes = steps.mean_slope, steps.stdev_slope, left_slope, tilts
    first_touches(sign, barrier, *claim.numbers, steps.mean, steps.stdev, left, *slopes, steps.normals, state, slope, second)
    return state, slope, second


def _weighted(
    at_end: FloatArray,
    tilts: FloatArray,
    sign: float,
    weight: FloatArray,
    log_slopes: FloatArray,
    y_slopes: FloatArray,
    variance_slopes: FloatArray,
    second: FloatArray,
) -> FloatArray:
    """Probability times the claim's value with its second derivative by parameter 0 and its first derivatives, [2 + p, path]."""
    value, by_y, by_y_twice, by_power = at_end
    out = empty((2 + len(log_slopes), len(weight)))
    out[0] = weight * value
    out[2:] = weight * (log_slopes * value + by_y * y_slopes + 0.5 * by_y_twice * variance_slopes + np.outer(tilts, by_power))
    l1, y1 = log_slopes[0], y_slopes[0]
    out[1] = (
        0.0
        if len(second) == 0
        else weight * ((l1 * l1 + second[1]) * value + 2.0 * l1 * by_y * y1 + by_y_twice * y1 * y1 + by_y * sign * second[0])
    )
    return out
