"""The price of a contract, with its error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import Contract
from pricers.discretisation import Discretised, halvings, largest, remark, share, unmeasured
from pricers.draws import Block, Observation
from pricers.estimate import Estimate
from pricers.market import Market
from pricers.models.model import Model
from pricers.plan import Plan
from pricers.simulation import simulate

__all__ = ["price"]

FloatArray = npt.NDArray[np.float64]


class _PresentValue(Discretised):
    def __init__(self, contract: Contract, model: Model, market: Market, plan: Plan):
        self.contract, self.model, self.market = contract, model, market
        self.stream, self.lattice, self.shape = "", model.lattice(contract.times, *plan.steps), (1, 1)
        self.factors = model.factors
        self.observed = Observation(contract.times, self.lattice)

    def fill(self, block: Block, observed: Observation, out: FloatArray) -> None:
        paths = self.model.paths(block, observed, self.market)
        out[0, 0] = math.exp(paths.log_discount) * self.contract.payoff(paths)


def price(contract: Contract, model: Model, market: Market, *, plan: Plan | None = None, threads: int | None = None) -> Estimate:
    r"""Present value of ``contract`` by simulation: :math:`E[D(T)\,f]`, with its standard error.

    Parameters
    ----------
    contract, model, market
        What is priced, under which dynamics, in which market.
    plan : Plan, optional
        Paths and seed.
    threads : int, optional
        Does not change the number; all processors by default.

    Examples
    --------
    >>> from pricers import GBM, European, Market, Plan, price
    >>> round(price(European(option="call", strike=100.0, expiry=1.0), GBM(vol=0.2), Market(spot=100.0), plan=Plan(seed=1)).value)
    8
    """
    plan = plan if plan is not None else Plan()
    sampler = _PresentValue(contract, model, market, plan)
    (result,) = simulate([sampler], plan, threads=threads)
    if isinstance(result, Exception):
        raise result
    weights = np.ones_like(result[0].mean)
    bias, bias_stderr, note = _bias(sampler, plan, threads) if model.discretised else (0.0, 0.0, "")
    return Estimate(
        greek="price",
        value=result[0].value(weights),
        stderr=result[0].stderr(weights),
        paths=plan.paths,
        unit="currency",
        estimator="simulation",
        note=note,
        bias=bias,
        bias_stderr=bias_stderr,
    )


def _bias(sampler: _PresentValue, plan: Plan, threads: int | None) -> tuple[float, float, str]:
    (found,) = halvings([sampler], plan, share(sampler), threads=threads)
    if isinstance(found, Exception):
        return math.nan, math.nan, unmeasured(found)
    return (*largest([(level[0], np.ones_like(level[0].mean)) for level in found]), remark(found))
