"""Greeks of one contract."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from greeks.engine.pilot import chosen as choose
from greeks.engine.pilot import sampling
from greeks.engine.registry import method
from greeks.engine.run import answer, prepared
from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.auto import Chosen
from greeks.estimators.base import Estimator
from greeks.estimators.importance import Searched
from greeks.greek import STANDARD, greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Estimate
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput
from pricers.market.market import Market
from pricers.models.model import Model
from pricers.models.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sensitivities", "sensitivities"]


class Sensitivities(Mapping[str, Estimate]):
    """Estimates by the name of their Greek."""

    __slots__ = ("_estimates",)

    def __init__(self, estimates: Sequence[Estimate]):
        self._estimates = {estimate.greek: estimate for estimate in estimates}

    def __getitem__(self, name: str) -> Estimate:
        if name not in self._estimates:
            raise KeyError(f"{name!r} was not asked for; there are {', '.join(self._estimates)}")
        return self._estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._estimates)

    def __len__(self) -> int:
        return len(self._estimates)

    def __repr__(self) -> str:
        return "\n".join(map(str, self._estimates.values()))

    def frame(self) -> pd.DataFrame:
        """One row per Greek: greek, value, stderr, bias, bias_stderr, paths, unit, estimator, note."""
        import pandas as pd

        columns = ("greek", "value", "stderr", "bias", "bias_stderr", "paths", "unit", "estimator", "note")
        return pd.DataFrame(
            [[getattr(estimate, column) for column in columns] for estimate in self._estimates.values()], columns=columns
        )


def sensitivities(
    contract: Contract,
    model: Model,
    market: Market,
    *,
    greeks: Sequence[str] = STANDARD,
    estimator: Estimator | str | None = None,
    plan: Plan | None = None,
    threads: int | None = None,
) -> Sensitivities:
    r"""Greeks of one contract, each with its standard error.

    Values are raw derivatives of present value: delta per unit of spot, vega per 1.00 of volatility, rho per 1.00 of a parallel
    shift of the zero rate, theta per year (minus the derivative by maturity, all of the contract's dates in proportion, the zero
    rate of each date held).

    Parameters
    ----------
    contract, model, market
        What is differentiated, under which dynamics, in which market.
    greeks : sequence of str
        Among price, delta, gamma, vega, rho, theta, dividend_rho, vanna, volga, and ``d_`` + a parameter of the model.
    estimator : Estimator or str, optional
        One, or the name of one, such as "likelihood_ratio". By default "best": the formula where there is one, else a pilot run finds
        out which unbiased estimator has the least variance times cost for each Greek (`Auto`). The estimate says which it is.
    plan : Plan, optional
        Paths and seed.
    threads : int, optional
        Does not change the numbers; all processors by default.

    Returns
    -------
    Sensitivities
        A mapping from the Greek's name to its `Estimate`.

    Raises
    ------
    NotApplicable
        Where the estimator would be wrong for this contract; the text names one that is right.
    InvalidInput
        Where a Greek is not known.
    """
    chosen = method(estimator, default="best")
    plan = plan if plan is not None else Plan()
    wanted = tuple(greek(name, model) for name in _names(greeks))
    task = GreekTask(contract=contract, scenario=Scenario(model=model, market=market), greeks=wanted, estimators=(chosen,))

    def pilot(tasks: Sequence[GreekTask], small: Plan) -> list[GreekResult | Exception]:
        return answer(tasks, small, threads=threads, keep_going=True, pilot=True)

    (task,) = choose([task], plan, pilot, partial(prepared, threads=threads))
    task, plan = sampling(task, plan, pilot)
    return Sensitivities(_precise(task, plan, threads) if plan.stderr else _estimates(task, plan, threads))


def _estimates(task: GreekTask, plan: Plan, threads: int | None) -> list[Estimate]:
    (result,) = answer([task], plan, threads=threads)
    if isinstance(result, Exception):
        raise result
    for refusal in result.refusals.values():
        raise refusal
    return list(result.estimates.values())


def _precise(task: GreekTask, plan: Plan, threads: int | None) -> list[Estimate]:
    """Estimates with as many paths, and as fine time steps, as the plan's target errors need, as far as its budget goes.

    A run says how many paths the next one needs; the next one starts anew with the same first paths, so that the result is that of a
    plan of its size.
    """
    targets = plan.stderr or {}
    unknown = [name for name in targets if name not in {g.name for g in task.greeks}]
    if unknown:
        raise InvalidInput("stderr", unknown[0], "must name Greeks that are asked for")
    while True:
        found = _estimates(task, plan, threads)
        following = _following(plan, task, [e for e in found if e.greek in targets])
        if following is None:
            return [_with_target(e, targets) for e in found]
        plan = following


def _following(plan: Plan, task: GreekTask, found: Sequence[Estimate]) -> Plan | None:
    """The plan of the next run: with finer time steps where their bias alone takes half of a target's square, else with more paths.

    None where every target is reached, or where the budget leaves no room for what is lacking.
    """
    targets = plan.stderr or {}
    if _refinable(task) and any(_biased(e, targets[e.greek]) for e in found):
        return replace(plan, refinement=2 * plan.refinement) if plan.refinement < _FINEST else None
    share = max(_share(e, targets[e.greek]) for e in found)
    wanted = plan.sampling.fitting(math.ceil(plan.paths * max(1.02 * share, 1.05))) if math.isfinite(share) else plan.paths
    if share <= 1.0 or (wanted > plan.max_paths and plan.paths >= _largest(plan)) or wanted <= plan.paths:
        return None
    return replace(plan, paths=min(wanted, _largest(plan)))


_FINEST = 32
"""Most times that a target refines the time grid."""


def _refinable(task: GreekTask) -> bool:
    """Whether finer time steps take the bias away: a finite difference has one of its own, and a law that was found belongs to its grid."""
    methods = [e.method(g.name) if isinstance(e, Chosen) else e for e in task.estimators for g in task.greeks]
    return task.scenario.model.discretised and all(m is None or (m.unbiased and not isinstance(m, Searched)) for m in methods)


def _biased(estimate: Estimate, target: float) -> bool:
    """Whether there is a bias, beyond the noise of its measurement, that leaves too little of the target to the standard error."""
    return estimate.bias > 2.0 * estimate.bias_stderr and 2.0 * estimate.bias**2 > target**2


def _share(estimate: Estimate, target: float) -> float:
    """How many times as many paths a target needs. What is measured of a bias within its noise falls with them as the error does."""
    if not estimate.resolved:  # four times as many may tell
        return 4.0
    fixed = estimate.bias**2 if estimate.bias > 2.0 * estimate.bias_stderr else 0.0
    if fixed < target**2:
        return (estimate.stderr**2 + estimate.bias**2 - fixed) / (target**2 - fixed)
    return _total(estimate) ** 2 / target**2


def _total(estimate: Estimate) -> float:
    """Root mean square error: the standard error and the bias."""
    return math.hypot(estimate.stderr, 0.0 if math.isnan(estimate.bias) else estimate.bias)


def _largest(plan: Plan) -> int:
    """The most paths that fit the sampling and the budget."""
    fits = plan.sampling.fitting(plan.max_paths)
    return fits if fits <= plan.max_paths else plan.sampling.fitting(plan.max_paths // 2)


def _with_target(estimate: Estimate, targets: Mapping[str, float]) -> Estimate:
    if estimate.greek not in targets:
        return estimate
    target = targets[estimate.greek]
    reached = "reached" if _total(estimate) <= target else f"not reached: {_lacking(estimate, target)}"
    note = f"target error {target:g} {reached}"
    return replace(estimate, note=f"{estimate.note}; {note}" if estimate.note else note)


def _lacking(estimate: Estimate, target: float) -> str:
    """Which part of the error is too large."""
    if not estimate.resolved:
        return "the error is not known, and the plan's max_paths ended first"
    if estimate.bias > target and estimate.bias > estimate.stderr:
        return f"the bias is {estimate.bias:.2g}"
    if estimate.stderr > target:
        return "the plan's max_paths ended first"
    return f"standard error {estimate.stderr:.2g} and bias {estimate.bias:.2g} together are larger"


def _names(greeks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(greeks, str):
        return (greeks,)
    names = tuple(dict.fromkeys(greeks))
    if not names:
        raise InvalidInput("greeks", greeks, "must name at least one Greek")
    return names
