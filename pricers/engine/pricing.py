"""The price of a contract, with its error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import Contract
from pricers.engine.discretisation import Discretised, halvings, largest, remark, share, unmeasured
from pricers.engine.estimate import Estimate, bound, why_unknown
from pricers.engine.path_plan import Asked, BlockPaths, View
from pricers.engine.plan import Plan
from pricers.engine.simulation import simulate
from pricers.errors import NotApplicable, one_of
from pricers.exact import exact_greeks
from pricers.market.market import Market
from pricers.models.model import Model
from pricers.models.scenario import Scenario
from pricers.paths.present_value import present_value
from pricers.random_numbers.path_block import ObservationDates

__all__ = ["price"]

FloatArray = npt.NDArray[np.float64]


class _PresentValue(Discretised):
    def __init__(self, contract: Contract, model: Model, market: Market, plan: Plan):
        contract.check_payoff(spot=market.spot, vol=model.scale("vol"))
        self.contract = contract
        self.stream, self.time_grid, self.shape = "", model.time_grid(contract.times, *plan.steps), (1, 1)
        self.factors = model.factors
        self.dates = ObservationDates(contract.times, self.time_grid)
        scenario = Scenario(model=model, market=market)
        self.view = View(scenario, self.dates)
        wanted = scenario.trace(lambda paths: present_value(contract, paths[0]), contract.times)
        self.asked = (Asked(view=self.view, wanted=wanted),)

    def sample(self, paths: BlockPaths, out: FloatArray) -> None:
        present_value(self.contract, paths.of(self.view)).write(out[0, 0])


METHODS = ("best", "exact", "simulation")


def price(
    contract: Contract,
    model: Model,
    market: Market,
    *,
    method: str = "best",
    plan: Plan | None = None,
    threads: int | None = None,
) -> Estimate:
    r"""Present value of ``contract``: by formula, or :math:`E[D(T)\,f]` by simulation with its standard error.

    Parameters
    ----------
    contract, model, market
        What is priced, under which dynamics, in which market.
    method : {"best", "exact", "simulation"}
        "best" takes the formula where there is one, else simulates; the others force one of the two.
    plan : Plan, optional
        Paths and seed of a simulation.
    threads : int, optional
        Does not change the number; all processors by default.

    Raises
    ------
    NotApplicable
        Where "exact" is asked for and no formula is known.

    Examples
    --------
    >>> from pricers import GBM, Asian, European, Market, Plan, price, schedule
    >>> market = Market(spot=100.0)
    >>> print(price(European(option="call", strike=100.0, expiry=1.0), GBM(vol=0.2), market))
    price = 7.96557 +- 0 (exact, currency)
    >>> asian = price(Asian(option="call", strike=100.0, fixings=schedule(12, 1.0)), GBM(vol=0.2), market, plan=Plan(seed=1))
    >>> asian.estimator, round(asian.value, 1)
    ('simulation', 4.8)
    """
    one_of("method", method, METHODS)
    if method != "simulation" and (found := _formula(contract, model, market, must=method == "exact")) is not None:
        return found
    plan = plan if plan is not None else Plan()
    sampler = _PresentValue(contract, model, market, plan)
    (result,) = simulate([sampler], plan, threads=threads)
    if isinstance(result, Exception):
        raise result
    paid = result[0].statistics(result[0].only(0))
    why = "" if contract.sure_payment is not None else why_unknown(paid, plan.paths)
    room = bound(paid.value, math.exp(float(market.log_discount(contract.times[-1]))) * contract.largest_payment, plan.paths)
    bias, bias_stderr, note = _bias(sampler, plan, threads) if model.discretised else (0.0, 0.0, "")
    return Estimate(
        greek="price",
        value=paid.value,
        stderr=math.nan if why else paid.stderr,
        paths=plan.paths,
        unit="currency",
        estimator="simulation",
        note="; ".join(
            part for part in (note, f"error not known: {why}" if why else "", f"{room} (95 %)" if why and room else "") if part
        ),
        bias=bias,
        bias_stderr=bias_stderr,
        skewness=paid.skewness,
        degrees=paid.degrees,
        effective=paid.effective,
    )


def _formula(contract: Contract, model: Model, market: Market, *, must: bool) -> Estimate | None:
    """The exact price, or None where none is known and none is asked for."""
    try:
        value = exact_greeks(contract, model, market)["price"]
    except (NotApplicable, ArithmeticError, ValueError):
        if must:
            raise
        return None
    if not math.isfinite(value) and not must:
        return None
    return Estimate(greek="price", value=value, stderr=0.0, paths=0, unit="currency", estimator="exact")


def _bias(sampler: _PresentValue, plan: Plan, threads: int | None) -> tuple[float, float, str]:
    (found,) = halvings([sampler], plan, share(sampler), threads=threads)
    if isinstance(found, Exception):
        return math.nan, math.nan, unmeasured(found)
    return (*largest([(level[0], level[0].only(0)) for level in found]), remark(found))
