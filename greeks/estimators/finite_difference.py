"""Central finite differences on common random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, SampleSpec
from greeks.estimators.natural_size import move
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.contracts.discontinuity import Maximum, Minimum
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, finite
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths, add, plane
from pricers.paths.present_value import present_value

__all__ = ["FiniteDifference"]

FloatArray = npt.NDArray[np.float64]


_MEASURED = 0.01
"""From this share on the bias is measured; below, the square of the share says enough."""

_WIDEST = 0.5
"""Largest share: half of a parameter's size never leaves its domain."""

_DEPENDENT = 1.2
"""Power of the share where points are not independent (Sobol), whose standard error is smaller."""


@dataclass(frozen=True, slots=True)
class FiniteDifference(PathEstimator):
    r"""Central differences :math:`[V(p+h) - V(p-h)]/2h` and :math:`[V(p+h) - 2V(p) + V(p-h)]/h^2` on the same normals.

    The bump h is a share of the parameter's natural size: of the spot :math:`S\,\sigma\sqrt T`, of a rate :math:`\sigma/\sqrt T`, of time
    T, of a model's parameter the size it names. Near a barrier B the price bends within
    :math:`b = \max(\sigma\sqrt{t_1}, |\ln(S/B)|)`, the first date being :math:`t_1`, and the spot's size is
    :math:`S\sqrt{\sigma\sqrt T\,b}` where b is the smaller: bias and noise are then both within what is said of them (with the whole of
    :math:`\sigma\sqrt T` a gamma 1 % above a daily barrier is 8 standard errors off, with b its noise is eight times as large).
    With n paths the share is :math:`n^{-2/3}` for the first derivative of a payoff without jumps (whose variance does not grow as h
    falls), :math:`n^{-1/4}` for its second and for the first of one that jumps (variance like 1/h), :math:`n^{-1/6}` for the second of
    one that jumps (:math:`1/h^3`): below the rates :math:`n^{-1/5}` and :math:`n^{-1/7}` that minimise the mean square error (Glasserman
    2004, section 7.1), so that the bias :math:`O(h^2)` is small beside the standard error. With `Sobol` points, whose error is smaller,
    the share is too (its power 1.2). The result's note says the bump.

    A share from 0.01 on has its bias measured on the same paths, :math:`|D_{2h} - D_h|/3` with the differences D for two bumps; a
    smaller one counts as biased by its square, as a share of the Greek.

    Parameters
    ----------
    bump : float, optional
        The share to use instead, above 0 and at most 1/2.
    """

    name: ClassVar[str] = "finite_difference"
    second_order: ClassVar[None] = None
    unbiased: ClassVar[bool] = False
    bump: float | None = None

    def __post_init__(self) -> None:
        if self.bump is not None and not 0.0 < finite("bump", self.bump) <= _WIDEST:
            raise InvalidInput("bump", self.bump, f"must be above 0 and at most {_WIDEST:g}")

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; any payoff will do."""
        share = self._share(len(greek.parameters), contract, plan)
        last = contract.times[-1]
        steps = {p: share * _size(p, scenario, contract) for p in greek.parameters}
        terms = _difference(scenario, steps, greek, last)
        measured = share >= _MEASURED
        rows = [terms]
        if measured:
            factor = _wider(share)
            other = _difference(scenario, {p: factor * step for p, step in steps.items()}, greek, last)
            rows.append(_combined(1.0 / (factor**2 - 1.0), other, terms))
        scenarios = tuple(dict.fromkeys(scenario for row in rows for scenario in row))
        weights = [[row.get(scenario, 0.0) for scenario in scenarios] for row in rows]

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            paid = [present_value(contract, path).scaled for path in paths]
            for row, of_row in enumerate(weights):
                parts = [(weight * discount, x) for weight, (discount, x) in zip(of_row, paid, strict=True) if weight]
                _sum(parts, out[row])
                if len(greek.parameters) > 1:
                    _clear_rounding(parts, scenario.market.spot, out[row])

        bumps = ", ".join(f"{p} {step * (last if p == 'time' else 1.0):.4g}" for p, step in steps.items())
        return SampleSpec(
            scenarios=scenarios,
            samples=samples,
            note=f"bump {bumps}" if bumps else "",
            relative_bias=0.0 if measured else share**2,
            bias_rows=(1,) if measured else (),
        )

    def _share(self, order: int, contract: Contract, plan: Plan) -> float:
        if self.bump is not None or order == 0:
            return (self.bump or 0.0) if order else 0.0
        power = {(False, 1): 2 / 3, (False, 2): 1 / 4, (True, 1): 1 / 4, (True, 2): 1 / 6}[contract.discontinuous, order]
        return float(min(_WIDEST, plan.paths ** -(power if plan.sampling.independent else _DEPENDENT * power)))


def _wider(share: float) -> float:
    """How many times as wide the bump is that a bias is measured with: twice, or as wide as it may be; half where that is no wider."""
    widest = min(2.0, _WIDEST / share)
    return widest if widest >= 1.25 else 0.5


_Terms = dict[Scenario, float]
"""Scenarios and what the present value of each is multiplied by."""


def _difference(scenario: Scenario, steps: Mapping[str, float], greek: Greek, last: float) -> _Terms:
    """A Greek as a difference between scenarios."""
    scenarios, stencil = _stencil(scenario, tuple(steps.items()), len(greek.parameters))
    unit = math.prod(steps[p] * (last if p == "time" else 1.0) for p in greek.parameters)
    return dict(zip(scenarios, (greek.sign * weight / unit for weight in stencil), strict=True))


def _combined(factor: float, one: _Terms, other: _Terms) -> _Terms:
    """``factor`` times one difference less another."""
    return {scenario: factor * (one.get(scenario, 0.0) - other.get(scenario, 0.0)) for scenario in (*one, *other)}


def _sum(weighted: list[tuple[float, FloatArray]], out: FloatArray) -> None:
    match weighted:
        case [(weight, paid)]:
            np.multiply(paid, weight, out=out)
        case [one, other, *more]:
            plane(*one, *other, out=out)
            for term in more:
                add(*term, out)


def _clear_rounding(parts: Sequence[tuple[float, FloatArray]], spot: float, out: FloatArray) -> None:
    """Make zero of what rounding leaves where a second difference cancels: on most paths a payoff is straight between its bumps.

    Else a payoff that is straight on all paths has a Greek of 1e-14, with an error that is as small.
    """
    size = sum(abs(weight) * (np.abs(paid) + spot) for weight, paid in parts)
    out[np.abs(out) <= 1e-13 * size] = 0.0


def _size(parameter: str, scenario: Scenario, contract: Contract) -> float:
    """What a bump is a share of: a usual change (`move`), of the spot a smaller one near a barrier, of time all dates in proportion."""
    match parameter:
        case "spot":
            vol, root = scenario.model.scale("vol"), math.sqrt(contract.times[-1])
            return scenario.market.spot * min(math.sqrt(vol * root * _second(vol, scenario, contract)), 1.0)
        case "time":
            return 1.0
    return move(parameter, scenario, contract)


def _second(vol: float, scenario: Scenario, contract: Contract) -> float:
    """Within which change of the log-spot a price bends: what is left until the last date, or, near a barrier, the first one."""
    whole, discontinuity = vol * math.sqrt(contract.times[-1]), contract.discontinuity
    if discontinuity is None or not isinstance(discontinuity.level, Minimum | Maximum):
        return whole
    return min(whole, max(vol * math.sqrt(contract.times[0]), abs(math.log(scenario.market.spot / discontinuity.threshold))))


def _stencil(
    scenario: Scenario, steps: tuple[tuple[str, float], ...], order: int
) -> tuple[tuple[Scenario, ...], tuple[float, ...]]:
    """Bumped scenarios and their weights, before division by the steps."""
    if order == 0:
        return (scenario,), (1.0,)
    (p, h), *rest = steps
    if order == 1:
        return (scenario.bumped(p, h), scenario.bumped(p, -h)), (0.5, -0.5)
    if not rest:
        return (scenario.bumped(p, h), scenario, scenario.bumped(p, -h)), (1.0, -2.0, 1.0)
    ((q, k),) = rest
    corners = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return tuple(scenario.bumped(p, a * h).bumped(q, b * k) for a, b in corners), tuple(0.25 * a * b for a, b in corners)
