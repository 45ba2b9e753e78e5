"""Standard errors and correlations of Heston's calibrated parameters: against refits of noisy surfaces, and the cases without one."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from pricers.calibration.heston import PARAMETERS, fit_heston
from pricers.exact.heston_fourier import european
from pricers.exact.implied_vol import implied_vol

SPOT = 100.0
TRUTH = {"v0": 0.05, "kappa": 2.5, "theta": 0.08, "xi": 0.7, "rho": -0.6}
NOISE = 0.002
VALUES = np.array(list(TRUTH.values()))


def model_vols(expiry, strike, parameters):
    """Implied volatilities, one at a time: nothing of the calibration's own."""
    vols = []
    for t, k in zip(expiry.tolist(), strike.tolist(), strict=True):
        terms = {"option": "put" if k < SPOT else "call", "spot": SPOT, "strike": k, "expiry": t}
        terms |= {"log_growth": 0.0, "log_discount": 0.0}
        vols.append(float(implied_vol(**terms, price=european(**terms, **parameters)["price"])))
    return np.array(vols)


def surface(expiries=(0.1, 0.5, 3.0), per=5):
    expiry = np.repeat(np.array(expiries), per)
    strike = SPOT * np.exp(np.tile(np.linspace(-1.5, 1.2, per), len(expiries)) * 0.25 * np.sqrt(expiry))
    return {"spot": SPOT, "expiry": expiry, "strike": strike, "implied_vol": model_vols(expiry, strike, TRUTH)}


def noisy(quotes, seed, weight=1.0):
    vols = quotes["implied_vol"]
    return quotes | {"implied_vol": vols + NOISE / np.sqrt(weight) * np.random.default_rng(seed).normal(size=len(vols))}


def refits(quotes, seeds, weight=1.0):
    fits = [fit_heston(**noisy(quotes, seed, weight), weight=weight, starts=[TRUTH]) for seed in seeds]
    assert all(fit.success and not fit.at_bound and not fit.stderr_note for fit in fits)
    found = np.array([[fit.parameters[name] for name in PARAMETERS] for fit in fits])
    stated = np.array([[fit.stderr[name] for name in PARAMETERS] for fit in fits])
    return found, stated, np.mean([fit.correlation for fit in fits], axis=0)


def assert_matches(found, stated, correlation, freedom):
    """Ratio of spreads within 3.5 of its sampling errors, coverage of 95 % intervals, Fisher's z of the correlations."""
    count = len(found)
    ratio = found.std(axis=0, ddof=1) / np.sqrt((stated**2).mean(axis=0))
    assert np.all(np.abs(ratio - 1.0) < 3.5 / math.sqrt(2.0 * count)), ratio
    covered = (np.abs(found - VALUES) < student.ppf(0.975, freedom) * stated).mean(axis=0)
    assert np.all((covered >= 0.90) & (covered <= 0.99)), covered
    rows, columns = np.triu_indices(5, 1)
    seen = np.corrcoef(found.T)[rows, columns]
    away = (np.arctanh(seen) - np.arctanh(correlation[rows, columns])) * math.sqrt(count - 3)
    assert np.all(np.abs(away) < 4.0), away


def test_errors_are_the_spread_of_refits():
    found, stated, correlation = refits(surface(), range(100))
    assert_matches(found, stated, correlation, 10)
    assert np.all(stated.mean(axis=0) < np.array([0.1, 0.5, 0.1, 0.3, 0.1]) * np.abs(VALUES))


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_the_spread_of_400_refits(weighted):
    quotes = surface((0.1, 0.5, 1.0, 3.0), 7)
    weight = np.where(np.arange(28) % 3 == 0, 0.1, 1.0) if weighted else np.ones(28)
    found, stated, correlation = refits(quotes, range(400), weight)
    assert_matches(found, stated, correlation, 23)


