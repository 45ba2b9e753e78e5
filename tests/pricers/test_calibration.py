"""Heston's calibration: a published fit, surfaces with a known answer, and the gradient."""

import math
from pathlib import Path

import numpy as np
import pytest

from pricers import Heston, ImpliedVolSurface, Market, ZeroCurve, calibrate_heston
from pricers.calibration.heston import BOUNDS, PARAMETERS, _Surface, fit_heston
from pricers.errors import InvalidInput
from pricers.exact.heston_fourier import european
from pricers.exact.implied_vol import implied_vol

SPOT_DAX = 4468.17
SPOT, RATE, DIVIDEND = 100.0, 0.03, 0.01
TRUTH = {"v0": 0.05, "kappa": 2.5, "theta": 0.08, "xi": 0.7, "rho": -0.6}


def dax(*, weeks, skip=0):
    """The DAX surface of 5 July 2002; `weeks` rounds maturities to whole weeks and interpolates the zero rates there."""
    path = Path(__file__).parents[2] / "data" / "dax_2002_07_05_surface.csv"
    quotes = np.genfromtxt(path, delimiter=",", names=True)
    days, first = np.unique(quotes["days_to_expiry"], return_index=True)
    quotes = quotes[quotes["days_to_expiry"] > skip]
    expiry, rate = quotes["days_to_expiry"], quotes["zero_rate"]
    if weeks:
        expiry = 7.0 * np.floor((expiry + 3.0) / 7.0)
        rates = np.genfromtxt(path, delimiter=",", names=True)["zero_rate"][first]
        rate = np.interp(expiry, days, rates)
    expiry = expiry / 365.0
    return {
        "spot": SPOT_DAX,
        "expiry": expiry,
        "strike": quotes["strike"],
        "implied_vol": quotes["implied_vol"],
        "log_growth": rate * expiry,
    }


def surface(truth=TRUTH, noise=0.0):
    """Quotes of a Heston scenario, calls and puts mixed, in no order."""
    expiry = np.repeat([0.1, 0.5, 1.0, 3.0], 7)
    strike = SPOT * np.exp(np.tile(np.linspace(-1.5, 1.2, 7), 4) * 0.25 * np.sqrt(expiry))
    vols = np.empty_like(strike)
    for i, (t, k) in enumerate(zip(expiry.tolist(), strike.tolist(), strict=True)):
        terms = {"option": "put" if k < SPOT else "call", "spot": SPOT, "strike": k, "expiry": t}
        terms |= {"log_growth": (RATE - DIVIDEND) * t, "log_discount": -RATE * t}
        vols[i] = implied_vol(**terms, price=european(**terms, **truth)["price"])
    rng = np.random.default_rng(5)
    order = rng.permutation(len(vols))
    vols += noise * rng.normal(size=len(vols))
    growth = (RATE - DIVIDEND) * expiry
    return {
        "spot": SPOT,
        "expiry": expiry[order],
        "strike": strike[order],
        "implied_vol": vols[order],
        "log_growth": growth[order],
    }


@pytest.mark.parametrize(
    ("skip", "squares", "rmse", "parameters"),
    [
        (0, 177.2, None, {"kappa": 15.7, "xi": 3.36}),
        (13, None, 0.54, {"v0": 0.1454, "kappa": 5.8235, "theta": 0.0711, "xi": 1.5416, "rho": -0.5716}),
    ],
    ids=["all expiries", "without the first"],
)
def test_published_fit_of_the_dax_surface(skip, squares, rmse, parameters):
    """A. Sepp's surface; the published fits round maturities to whole weeks (13 days are 14, 703 days are 700)."""
    fit = fit_heston(**dax(weeks=True, skip=skip))
    assert squares is None or abs(fit.sum_squared_error - squares) < 0.05
    assert rmse is None or abs(fit.rmse - rmse) < 0.005
    for name, value in parameters.items():
        digits = len(str(value).split(".")[1])
        assert abs(getattr(fit, name) - value) < 1.0 * 10.0**-digits, name
    assert fit.success
    assert not fit.at_bound
    assert ("the fit is bad: rmse" in fit.warning) == (fit.rmse > 0.5)
    assert math.isclose(fit.rmse**2 * len(fit.error), fit.sum_squared_error)


def test_a_surface_is_fitted_quote_by_quote():
    quotes = dax(weeks=True, skip=13)
    times, first = np.unique(quotes["expiry"], return_index=True)
    rates = ZeroCurve(times=tuple(times), rates=tuple(quotes["log_growth"][first] / times))
    rows = [quotes["expiry"] == t for t in times]
    grid = {
        name: tuple(tuple(quotes[key][row]) for row in rows) for name, key in (("strikes", "strike"), ("vols", "implied_vol"))
    }
    fit = calibrate_heston(ImpliedVolSurface(times=tuple(times), **grid), Market(spot=SPOT_DAX, rate=rates))
    assert fit.parameters == pytest.approx(fit_heston(**quotes).parameters, rel=1e-6)
    assert fit.model == Heston(**fit.parameters)
    assert len(fit.frame()) == 91


