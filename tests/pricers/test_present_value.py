"""Contracts that pay on several dates: their present value and its derivatives, against quadrature and sums of formulas."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.special import ndtr

from greeks import FiniteDifference, LikelihoodRatio, NotApplicable, Pathwise, crosscheck, sensitivities
from greeks.greek import Greek
from pricers import GBM, European, Heston, Market, Plan, price
from pricers.contracts.contract import Contract
from pricers.exact import exact_greeks
from pricers.market.market import ZeroCurve
from pricers.paths.present_value import CashFlow

MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
CURVE = Market(spot=100.0, rate=ZeroCurve(times=(0.25, 1.0, 2.0), rates=(0.02, 0.05, 0.03)), dividend=0.01)
MODEL = GBM(vol=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoDateNote(Contract):
    """Pays a redemption on the first of two dates with S >= level; if never, 100 S / level on the last."""

    family: ClassVar[str] = "two date note"
    times: tuple[float, ...]
    level: float
    redemptions: tuple[float, ...]
    discontinuous: ClassVar[bool] = True

    def cash_flows(self, paths):
        flows, alive = [], np.ones(paths.n_paths, dtype=bool)
        for date, redemption in enumerate(self.redemptions):
            called = alive & (paths.spot[date] >= self.level)
            flows.append(CashFlow(redemption * called, date))
            alive &= ~called
        return (*flows, CashFlow(alive * (100.0 / self.level) * paths.last))


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip(Contract):
    """A call with its own strike on each of several dates: the sum of European calls."""

    family: ClassVar[str] = "strip"
    times: tuple[float, ...]
    strikes: tuple[float, ...]
    discontinuous: ClassVar[bool] = False

    def cash_flows(self, paths):
        return [CashFlow(np.maximum(paths.spot[k] - strike, 0.0), k) for k, strike in enumerate(self.strikes)]

    def cash_flow_slopes(self, paths, parameter):
        moved = paths.spot * paths.law.tangent(parameter)
        return [CashFlow((paths.spot[k] > strike) * moved[k], k) for k, strike in enumerate(self.strikes)]


NOTE = TwoDateNote(times=(0.5, 1.0), level=102.0, redemptions=(104.0, 108.0))
STRIP = Strip(times=(0.25, 0.5, 1.0), strikes=(95.0, 100.0, 108.0))
PLAN = Plan(paths=2**18, seed=5)


LARGEST = {"price": 0.1, "delta": 0.01, "vega": 2.0, "rho": 0.5}
"""Standard errors."""


def note_value(*, spot=100.0, rate=0.05, vol=0.25):
    """By quadrature over the first date's normal, the second date in closed form."""
    (t1, t2), level, (first, second) = NOTE.times, NOTE.level, NOTE.redemptions
    drift, dt = rate - 0.02 - 0.5 * vol**2, t2 - t1
    edge = (np.log(level / spot) - drift * t1) / (vol * np.sqrt(t1))
    grid_points, weights = np.polynomial.legendre.leggauss(400)
    z = -12.0 + 0.5 * (grid_points + 1.0) * (edge + 12.0)
    weights = 0.5 * weights * (edge + 12.0) * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    s1 = spot * np.exp(drift * t1 + vol * np.sqrt(t1) * z)
    d = (np.log(s1 / level) + drift * dt) / (vol * np.sqrt(dt))
    last = second * ndtr(d) + 100.0 / level * s1 * np.exp((rate - 0.02) * dt) * ndtr(-d - vol * np.sqrt(dt))
    return first * np.exp(-rate * t1) * ndtr(-edge) + np.exp(-rate * t2) * (weights @ last)


def note_greeks():
    def slope(name, at, h):
        return (note_value(**{name: at + h}) - note_value(**{name: at - h})) / (2.0 * h)

    return {
        "price": note_value(),
        "delta": slope("spot", 100.0, 0.01),
        "vega": slope("vol", 0.25, 1e-4),
        "rho": slope("rate", 0.05, 1e-4),
    }


