"""Heston's stochastic variance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.discounting import Discounting
from pricers.draws import Block, Observation
from pricers.errors import InvalidInput, NotApplicable, finite, negative_not, positive
from pricers.foreseen import Look
from pricers.market import Market
from pricers.models.conditional import ConditionalNormal, VariancePath, spots
from pricers.models.conditional_summaries import Program, Summaries, program, summarily
from pricers.models.heston_grid import equal_steps, graded_steps
from pricers.models.heston_qe import QE
from pricers.models.heston_scheme import SLOPES, Drivers, Scheme
from pricers.models.model import Model
from pricers.paths import Law, Paths

__all__ = ["Heston"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
    work: ClassVar[tuple[float, float]] = 12.0, 4.0
    v0: float
    kappa: float
    theta: float
    xi: float
    rho: float
    scheme: Scheme = QE()  # noqa: RUF009

    def __post_init__(self) -> None:
        for name in ("v0", "kappa", "theta"):
            object.__setattr__(self, name, negative_not(name, getattr(self, name)))
        object.__setattr__(self, "xi", positive("xi", self.xi))
        object.__setattr__(self, "rho", finite("rho", self.rho))
        if not abs(self.rho) < 1.0:
            raise InvalidInput("rho", self.rho, "must lie strictly between -1 and 1")
        if self.v0 + self.kappa * self.theta == 0.0:
            raise InvalidInput("v0", self.v0, "must be positive where kappa * theta is zero: the spot would not move")
        if not isinstance(self.scheme, Scheme):
            raise InvalidInput("scheme", self.scheme, "must be a scheme, such as QE()")

    def lattice(self, times: tuple[float, ...], steps_per_year: int | None = None, refinement: int = 1) -> tuple[float, ...]:
        """See `Model.lattice`; without ``steps_per_year`` as fine as these parameters need (`pricers.models.heston_grid`)."""
        if steps_per_year is None:
            return graded_steps(self, times, refinement)
        return equal_steps(times, steps_per_year * refinement)

    def paths(self, block: Block, observed: Observation, market: Market, stretch: float = 1.0) -> Paths:
        """Spots at the observed dates; see `Model.paths`."""
        stage = block.once(("heston", self, stretch), lambda: _Stage(self, block, stretch, observed))
        look = block.foreseen.look(self, market, stretch, observed)
        times, growth = stretch * observed.times, stretch * market.log_growth(observed.times)
        rows = stage.rows(observed)
        return Paths(
            times=times,
            lanes=block.lanes,
            spot=lambda: spots(spot=market.spot, growth=growth, rho=self.rho, rows=rows, path=stage.path()),
            discounting=Discounting.of(market, observed, stretch),
            law=stage.law(
                ConditionalNormal(
                    kind=self.kind,
                    spot=market.spot,
                    rho=self.rho,
                    vol=math.sqrt(self.v0),
                    times=times,
                    growth=growth,
                    rows=rows,
                    path=stage.path,
                    row=lambda name: stage.summary(look, name),
                ),
                last=int(observed.index[-1]),
            ),
            requested=look.needs,
            initial_spot=market.spot,
        )

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


class _Stage:
    """The part of a block's simulation that knows no market and no contract: its variance paths, shared by all of a book."""

    __slots__ = ("_block", "_drivers", "_model", "_needs", "_observed", "_path", "_summaries")

    def __init__(self, model: Heston, block: Block, stretch: float, observed: Observation):
        self._model, self._block, self._observed = model, block, observed
        noise = block.normals(0), block.normals(1)
        self._drivers = Drivers(lattice=block.lattice, stretch=stretch, noise=noise, nodes=block.watched)
        self._needs = block.foreseen.of(model, stretch)
        self._path: VariancePath | None = None
        self._summaries: Summaries | None = None

    def rows(self, observed: Observation) -> IntArray:
        """Where the observed dates stand in the paths."""
        return np.searchsorted(self._block.watched, observed.index)

    def path(self, parameter: str | None = None, *, slopes: bool = False) -> VariancePath:
        """See `PathSource`; a parameter that was not foreseen brings all others with it."""
        if self._path is None:
            along = _own(self._needs.along)
            foreseen = tuple(name for name in SLOPES if name in along | _own(self._needs.scores))
            apart = len(self._observed.index) < len(self._block.watched)
            self._path = self._evolved(foreseen, slopes=bool(along) or apart)
        path = self._path
        if parameter is not None and (parameter not in path.parameters or (slopes and path.scored)):
            self._model.require_score((parameter,))
            kept = bool(path.parameters) and not path.scored
            self._path = self._evolved(SLOPES, slopes=slopes or kept)
        return self._path

    def summary(self, look: Look, name: str) -> FloatArray:
        """One of the rows of `Summaries`, [lane]."""
        if self._summaries is None:
            model, stretch, nodes, foreseen = self._model, self._drivers.stretch, self._drivers.nodes, self._block.foreseen
            looks = (look for look in foreseen if look.model == model and look.stretch == stretch)
            self._summaries = Summaries(nodes, foreseen.once((Summaries, model, stretch), lambda: program(looks, nodes)))
        return self._summaries.row(look, name, self._summarised)

    def law(self, given: ConditionalNormal, *, last: int) -> Law:
        """How spots move that are observed up to the node ``last``."""
        return self._model.scheme.law(given, self._model, self._drivers.until(last))

    def _summarised(self, program: Program) -> FloatArray:
        model = self._model
        if self._path is None and summarily(self._needs):
            return model.scheme.summarise(model, self._drivers, program)
        path = self.path()
        return program.made(1.0 - model.rho**2, path.walk, path.integral, path.drift)

    def _evolved(self, parameters: tuple[str, ...], *, slopes: bool) -> VariancePath:
        return self._model.scheme.evolve(self._model, self._drivers, parameters=parameters, slopes=slopes)