def test_exact_day_counts_of_the_dax_surface_fit_a_little_worse():
    fit = fit_heston(**dax(weeks=False))
    weekly = fit_heston(**dax(weeks=True))
    assert 1.0 < fit.sum_squared_error / weekly.sum_squared_error < 1.05


@pytest.mark.parametrize("start", [None, {"v0": 0.3, "kappa": 0.1, "theta": 0.01, "xi": 4.0, "rho": 0.5}])
def test_finds_the_model_that_made_the_surface(start):
    fit = fit_heston(**surface(), starts=start and [start])
    for name, value in TRUTH.items():
        assert abs(getattr(fit, name) - value) < 1e-6, name
    assert fit.rmse < 1e-7
    assert fit.at_bound == ()
    np.testing.assert_allclose(fit.model_vol, fit.quoted_vol, rtol=0, atol=1e-9)


def test_nothing_nearby_fits_better():
    quotes = surface(noise=0.002)
    fit = fit_heston(**quotes)
    at = np.array([fit.parameters[name] for name in PARAMETERS])
    problem = _Surface(**quotes, weight=1.0)
    residuals, slopes = problem.residuals(at), problem.jacobian(at)
    assert 0.1 < fit.rmse < 0.3
    np.testing.assert_allclose(residuals, fit.error, rtol=0, atol=1e-12)
    assert np.all(np.abs(slopes.T @ residuals) < 1e-4 * np.linalg.norm(slopes, axis=0) * np.linalg.norm(residuals))


def test_gradient_is_a_difference_of_residuals():
    problem = _Surface(**surface(), weight=np.linspace(0.5, 2.0, 28))
    at = np.array([0.04, 1.5, 0.06, 0.5, -0.4])
    slopes = problem.jacobian(at)
    for i, step in enumerate(1e-4 * np.abs(at)):
        ends = [problem.residuals(at + sign * step * np.eye(5)[i]) for sign in (-2, -1, 1, 2)]
        wanted = (ends[0] - 8.0 * ends[1] + 8.0 * ends[2] - ends[3]) / (12.0 * step)
        np.testing.assert_allclose(slopes[:, i], wanted, rtol=1e-7, atol=1e-7)


def test_a_weight_of_zero_leaves_a_quote_out():
    quotes = surface()
    spoilt = quotes | {"implied_vol": quotes["implied_vol"] + np.where(np.arange(28) == 3, 0.1, 0.0)}
    fit = fit_heston(**spoilt, weight=np.where(np.arange(28) == 3, 0.0, 1.0))
    assert abs(fit.kappa - TRUTH["kappa"]) < 1e-5
    assert abs(fit.error[3] + 10.0) < 1e-5
    assert abs(fit_heston(**spoilt).kappa - TRUTH["kappa"]) > 1e-2


def test_growth_may_be_a_function_of_the_expiries():
    quotes = surface()
    fit = fit_heston(**(quotes | {"log_growth": lambda expiry: (RATE - DIVIDEND) * expiry}))
    assert abs(fit.xi - TRUTH["xi"]) < 1e-6


def test_a_parameter_on_its_bound_is_reported():
    flat = surface() | {"implied_vol": 0.2}
    fit = fit_heston(**flat)
    assert "xi" in fit.at_bound
    assert "xi" in fit.warning
    assert fit.rmse < 0.02
    pinned = fit_heston(**surface(), bounds={"rho": (-0.3, 0.3)})
    assert pinned.at_bound == ("rho",)
    assert abs(pinned.rho + 0.3) < 1e-3
    assert BOUNDS["rho"] == (-0.999, 0.999)


def test_frame_has_a_row_for_each_quote():
    quotes = surface(noise=0.002)
    fit = fit_heston(**quotes)
    frame = fit.frame()
    assert list(frame.columns) == ["expiry", "strike", "weight", "quoted_vol", "model_vol", "error"]
    np.testing.assert_array_equal(frame["strike"], quotes["strike"])
    np.testing.assert_allclose(frame["error"], 100.0 * (frame["model_vol"] - frame["quoted_vol"]))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"implied_vol": math.nan}, "implied_vol must be finite"),
        ({"strike": -1.0}, "strike must be finite, and positive"),
        ({"expiry": 0.0}, "expiry must be finite, and positive"),
        ({"weight": -1.0}, "weight must be finite"),
        ({"weight": 0.0}, "not all of weight zero"),
        ({"strike": 1000.0, "expiry": 0.01, "implied_vol": 0.2}, "worthless"),
        ({"bounds": {"corr": (-1.0, 0.0)}}, "may name v0, kappa"),
        ({"bounds": {"rho": (0.5, -0.5)}}, "lower and a higher"),
    ],
)
def test_quotes_that_cannot_be_fitted_are_refused(wrong, match):
    with pytest.raises(InvalidInput, match=match):
        fit_heston(**(surface() | wrong))


def test_five_parameters_need_five_quotes():
    quotes = {name: values if name == "spot" else values[:4] for name, values in surface().items()}
    with pytest.raises(InvalidInput, match="at least 5"):
        fit_heston(**quotes)
