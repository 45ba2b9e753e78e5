"""Shared fixtures: published reference cases and high-precision derivatives."""

import fnmatch
import json
from functools import cache
from pathlib import Path

import pytest

GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho", "vanna", "volga")


@cache
def published_cases():
    """Reference cases by id, as they stand in data/published.json."""
    path = Path(__file__).parents[1] / "data" / "published.json"
    return {case["id"]: case for case in json.loads(path.read_text(encoding="utf-8"))}


def pytest_configure(config):
    config.addinivalue_line("markers", "published(*patterns): run on every published case whose id matches")


def pytest_generate_tests(metafunc):
    """Hand a test that asks for `published_case` the cases its `published` marker names, one after the other."""
    if "published_case" not in metafunc.fixturenames:
        return
    patterns = [p for marker in metafunc.definition.iter_markers("published") for p in marker.args]
    chosen = [case for name, case in published_cases().items() if any(fnmatch.fnmatch(name, p) for p in patterns)]
    assert chosen, f"no published case matches {patterns}"
    metafunc.parametrize("published_case", chosen, ids=[case["id"] for case in chosen])


@pytest.fixture
def exact_derivatives():
    """Every Greek of `price(spot, vol, rate_shift, dividend_shift, time_scale)` in 20 digits, stretch being maturity's."""
    import mpmath

    def differentiate(price, *, spot, vol, maturity):
        at = (mpmath.mpf(spot), mpmath.mpf(vol), mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(1))
        orders = {
            "delta": (1, 0, 0, 0, 0),
            "gamma": (2, 0, 0, 0, 0),
            "vega": (0, 1, 0, 0, 0),
            "rho": (0, 0, 1, 0, 0),
            "dividend_rho": (0, 0, 0, 1, 0),
            "vanna": (1, 1, 0, 0, 0),
            "volga": (0, 2, 0, 0, 0),
        }
        with mpmath.workdps(20):
            greeks = {name: float(mpmath.diff(price, at, order)) for name, order in orders.items()}
            greeks["price"] = float(price(*at))
            greeks["theta"] = -float(mpmath.diff(price, at, (0, 0, 0, 0, 1))) / maturity
        return greeks

    return differentiate


@pytest.fixture
def assert_close():
    """Check that the Greeks both sides have agree within `tolerance`, a number or one per Greek."""

    def check(got, wanted, tolerance, *, greeks=GREEKS):
        common = [name for name in greeks if name in got and name in wanted]
        assert common
        wrong = {
            name: (got[name], wanted[name])
            for name in common
            if not abs(got[name] - wanted[name]) <= (tolerance[name] if isinstance(tolerance, dict) else tolerance)
        }
        assert not wrong

    return check
