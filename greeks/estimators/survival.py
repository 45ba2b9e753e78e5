"""One-step survival: barriers without their indicator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr as normal_cdf

from greeks.estimators.estimator import PathEstimator, Recipe, Scene
from greeks.greek import Greek
from pricers.contracts.barrier import Barrier
from pricers.contracts.contract import Contract
from pricers.errors import NotApplicable
from pricers.foreseen import Needs
from pricers.kernel import device, kernel
from pricers.paths import Paths, Steps
from pricers.plan import Plan
from pricers.special import exp, log, ndtr, ndtri

__all__ = ["OneStepSurvival"]

FloatArray = npt.NDArray[np.float64]


@device
def _row(values, scratch):
    """A row over lanes: the values themselves, or the one value they all share."""
    if values.size == scratch.size:
        return values
    scratch[:] = values[0]
    return scratch


@kernel
def _survive(sign, mean, stdev, mean_slope, stdev_slope, normals, state, slope, bend):
    """Paths conditioned to stay alive on each date, with the logarithm of the probability of doing so, and their derivatives.

    On entry and return state[0, lane] is the distance from the barrier into the alive side in log-spot, state[1, lane] the
    log-probability; slope[p] their derivatives by parameter p, bend their second derivatives by parameter 0 (on which mean and
    standard deviation do not depend). mean and stdev are [time, lane], or [time, 1] where all lanes share them, their slopes
    [p, time, lane or 1].
    """
    lanes = state.shape[1]
    distance, shrink, hazard, level = np.empty(lanes), np.empty(lanes), np.empty(lanes), np.empty(lanes)
    one, two, three = np.empty(lanes), np.empty(lanes), np.empty(lanes)
    away, weight = state[0], state[1]
    for t in range(normals.shape[0]):
        m, s, noise = _row(mean[t], one), _row(stdev[t], two), normals[t]
        for lane in range(lanes):
            d = (away[lane] + sign * m[lane]) / s[lane]
            d = -37.0 if d < -37.0 else d
            distance[lane] = d
            tail = ndtr(d)
            shrink[lane] = tail
            hazard[lane] = exp(-0.5 * d * d) * 0.3989422804014327 / tail
            weight[lane] += log(tail)
        for lane in range(lanes):  # a loop of its own: together they are too long for a processor to overlap
            tail, d = ndtr(-sign * noise[lane]), distance[lane]
            z = -ndtri(shrink[lane] * tail)
            shrink[lane] = tail * exp(0.5 * (z * z - d * d))
            level[lane] = z
            away[lane] += sign * m[lane] + s[lane] * z
        d0, b0, b1 = slope[0, 0], bend[0], bend[1]
        for lane in range(lanes):  # second derivatives first: they need the first ones of the date before
            d, z, a, h = distance[lane], level[lane], shrink[lane], hazard[lane]
            d1, d2 = d0[lane] / s[lane], b0[lane] / s[lane]
            b0[lane] += s[lane] * a * ((a * z + d) * d1 * d1 - d2)
            b1[lane] += h * (d2 - (d + h) * d1 * d1)
        for p in range(slope.shape[0]):
            by_distance, by_weight = slope[p, 0], slope[p, 1]
            dm, ds = _row(mean_slope[p, t], one), _row(stdev_slope[p, t], three)
            for lane in range(lanes):
                moved, spread = sign * dm[lane], ds[lane]
                d1 = (by_distance[lane] + moved - distance[lane] * spread) / s[lane]
                by_distance[lane] += moved + spread * level[lane] - s[lane] * shrink[lane] * d1
                by_weight[lane] += hazard[lane] * d1


class _Smooth(NamedTuple):
    """A function of the mean f and standard deviation s of the last log-spot, [lane], with derivatives."""

    value: Any
    f: Any
    s: Any
    ff: Any

    def plus(self, other: _Smooth, factor: float) -> _Smooth:
        return _Smooth(*(a + factor * b for a, b in zip(self, other, strict=True)))


def _above(f: Any, s: Any, edge: float, strike: float) -> _Smooth:
    r""":math:`E[(e^X - K) 1_{X > \ln a}]`, X normal with mean f and standard deviation s; an edge of zero is passed for certain."""
    forward = np.exp(f + 0.5 * s * s)
    if edge == 0.0:
        return _Smooth(forward - strike, forward, s * forward, forward)
    d2 = (f - math.log(edge)) / s
    density = np.exp(-0.5 * d2 * d2) / math.sqrt(2.0 * math.pi)
    linear, gap = forward * normal_cdf(d2 + s), edge - strike
    return _Smooth(
        linear - strike * normal_cdf(d2),
        linear + gap * density / s,
        s * linear + edge * density - gap * density * d2 / s,
        linear + edge * density / s - gap * density * d2 / s**2,
    )


def _beyond(f: Any, s: Any, edge: float, sign: float) -> _Smooth:
    """Probability that the last log-spot lies on the alive side of the barrier."""
    d = sign * (f - math.log(edge)) / s
    density = np.exp(-0.5 * d * d) / math.sqrt(2.0 * math.pi)
    return _Smooth(normal_cdf(d), sign * density / s, -density * d / s, -density * d / s**2)


def _paid_alive(contract: Barrier, f: Any, s: Any) -> _Smooth:
    """Expected exercise value on the alive side of the barrier: a difference of two tails."""
    strike, level = contract.strike, contract.barrier
    lo, hi = (level, math.inf) if contract.down else (0.0, level)
    lo, hi = (max(lo, strike), hi) if contract.option == "call" else (lo, min(hi, strike))
    nothing = _Smooth(*(np.zeros_like(f) for _ in range(4)))
    if lo >= hi:
        return nothing
    tail = _above(f, s, lo, strike)
    tail = tail if hi == math.inf else tail.plus(_above(f, s, hi, strike), -1.0)
    return nothing.plus(tail, 1.0 if contract.option == "call" else -1.0)


@dataclass(frozen=True, slots=True)
class OneStepSurvival(PathEstimator):
    r"""Barrier options on paths that are sampled to survive: each date's normal is drawn given that the barrier is not touched.

    The indicator becomes a product of probabilities, smooth in every parameter, and the last date is integrated in closed form, so
    that the path's present value is differentiated along the path, twice for gamma:
    :math:`V = D\,[L\,v(X_{m-1}) + R\,(1 - L\,p)]` with :math:`L = \prod_{j<m} \Phi(d_j)`,
    :math:`d_j = \pm(X_{j-1} + M_j - \ln H)/s_j`. Knock-ins follow by parity with the vanilla, whose value given the path of its
    variance is Black-Scholes.

    For any model whose log-returns are Gaussian given the rest. The spot need not be far from the barrier.

    Sources: Glasserman and Staum (2001), Operations Research 49; for smoothness and Greeks, Alm, Harrach, Harrach and Keller (2013),
    Journal of Computational Finance 17(1).
    """

    name: ClassVar[str] = "one_step_survival"

    @property
    def cost(self) -> float:
        """See `PathEstimator.cost`: two normal distribution functions and their inverse on each date."""
        return 8.0

    def recipe(self, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> Recipe:
        """See `PathEstimator.recipe`; for barrier options that were not touched yet, first derivatives and gamma."""
        if not isinstance(contract, Barrier) or contract.touched:
            raise NotApplicable(
                f"one-step survival is for barriers still untouched, not {contract.family}; use LikelihoodRatio()"
            )
        if len(greek.parameters) > 1 and greek.parameters != ("spot", "spot"):
            raise NotApplicable(f"one-step survival has no {greek.name}; use LikelihoodRatio() or FiniteDifference()")
        for parameter in greek.parameters:
            scene.model.require_score((parameter,))
        moved = ("spot", "rate", "vol", "time", *scene.model.parameters)  # all at once: the paths are most of the work

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            value, bend, *slopes = path.once(("survival", id(contract)), lambda: _sampled(contract, path, moved))
            match greek.parameters:
                case ():
                    out[0] = value
                case ("spot", "spot"):
                    out[0] = bend
                case ("dividend",):  # moves the growth as the rate does, the other way
                    out[0] = -slopes[moved.index("rate")]
                case (parameter,):
                    out[0] = greek.sign * (slopes[moved.index(parameter)] + path.log_discount_slope(parameter) * value)

        return Recipe(scenes=(scene,), needs=Needs(steps=frozenset(moved)), samples=samples)


def _sampled(contract: Barrier, path: Paths, parameters: tuple[str, ...]) -> FloatArray:
    """Present value, its second derivative by the spot, and its first derivatives at a fixed discount factor, [2 + p, lane]."""
    steps = path.law.steps(parameters)
    sign = 1.0 if contract.down else -1.0
    state, slope, bend = _survivors(contract, steps, sign)
    last = len(steps.normals) - 1
    f = math.log(contract.barrier) + sign * state[0] + steps.mean[last]
    s = np.broadcast_to(steps.stdev[last], f.shape)
    alive, through = _paid_alive(contract, f, s), _beyond(f, s, contract.barrier, sign)
    if contract.out:  # L (v - R p) + R
        paid = alive.plus(through, -contract.rebate)
    else:  # vanilla - L (v - R p)
        paid = _Smooth(*(-1.0 * part for part in alive.plus(through, -contract.rebate)))
    weight, log_slopes = np.exp(state[1]), slope[:, 1]
    f1 = sign * slope[:, 0] + steps.mean_slope[:, last]
    s1 = np.broadcast_to(steps.stdev_slope[:, last], f1.shape)
    out = np.empty((2 + len(parameters), len(f)))
    out[0] = weight * paid.value
    out[2:] = weight * (log_slopes * paid.value + paid.f * f1 + paid.s * s1)
    l1, g1 = log_slopes[0], f1[0]
    out[1] = weight * ((l1 * l1 + bend[1]) * paid.value + 2.0 * l1 * paid.f * g1 + paid.ff * g1 * g1 + paid.f * sign * bend[0])
    if contract.out:
        out[0] += contract.rebate
    else:
        _add_vanilla(contract, steps, out)
    out *= math.exp(path.log_discount)
    return out


def _survivors(contract: Barrier, steps: Steps, sign: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """State, slopes and bends (see `_survive`) on the date before the last."""
    count, lanes = len(steps.mean_slope), steps.normals.shape[1]
    state, slope, bend = np.zeros((2, lanes)), np.zeros((count, 2, lanes)), np.zeros((2, lanes))
    state[0] = sign * (math.log(steps.spot) - math.log(contract.barrier))
    slope[0, 0], bend[0] = sign / steps.spot, -sign / steps.spot**2
    inner = slice(0, len(steps.normals) - 1)
    slopes = np.ascontiguousarray(steps.mean_slope[:, inner]), np.ascontiguousarray(steps.stdev_slope[:, inner])
    _survive(sign, steps.mean[inner], steps.stdev[inner], *slopes, steps.normals[inner], state, slope, bend)
    return state, slope, bend


def _add_vanilla(contract: Barrier, steps: Steps, out: FloatArray) -> None:
    """Add the vanilla given the path of its variance, undiscounted, to rows of `_sampled`."""
    f = math.log(steps.spot) + steps.mean.sum(axis=0)
    s = np.sqrt((steps.stdev**2).sum(axis=0))
    tail = _above(f, s, contract.strike, contract.strike)
    vanilla = tail if contract.option == "call" else tail.plus(_above(f, s, 0.0, contract.strike), -1.0)
    f1 = steps.mean_slope.sum(axis=1)
    s1 = (steps.stdev * steps.stdev_slope).sum(axis=1) / s
    out[0] += vanilla.value
    out[2:] += vanilla.f * f1 + vanilla.s * s1
    out[2] += vanilla.f / steps.spot
    out[1] += (vanilla.ff - vanilla.f) / steps.spot**2