def test_note_that_pays_early_has_the_greeks_of_quadrature():
    found, truth = (
        sensitivities(NOTE, MODEL, MARKET, greeks=tuple(LARGEST), estimator=LikelihoodRatio(), plan=PLAN),
        note_greeks(),
    )
    for greek, largest in LARGEST.items():
        assert abs(found[greek].value - truth[greek]) < 4.0 * found[greek].stderr
        assert found[greek].stderr < largest
    late = truth["rho"] - 0.5 * 104.0 * np.exp(-0.05) * 0.5  # about what paying everything on the last date would give
    assert abs(found["rho"].value - late) > 20.0 * found["rho"].stderr


def test_bumped_note_agrees_with_quadrature():
    found = sensitivities(NOTE, MODEL, MARKET, greeks=("rho",), estimator=FiniteDifference(bump=0.02), plan=PLAN)["rho"]
    assert abs(found.value - note_greeks()["rho"]) < 4.0 * found.stderr + found.bias
    assert found.stderr < 0.5


def strip_greek(name, model, market):
    parts = (European(option="call", strike=k, expiry=t) for k, t in zip(STRIP.strikes, STRIP.times, strict=True))
    return sum(exact_greeks(part, model, market)[name] for part in parts)


@pytest.mark.parametrize("market", [MARKET, CURVE], ids=["flat", "curve"])
@pytest.mark.parametrize("estimator", [LikelihoodRatio(), Pathwise()], ids=lambda e: e.name)
def test_strip_has_the_greeks_of_its_parts(estimator, market):
    greeks = ("price", "delta", "gamma", "vega", "rho", "dividend_rho", "vanna")
    found = sensitivities(STRIP, MODEL, market, greeks=greeks, estimator=estimator, plan=PLAN)
    for greek in greeks:
        truth = strip_greek(greek, MODEL, market)
        assert abs(found[greek].value - truth) < 4.0 * found[greek].stderr
        assert found[greek].stderr < 0.03 * max(abs(truth), 6.0 if greek == "vanna" else 0.0)


def test_price_of_a_strip_is_the_sum_of_its_parts_under_heston():
    model = Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.4, rho=-0.6)
    found = price(STRIP, model, MARKET, plan=PLAN)
    truth = strip_greek("price", model, MARKET)
    assert abs(found.value - truth) < 4.0 * found.stderr + found.bias
    assert found.stderr < 0.01 * truth


def test_delta_by_rate_takes_the_slope_of_each_discount_factor(monkeypatch):
    """Pathwise by spot, scored by rate: no public Greek, but what `charm` or `d delta / d rate` would be made of."""
    by_rate = Greek(name="delta_by_rate", parameters=("spot", "rate"), unit="currency")
    monkeypatch.setattr("greeks.engine.sensitivity.greek", lambda name, model: by_rate)
    found = sensitivities(STRIP, MODEL, MARKET, greeks=("delta_by_rate",), estimator=Pathwise(), plan=PLAN)["delta_by_rate"]
    h = 1e-4
    up, down = (strip_greek("delta", MODEL, Market(spot=100.0, rate=0.05 + s * h, dividend=0.02)) for s in (1.0, -1.0))
    truth = (up - down) / (2.0 * h)
    assert abs(found.value - truth) < 4.0 * found.stderr
    assert found.stderr < 0.02 * abs(truth)


def test_crosscheck_compares_what_a_note_allows():
    table = crosscheck(NOTE, MODEL, MARKET, greeks=("price", "rho"), plan=Plan(paths=2**14, seed=3))
    assert set(table.verdict) <= {"reference", "agree", "too weak to tell", "not comparable"}
    assert set(table.estimator[table.verdict == "agree"]) == {"finite_difference"}


def test_contract_that_says_neither_payoff_nor_cash_flows_is_told_so():
    @dataclass(frozen=True)
    class Nothing(Contract):
        family: ClassVar[str] = "nothing"
        times: tuple[float, ...] = (1.0,)
        discontinuous: ClassVar[bool] = False

    with pytest.raises(NotImplementedError, match="payoff or cash_flows"):
        price(Nothing(), MODEL, MARKET)


def test_pathwise_refuses_a_note_that_jumps():
    with pytest.raises(NotApplicable, match="jumps"):
        sensitivities(NOTE, MODEL, MARKET, greeks=("delta",), estimator=Pathwise())
