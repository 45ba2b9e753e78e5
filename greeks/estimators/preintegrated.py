r"""Options on an average, integrated in closed form along one direction of each path's normals.

Given the variance path, log-returns are Gaussian, :math:`M_j + s_j \xi_j`. Along a unit vector c, :math:`\xi = c\,y + \rho` with y
standard normal and independent of the rest :math:`\rho = \xi - c\,(c\cdot\xi)`, and

.. math:: \ln S_k(y) = a_k + u_k y, \quad a_k = \ln S_0 + \sum_{j \le k} (M_j + s_j \rho_j), \quad u_k = \sum_{j \le k} s_j c_j .

With :math:`c_j \propto s_j (n - j + 1)`, the gradient of the geometric average, every :math:`u_k` is positive, so that the average
:math:`A(y) = p + w\sum_k S_k(y)` (p the past fixings' part) rises through the strike K at one root :math:`y^*`, and

.. math:: E[(A - K)^+ \mid \rho] = w\sum_k e^{a_k + u_k^2/2}\,\Phi(u_k - y^*) - (K - p)\,\Phi(-y^*), \qquad
          P(A > K \mid \rho) = \Phi(-y^*)

are smooth functions of the rest, of M and of s, and so have pathwise derivatives; no indicator is left. The derivatives by all
:math:`a_k` and :math:`u_k` (at the root the option's integrand vanishes; the digital's root moves by the implicit function theorem)
are carried back to each :math:`M_j` and :math:`s_j`, whose own slopes the model knows.

Of the geometric average nothing is left to sample but the variance path. Of the arithmetic one it is little more than how the path's
bends about that direction raise it, which linear and quadratic functions of :math:`r_k = \sum_{j\le k} s_j \rho_j`, of known means,
explain in turn; they are offered as controls, and so is the forward of the average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import GAMMA, PathEstimator, SampleSpec
from greeks.estimators.kernels.preintegration import along, arithmetic, geometric
from greeks.greek import Greek
from pricers.contracts.average import AverageClaim
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths, Steps
from pricers.paths.row_operations import empty

__all__ = ["Preintegrated"]

FloatArray = npt.NDArray[np.float64]

_SHARED = frozenset({"rate", "dividend", "vol", "time"})


@dataclass(slots=True, eq=False)
class _Integrated:
    """A claim's expectation along each path's direction, undiscounted, with what its Greeks are made of; see `_arithmetic`."""

    claim: AverageClaim
    steps: Steps
    forward: FloatArray
    out: FloatArray
    by: FloatArray | None = None
    along: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def value(self) -> FloatArray:
        """The expectation."""
        return self.out[0]

    @property
    def second(self) -> FloatArray:
        """Its second derivative by the logarithm of the spot less the first."""
        return self.out[1]

    @property
    def share(self) -> float:
        """Weight of a date's spot in the average."""
        return self.claim.mean.future_share / len(self.forward)

    @property
    def controls(self) -> tuple[FloatArray, ...]:
        """Of known mean zero, each [path]; a geometric average has none."""
        return tuple(self.out[2:7]) if self.claim.mean.arithmetic else ()

    def slopes(self, path: Paths, parameter: str) -> tuple[FloatArray, ...]:
        """Derivative by a parameter of model or market, [path], discounting left out; of an arithmetic average another control."""
        if parameter == "spot":
            return (self.out[7] / self.steps.spot,)
        if parameter not in self.along:
            mean_slope, stdev_slope = _slopes_by((parameter,), path, len(self.forward))
            if mean_slope.shape[-1] == stdev_slope.shape[-1] == 1:
                self._add_shared((parameter,), mean_slope[..., 0], stdev_slope[..., 0], path)
            else:
                if self.by is None:
                    _integrate(self, keep=True)
                assert self.by is not None
                found = np.empty((len(self.by) // 2, self.by.shape[-1]))
                for row, (by_mean, by_stdev) in zip(found, (self.by[:2], self.by[2:]), strict=False):
                    along(by_mean, by_stdev, mean_slope[0], stdev_slope[0], row)
                self.along[parameter] = self._centred(found, path, parameter)
        return tuple(self.along[parameter])

    def _add_shared(self, names: tuple[str, ...], mean_slope: FloatArray, stdev_slope: FloatArray, path: Paths) -> None:
        """Integrate the claim, and take its derivatives by parameters that move the log-returns of all paths alike."""
        found = _integrate(self, mean_slope=mean_slope, stdev_slope=stdev_slope)
        self.along |= {name: self._centred(rows, path, name) for name, rows in zip(names, found, strict=True)}

    def _centred(self, out: FloatArray, path: Paths, parameter: str) -> FloatArray:
        """The derivative of an arithmetic average, the second row, less its mean, so that it is a control."""
        if len(out) == 2:
            out[1] -= self._forward_slope(path, parameter)
            out[1][np.abs(out[1]) < _ROUNDING * self.share * self.forward.sum()] = 0.0
        return out

    def _forward_slope(self, path: Paths, parameter: str) -> float:
        """Derivative of the average's forward: only the market moves it."""
        times = path.times[-len(self.forward) :]
        growth = np.log(self.forward / self.steps.spot)
        weights = {"rate": times, "dividend": -times, "time": growth / times[-1]}.get(parameter)
        return self.share * float(self.forward @ weights) if weights is not None else 0.0


def _slopes_by(names: tuple[str, ...], path: Paths, count: int) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the log-returns' means and standard deviations, each [parameter, time, path or 1]."""
    steps = [_steps(path, name, count) for name in names]
    means, stdevs = [s.mean_slope[0] for s in steps], [s.stdev_slope[0] for s in steps]
    return np.array(np.broadcast_arrays(*means)), np.array(np.broadcast_arrays(*stdevs))


def _steps(path: Paths, parameter: str, count: int) -> Steps:
    """The path's log-returns; where one is asked for and the path has more, that to the last date."""
    steps = path.law.steps((parameter,))
    if count == len(steps.normals):
        rows = (steps.mean, steps.stdev, steps.mean_slope, steps.stdev_slope)
        mean, stdev, mean_slope, stdev_slope = (np.ascontiguousarray(row) for row in rows)
        normals = steps.normals
    else:
        stdev = np.sqrt((steps.stdev**2).sum(axis=0, keepdims=True))
        normals = (steps.stdev * steps.normals).sum(axis=0, keepdims=True) / stdev
        mean, mean_slope = steps.mean.sum(axis=0, keepdims=True), steps.mean_slope.sum(axis=1, keepdims=True)
        stdev_slope = (steps.stdev * steps.stdev_slope).sum(axis=1, keepdims=True) / stdev
    return Steps(spot=steps.spot, normals=normals, mean=mean, stdev=stdev, mean_slope=mean_slope, stdev_slope=stdev_slope)


def _integrated(claim: AverageClaim, forward: FloatArray, path: Paths) -> _Integrated:
    """The claim on a block of paths; forward is each spot's mean, [time]."""
    steps = _steps(path, "spot", len(forward))
    found = _Integrated(claim, steps, forward, empty((8, steps.normals.shape[1])))
    names = tuple(sorted(path.parameters_asked - {"spot"}))
    if not set(names) <= _SHARED or steps.mean.shape[-1] * steps.stdev.shape[-1] > 1:
        _integrate(found, keep=True)
    elif names:
        mean_slope, stdev_slope = _slopes_by(names, path, len(forward))
        found._add_shared(names, mean_slope[..., 0], stdev_slope[..., 0], path)
    else:
        _integrate(found)
    return found


_NO_SLOPES = np.empty((0, 0))


def _integrate(
    found: _Integrated, *, keep: bool = False, mean_slope: FloatArray = _NO_SLOPES, stdev_slope: FloatArray = _NO_SLOPES
) -> FloatArray:
    """Fill ``out``, with ``keep`` ``by`` too, and return the derivatives by the parameters of these slopes, [parameter, claim, path]."""
    claim, steps, mean = found.claim, found.steps, found.claim.mean
    count, n_paths = steps.normals.shape
    out, share, loads = found.out, found.share, np.arange(count, 0.0, -1.0)
    sign, cash = 1.0 if claim.option == "call" else -1.0, claim.cash or 0.0
    paths = math.log(steps.spot), steps.mean, steps.stdev, steps.normals, loads, found.forward, out
    claims = 2 if mean.arithmetic else 1
    slopes = empty((len(mean_slope), claims, n_paths))
    if mean.arithmetic:
        by = empty((4, count, n_paths)) if keep else np.empty((4, count, 0))
        strike = claim.strike - mean.past_part
        log_strike = math.log(strike / share) if strike > 0.0 else -math.inf
        arithmetic(sign, cash, share, strike, log_strike, *paths, by, mean_slope, stdev_slope, slopes)
        out[2] -= share * found.forward.sum()
    else:
        by = empty((2, count, n_paths))
        geometric(sign, cash, share, claim.strike, mean.past_part, *paths, by)
        for row, dm, ds in zip(slopes, mean_slope, stdev_slope, strict=True):
            along(by[0], by[1], dm[:, None], ds[:, None], row[0])
    if keep:
        found.by = by
    scales = share * found.forward.sum() * np.array([1.0, count, count, count, count])
    rounding = np.abs(out[2:7]) < _ROUNDING * scales[:, None]
    out[2:7][rounding] = 0.0
    return slopes


_ROUNDING = 1e-13
"""Of a control, as a share of what cancels in it: nothing but rounding, which must not be taken for a control."""


@dataclass(frozen=True, slots=True)
class Preintegrated(PathEstimator):
    r"""The payoff's expectation along one direction of each path's normals, in closed form, differentiated along the path.

    For options and digitals on an average (of one date, too: European and digital), under models whose log-returns are Gaussian given
    the variance path. The direction is the geometric average's gradient; along it the average rises through the strike once, at a
    root found to rounding, and what is left to sample is smooth, so that a digital has pathwise Greeks too and Sobol points
    gain most. Zero-mean functions of the rest are fitted as controls, and the forward of the average and its derivative.

    Sources: Griewank, Kuo, Leovey and Sloan (2018), "High dimensional integration of kinks and jumps: smoothing by preintegration",
    J. Comput. Appl. Math. 344; Liu and Owen (2023), "Preintegration via active subspace", SIAM J. Numer. Anal. 61; Gilbert, Kuo
    and Sloan (2022), "Preintegration is not smoothing when monotonicity fails"; Curran (1994), Management Science 40, for
    conditioning on the geometric average.
    """

    name: ClassVar[str] = "preintegrated"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = GAMMA
    structural: ClassVar[bool] = True

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: some three exponentials and a normal distribution function on each date."""
        return 60.0 + 28.0 * len(contract.times)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; for claims on an average, first derivatives and gamma."""
        claim = contract.on_average if not contract.pays_early else None
        if claim is None:
            raise NotApplicable(
                f"preintegration is for options and digitals on an average, not {contract.family}; use LikelihoodRatio()"
            )
        for parameter in greek.parameters:
            scenario.model.require_score((parameter,))
        forward = scenario.market.spot * np.exp(scenario.time_scale * scenario.market.log_growth(contract.times))

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            found = path.once(("preintegrated", claim), lambda: _integrated(claim, forward, path))
            number, *more = _derivatives(found, path, greek.parameters)
            np.multiply(number, greek.sign * path.discounting.factor(), out=out[0])
            for row, control in zip(out[1:], (*found.controls, *more), strict=True):
                row[:] = control

        controls = 5 + (len(greek.parameters) == 1 and greek.parameters != ("spot",))
        controls = controls if claim.mean.arithmetic else 0
        return SampleSpec(scenarios=(scenario,), samples=samples, controls=controls, exact_if_constant=True)


def _derivatives(found: _Integrated, path: Paths, parameters: tuple[str, ...]) -> tuple[FloatArray, ...]:
    """Derivative of the present value over the discount factor, [path], and the control that goes with it, if there is one."""
    match parameters:
        case ():
            return (found.value,)
        case ("spot", _):
            return (found.second / found.steps.spot**2,)
        case (parameter,):
            slope, *control = found.slopes(path, parameter)
            return (slope + path.discounting.log_slope(parameter) * found.value, *control)
    raise AssertionError(parameters)
