"""Methods that take a payoff for one at the last date refuse contracts that pay before it, and none of the others is wrong."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from greeks import LikelihoodRatio, Localised, NotApplicable, Preintegrated, Relaxed, sensitivities
from pricers import GBM, Asian, Digital, European, Market, Plan, exact_greeks
from pricers.contracts.contract import Contract
from pricers.contracts.discontinuity import Discontinuity, Last
from pricers.paths.present_value import CashFlow

MARKET, MODEL, PLAN = Market(spot=100.0, rate=0.08), GBM(vol=0.2), Plan(paths=2**16, seed=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyDigital(Contract):
    """10 on the first of two dates where the spot is above 100 there. It describes a jump at the last one, as a careless author might."""

    family: ClassVar[str] = "early digital"
    times: tuple[float, ...] = (0.5, 2.0)
    discontinuous: ClassVar[bool] = True
    uses_initial_spot: ClassVar[bool] = False

    @property
    def discontinuity(self):
        return Discontinuity(level=Last(), threshold=100.0, above=10.0, below=0.0)

    @property
    def on_average(self):
        return Asian(option="call", strike=100.0, fixings=self.times).on_average

    def cash_flows(self, paths):
        return (CashFlow(10.0 * (paths.spot[0] > 100.0), 0),)


class StruckAtTheSpot(EarlyDigital):
    """The same, with a strike that moves with today's spot."""

    uses_initial_spot: ClassVar[bool] = True

    def cash_flows(self, paths):
        return (CashFlow(10.0 * (paths.spot[0] > paths.initial_spot), 0),)


@pytest.mark.parametrize("estimator", [Localised(), Relaxed(), Preintegrated()], ids=lambda e: e.name)
def test_methods_for_payoffs_at_the_last_date_refuse(estimator):
    with pytest.raises(NotApplicable, match="LikelihoodRatio"):
        sensitivities(EarlyDigital(), MODEL, MARKET, greeks=("rho",), estimator=estimator, plan=PLAN)


def test_delta_of_payments_that_depend_on_todays_spot_is_refused_by_the_likelihood_ratio():
    with pytest.raises(NotApplicable, match="before the last date"):
        sensitivities(StruckAtTheSpot(), MODEL, MARKET, greeks=("delta",), estimator=LikelihoodRatio(), plan=PLAN)


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), None], ids=["likelihood ratio", "default"])
def test_early_digital_is_the_digital_of_its_date(estimator):
    truth = exact_greeks(Digital(option="call", strike=100.0, expiry=0.5, cash=10.0), MODEL, MARKET)
    found = sensitivities(EarlyDigital(), MODEL, MARKET, greeks=("price", "delta", "rho"), estimator=estimator, plan=PLAN)
    for name, most in (("price", 0.05), ("delta", 0.02), ("rho", 0.5)):
        assert abs(found[name].value - truth[name]) < 4.0 * found[name].stderr
        assert found[name].stderr < most
    assert not np.isclose(truth["price"], truth["price"] * np.exp(-0.08 * 1.5), rtol=0.05)


def test_contracts_that_pay_once_are_known_as_such():
    assert not European(option="call", strike=100.0, expiry=1.0).pays_early
    assert EarlyDigital().pays_early