@pytest.mark.parametrize("weighted", [False, True])
def test_covariance_is_the_formula_with_slopes_by_bumps(weighted):
    """With n - p in the denominator, weights in both places and the parameters' own units."""
    quotes = noisy(surface(), 5)
    weight = np.linspace(0.2, 3.0, 15) if weighted else np.ones(15)
    weight = np.where(np.arange(15) == 4, 0.0, weight)
    fit = fit_heston(**quotes, weight=weight)
    expiry, strike = quotes["expiry"], quotes["strike"]
    slopes = np.empty((15, 5))
    for j, name in enumerate(PARAMETERS):
        step = 1e-4 * abs(fit.parameters[name])
        up, down = (model_vols(expiry, strike, fit.parameters | {name: fit.parameters[name] + h}) for h in (step, -step))
        slopes[:, j] = (up - down) / (2.0 * step)
    error = model_vols(expiry, strike, fit.parameters) - quotes["implied_vol"]
    covariance = np.linalg.inv(slopes.T @ (weight[:, None] * slopes)) * (weight @ error**2) / (14 - 5)
    spread = np.sqrt(np.diag(covariance))
    assert [fit.stderr[name] for name in PARAMETERS] == pytest.approx(spread, rel=1e-4)
    np.testing.assert_allclose(fit.correlation, covariance / np.outer(spread, spread), rtol=0, atol=1e-4)
    frame = fit.correlation_frame()
    assert list(frame.index) == list(frame.columns) == list(PARAMETERS)
    assert frame.loc["v0", "rho"] == frame.loc["rho", "v0"] == fit.correlation[0, 4]


def test_a_parameter_on_a_bound_has_no_error_and_the_others_hold_it_fixed():
    quotes = noisy(surface(), 3)
    fit = fit_heston(**quotes, bounds={"rho": (-0.3, 0.3)})
    assert fit.at_bound == ("rho",)
    assert [name for name in PARAMETERS if math.isnan(fit.stderr[name])] == ["rho"]
    assert np.all(np.isnan(fit.correlation[4]))
    assert np.all(np.isnan(fit.correlation[:, 4]))
    assert np.all(np.isfinite(fit.correlation[:4, :4]))
    assert fit.stderr_note.startswith("rho ended on a bound")
    free = fit_heston(**quotes)
    assert not free.stderr_note
    assert np.all(np.isfinite(list(free.stderr.values())))


def test_no_surplus_of_quotes_no_error():
    five = {name: values if name == "spot" else values[2:7] for name, values in noisy(surface(), 1).items()}
    fit = fit_heston(**five, starts=[TRUTH])
    assert np.all(np.isnan(list(fit.stderr.values())))
    assert np.all(np.isnan(fit.correlation))
    assert "bound" in fit.stderr_note or "5 quotes for 5 parameters" in fit.stderr_note
    weight = np.where(np.arange(15) < 5, 1.0, 0.0)
    fit = fit_heston(**noisy(surface(), 1), weight=weight, starts=[TRUTH])
    assert "5 quotes for 5 parameters" in fit.stderr_note or fit.at_bound


def test_what_quotes_cannot_tell_has_no_error():
    """One expiry, all at one strike: many models fit, and none has an error."""
    quotes = {"spot": SPOT, "expiry": np.full(8, 0.5), "strike": np.full(8, 100.0), "implied_vol": 0.25 + 1e-4 * np.arange(8)}
    fit = fit_heston(**quotes, starts=[TRUTH])
    assert not fit.at_bound
    assert np.all(np.isnan(list(fit.stderr.values())))
    assert np.all(np.isnan(fit.correlation))
    assert "singular" in fit.stderr_note


def test_a_bad_fit_is_warned_of():
    quotes = surface()
    assert not fit_heston(**quotes).warning
    rough = quotes | {"implied_vol": quotes["implied_vol"] + 0.012 * np.where(np.arange(15) % 2, 1.0, -1.0)}
    fit = fit_heston(**rough, starts=[TRUTH])
    assert fit.rmse > 0.5
    assert f"the fit is bad: rmse {fit.rmse:.2f} volatility points" in fit.warning
