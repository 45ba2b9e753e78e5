"""European claims by formula given the path of the variance."""

import pytest

from greeks import Conditional, Exact, LikelihoodRatio, NotApplicable, Pathwise, sensitivities
from pricers import GBM, Asian, Digital, European, Heston, Market, Plan, schedule

MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
MODEL = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho")
CLAIMS = [
    European(option="call", strike=105.0, expiry=0.75),
    European(option="put", strike=95.0, expiry=0.75),
    Digital(option="call", strike=105.0, expiry=0.75, cash=10.0),
    Digital(option="put", strike=95.0, expiry=0.75, cash=10.0),
]


def _named(claim):
    return f"{claim.family} {claim.option}"


@pytest.mark.parametrize("claim", CLAIMS, ids=_named)
def test_under_gbm_it_is_the_formula(claim):
    truth = sensitivities(claim, GBM(vol=0.2), MARKET, greeks=GREEKS, estimator=Exact())
    found = sensitivities(claim, GBM(vol=0.2), MARKET, greeks=GREEKS, estimator=Conditional(), plan=Plan(paths=256, seed=1))
    for g in GREEKS:
        assert found[g].value == pytest.approx(truth[g].value, rel=1e-11, abs=1e-11), g
        assert found[g].stderr < 1e-12


@pytest.mark.parametrize("claim", CLAIMS, ids=_named)
def test_under_heston_it_agrees_with_fourier_and_is_less_noisy(claim):
    plan = Plan(paths=2**15, seed=3, steps_per_year=100)
    greeks = (*GREEKS, "d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")
    truth = sensitivities(claim, MODEL, MARKET, greeks=greeks, estimator=Exact())
    found = sensitivities(claim, MODEL, MARKET, greeks=greeks, estimator=Conditional(), plan=plan)
    other = LikelihoodRatio() if claim.discontinuous else Pathwise()
    noisy = sensitivities(claim, MODEL, MARKET, greeks=greeks, estimator=other, plan=plan)
    for g in greeks:
        assert abs(found[g].value - truth[g].value) < 4.0 * found[g].stderr, (g, found[g], truth[g].value)
        assert found[g].stderr < 0.9 * noisy[g].stderr, (g, found[g], noisy[g])


def test_it_refuses_what_looks_at_more_dates():
    with pytest.raises(NotApplicable, match=r"are of vanillas and digitals, not asian; use LikelihoodRatio\(\)"):
        sensitivities(Asian(option="call", strike=100.0, fixings=schedule(4, 1.0)), MODEL, MARKET, estimator=Conditional())
    with pytest.raises(NotApplicable, match="no vanna"):
        sensitivities(CLAIMS[0], MODEL, MARKET, greeks=("vanna",), estimator=Conditional())
