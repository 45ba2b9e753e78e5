"""Heston's stochastic variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput, NotApplicable, finite, non_negative, positive
from pricers.market.market import Market
from pricers.models.heston.conditional_normal import ConditionalNormal, VariancePath, spots
from pricers.models.heston.one_pass import Program, Summaries, only_summaries, program
from pricers.models.heston.parameters import SLOPES
from pricers.models.heston.qe import QE
from pricers.models.heston.scheme import Drivers, Scheme
from pricers.models.heston.time_grid import equal_steps, graded_steps
from pricers.models.model import Model, PathSimulator
from pricers.paths.discounting import Discounting
from pricers.paths.paths import Law, Paths
from pricers.paths.requests import PathRequest
from pricers.random_numbers.path_block import Block, ObservationDates

__all__ = ["Heston"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heston(Model):
    r"""Heston (1993): :math:`dS/S = (r-q)\,dt + \sqrt v\,dW_1,\; dv = \kappa(\theta - v)\,dt + \xi\sqrt v\,dW_2,\; dW_1 dW_2 = \rho\,dt`.

    Vega is the derivative by :math:`\sqrt{v_0}`, the others held.

    The variance may reach zero (:math:`2\kappa\theta < \xi^2`). Its derivative along the path then has a heavy tail, and below
    :math:`2\kappa\theta/\xi^2 = \sqrt2 - 1` no variance in the limit of small steps: of likelihood ratio and pathwise, delta, gamma, rho
    and ``d_rho`` are as good as ever, but vega, theta, ``d_v0``, ``d_kappa``, ``d_theta`` and ``d_xi`` get noisier with every step, and far
    below the limit a standard error may miss what rare paths would add. `FiniteDifference` cuts that tail off, at the price of its bias.

    Attributes
    ----------
    v0 : float
        Variance today, per year; zero is allowed.
    kappa : float
        Speed of mean reversion, per year. Where ``kappa * theta`` is zero the variance can die out for good; then there are
        no Greeks by the model's parameters and time but `FiniteDifference` and `Exact`.
    theta : float
        Long-run variance, per year.
    xi : float
        Volatility of variance, per year, positive: without it the variance is no longer random, and the scheme divides by it. `QE` takes
        ``xi`` down to about 1e-9 (and gives ``d_xi`` down to about 1e-5), and refuses smaller ones; `Exact` takes any.
    rho : float
        Correlation of spot and variance, strictly between -1 and 1. Its Greek is ``d_rho``; ``rho`` is the interest rate's.
    scheme : Scheme
        `QE` or `FullTruncationEuler`.
    """

    kind: ClassVar[str] = "heston"
    parameters: ClassVar[tuple[str, ...]] = ("v0", "kappa", "theta", "xi", "rho")
    factors: ClassVar[int] = 2
    discretised: ClassVar[bool] = True
    cost_ns: ClassVar[tuple[float, float]] = 12.0, 4.0
    v0: float
    kappa: float
    theta: float
    xi: float
    rho: float
    scheme: Scheme = QE()  # noqa: RUF009

    def __post_init__(self) -> None:
        for name in ("v0", "kappa", "theta"):
            object.__setattr__(self, name, non_negative(name, getattr(self, name)))
        object.__setattr__(self, "xi", positive("xi", self.xi))
        object.__setattr__(self, "rho", finite("rho", self.rho))
        if not abs(self.rho) < 1.0:
            raise InvalidInput("rho", self.rho, "must lie strictly between -1 and 1")
        if self.v0 + self.kappa * self.theta == 0.0:
            raise InvalidInput("v0", self.v0, "must be positive where kappa * theta is zero: the spot would not move")
        if not isinstance(self.scheme, Scheme):
            raise InvalidInput("scheme", self.scheme, "must be a scheme, such as QE()")

    def time_grid(self, times: tuple[float, ...], steps_per_year: int | None = None, refinement: int = 1) -> tuple[float, ...]:
        """See `Model.time_grid`; without ``steps_per_year`` as fine as these parameters need (`pricers.models.heston.time_grid`)."""
        if steps_per_year is None:
            return graded_steps(self, times, refinement)
        return equal_steps(times, steps_per_year * refinement)

    def paths(self, block: Block, dates: ObservationDates, market: Market, time_scale: float = 1.0) -> Paths:
        """Spots at the observed dates; see `Model.paths`."""
        request = PathRequest(market=market, time_scale=time_scale, dates=dates)
        return self.simulator({self: (request,)}).paths(block, request)

    @classmethod
    def simulator(cls, requests: Mapping[Heston, Sequence[PathRequest]]) -> PathSimulator:
        """See `Model.simulator`: requests of one model and time scale share its variance paths."""
        return _Simulator(requests)

    def require_score(self, parameters: tuple[str, ...]) -> None:
        """See `Model.require_score`."""
        own = [name for name in parameters if name in ("vol", *SLOPES)]
        if own and self.kappa * self.theta == 0.0:
            raise NotApplicable(
                f"a variance that can die out (kappa * theta = 0) has no derivative by {own[0]} along its path; use Exact()"
            )
        unknown = not set(parameters) <= {"spot", "rate", "dividend", "vol", *SLOPES}
        if unknown or (len(parameters) > 1 and parameters not in (("spot", "spot"), ("spot", "vol"))):
            raise NotApplicable(f"{self.kind} has no score for {' x '.join(parameters)}; use FiniteDifference()")
        if "xi" in parameters:
            self.scheme.require_slope_by_xi(self)
        self.scheme.require_score(parameters)

    def bumped(self, parameter: str, by: float) -> Heston:
        """See `Model.bumped`; ``vol`` is the square root of ``v0``."""
        if parameter == "vol":
            return replace(self, v0=(math.sqrt(self.v0) + by) ** 2)
        return replace(self, **{parameter: getattr(self, parameter) + by})

    def scale(self, parameter: str) -> float:
        """See `Model.scale`; half of it never leaves the parameter's domain."""
        if parameter == "vol":
            return math.sqrt(self.v0 if self.v0 > 0.0 else self.theta)
        if parameter == "xi":
            self.scheme.require_slope_by_xi(self)
        size = 1.0 - abs(self.rho) if parameter == "rho" else float(getattr(self, parameter))
        if size == 0.0:
            raise NotApplicable(f"there is no central difference around {parameter} = 0; use Exact()")
        return size


