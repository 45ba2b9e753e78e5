"""Greeks of one contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from greeks.estimators.estimator import Estimator, Scene
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.greek import STANDARD, greek
from greeks.run import Job, answer
from pricers.contracts.contract import Contract
from pricers.errors import InvalidInput
from pricers.estimate import Estimate
from pricers.market import Market
from pricers.models.model import Model
from pricers.plan import Plan

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
        """One row per Greek: greek, value, stderr, paths, unit, estimator, note."""
        import pandas as pd

        columns = ("greek", "value", "stderr", "paths", "unit", "estimator", "note")
        return pd.DataFrame(
            [[getattr(estimate, column) for column in columns] for estimate in self._estimates.values()], columns=columns
        )


def sensitivities(
    contract: Contract,
    model: Model,
    market: Market,
    *,
    greeks: Sequence[str] = STANDARD,
    estimator: Estimator | None = None,
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
    estimator : Estimator, optional
        `LikelihoodRatio` by default.
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
    method = estimator if estimator is not None else LikelihoodRatio()
    if not isinstance(method, Estimator):
        raise InvalidInput("estimator", method, "must be an estimator, such as LikelihoodRatio()")
    plan = plan if plan is not None else Plan()
    wanted = tuple(greek(name, model) for name in _names(greeks))
    job = Job(contract=contract, scene=Scene(model=model, market=market), greeks=wanted, estimators=(method,))
    (result,) = answer([job], plan, threads=threads)
    if isinstance(result, Exception):
        raise result
    for refusal in result.refusals.values():
        raise refusal
    return Sensitivities([result.estimates[g.name, method.name] for g in wanted])


def _names(greeks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(greeks, str):
        return (greeks,)
    names = tuple(dict.fromkeys(greeks))
    if not names:
        raise InvalidInput("greeks", greeks, "must name at least one Greek")
    return names