def _own(parameters: frozenset[str]) -> set[str]:
    """What the variance path is differentiated by, for the parameters of a Greek."""
    return {"v0" if name == "vol" else name for name in parameters if name == "vol" or name in SLOPES}


class _Simulator(PathSimulator):
    """Knows for each request the variance paths that it shares with others."""

    def __init__(self, requests: Mapping[Heston, Sequence[PathRequest]]):
        together: dict[tuple[Heston, float], list[PathRequest]] = {}
        for model, asked in requests.items():
            for request in asked:
                together.setdefault((model, request.time_scale), []).append(request)
        plans = [_VariancePlan(model, time_scale, asked) for (model, time_scale), asked in together.items()]
        self._plans = {request: plan for plan in plans for request in plan.requests}

    def paths(self, block: Block, request: PathRequest) -> Paths:
        """See `PathSimulator.paths`."""
        plan, market, dates = self._plans[request], request.market, request.dates
        variance = block.once(plan, lambda: _BlockVariance(plan, block))
        times, growth = request.time_scale * dates.times, request.time_scale * market.log_growth(dates.times)
        model, rows = plan.model, np.searchsorted(plan.grid_points, dates.index)
        given = ConditionalNormal(
            kind=model.kind,
            spot=market.spot,
            rho=model.rho,
            vol=math.sqrt(model.v0),
            times=times,
            growth=growth,
            rows=rows,
            path=variance.path,
            row=lambda name: variance.summary(request, name),
        )
        return Paths(
            times=times,
            n_paths=block.n_paths,
            spot=lambda: spots(spot=market.spot, growth=growth, rho=model.rho, rows=rows, path=variance.path()),
            discounting=Discounting.of(market, dates, request.time_scale),
            law=variance.law(given, last=int(dates.index[-1])),
            wanted=request.wanted,
            initial_spot=market.spot,
        )


class _VariancePlan:
    """What is asked of one model's variance paths, which know no market.

    Attributes
    ----------
    grid_points : ndarray
        Points of the time grid whose paths are kept: all dates of all requests.
    parameters : tuple of str
        What the paths are differentiated by.
    keeps_slopes : bool
        Whether the derivatives are kept at every date. Else scores are made of them on the way: it takes first-order scores alone, and
        requests that have all dates.
    """

    __slots__ = ("grid_points", "keeps_slopes", "model", "parameters", "program", "requests", "time_scale", "wanted")

    def __init__(self, model: Heston, time_scale: float, requests: Sequence[PathRequest]):
        self.model, self.time_scale, self.requests = model, time_scale, requests
        self.grid_points = np.unique(np.concatenate([request.dates.index for request in requests]))
        self.wanted = reduce(or_, (request.wanted for request in requests))
        along = _own(self.wanted.along)
        self.parameters = tuple(name for name in SLOPES if name in along | _own(self.wanted.scored))
        second_order = any(len(parameters) > 1 and _own(frozenset(parameters)) for parameters in self.wanted.scores)
        apart = any(len(request.dates.index) < len(self.grid_points) for request in requests)
        self.keeps_slopes = bool(along) or second_order or apart
        self.program = program(requests, self.grid_points)


class _BlockVariance:
    """The variance paths of a block, shared by all of a book."""

    __slots__ = ("_drivers", "_path", "_plan", "_summaries")

    def __init__(self, plan: _VariancePlan, block: Block):
        self._plan, noise = plan, (block.normals(0), block.normals(1))
        self._drivers = Drivers(time_grid=block.time_grid, time_scale=plan.time_scale, noise=noise, grid_points=plan.grid_points)
        self._path: VariancePath | None = None
        self._summaries = Summaries(plan.grid_points, plan.program)

    def path(self, parameter: str | None = None, *, slopes: bool = False) -> VariancePath:
        """See `PathSource`; a parameter that was not asked for before brings all others with it."""
        plan = self._plan
        if self._path is None:
            self._path = self._evolved(plan.parameters, slopes=plan.keeps_slopes)
        path = self._path
        if parameter is not None and (parameter not in path.parameters or (slopes and path.scored)):
            plan.model.require_score((parameter,))
            kept = bool(path.parameters) and not path.scored
            self._path = self._evolved(SLOPES, slopes=slopes or kept)
        return self._path

    def summary(self, request: PathRequest, name: str) -> FloatArray:
        """One of the rows of `Summaries`, [path]."""
        return self._summaries.row(request, name, self._summarised)

    def law(self, given: ConditionalNormal, *, last: int) -> Law:
        """How spots move that are observed up to the grid point ``last``."""
        model = self._plan.model
        return model.scheme.law(given, model, self._drivers.until(last))

    def _summarised(self, program: Program) -> FloatArray:
        model = self._plan.model
        if self._path is None and only_summaries(self._plan.wanted):
            return model.scheme.summarise(model, self._drivers, program)
        path = self.path()
        return program.made(1.0 - model.rho**2, path.walk, path.integral, path.drift)

    def _evolved(self, parameters: tuple[str, ...], *, slopes: bool) -> VariancePath:
        model = self._plan.model
        return model.scheme.evolve(model, self._drivers, parameters=parameters, slopes=slopes)
