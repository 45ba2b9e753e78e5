"""The page on extensions: its files are added from outside the packages, and what they give is held against independent numbers."""

import importlib
import json
import math
import re
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from greeks import Exact, FiniteDifference, InvalidInput, LikelihoodRatio, NotApplicable, Pathwise, crosscheck, sensitivities
from greeks.commands.cli import main
from greeks.engine.registry import estimators
from greeks.portfolio.read_trades import _formats, families, read_book
from greeks.report import writer
from pricers import GBM, European, Heston, Market, Plan, price, schedule

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
FILE = re.compile(r"# ((?:greeks|pricers)/\S+\.py)\n")
ENTRY = re.compile(r"# an entry of (\w+) in (\S+)\.py\n")

MARKET, VOL, RATE, DIVIDEND = Market(spot=100.0, rate=0.05, dividend=0.02), 0.25, 0.05, 0.02


def forget():
    families.cache_clear()
    estimators.cache_clear()
    _formats.cache_clear()
    writer._formats.cache_clear()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names of the page after its blocks have run, its files lying in folders that the packages look into."""
    root, names, undo = tmp_path_factory.mktemp("extensions"), {}, []
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for block in BLOCKS:
            if file := FILE.match(block):
                path = root / file[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block, encoding="utf-8")
                package = importlib.import_module(".".join(Path(file[1]).parent.parts))
                if str(path.parent) not in package.__path__:
                    patch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
                undo.append(".".join(Path(file[1]).with_suffix("").parts))
                forget()
            elif entry := ENTRY.match(block):
                module = importlib.import_module(entry[2].replace("/", "."))
                made = eval(block, dict(vars(module)))
                patch.setitem(getattr(module, entry[1]), made.name, made)
            else:
                exec(block, names)
        yield names
    for name in undo:
        assert name not in before
        if sys.modules.pop(name, None) is not None:
            package, _, leaf = name.rpartition(".")
            delattr(sys.modules[package], leaf)
    forget()


def near(found, truth, most):
    """Within four standard errors, which are small."""
    assert abs(found.value - truth) < 4.0 * found.stderr + found.bias, (found, truth)
    assert found.stderr < most, found


def test_every_block_is_what_the_test_takes_it_for():
    assert sum(bool(FILE.match(block)) for block in BLOCKS) == FILES
    assert sum(bool(ENTRY.match(block)) for block in BLOCKS) == 2


def test_the_contract_is_as_short_as_the_page_says(page):
    sizes = {FILE.match(block)[1]: len(block.splitlines()) for block in BLOCKS if FILE.match(block)}
    assert sizes["pricers/contracts/lookback.py"] < 60
    assert sizes["pricers/contracts/autocallable.py"] < 35
    assert sizes["pricers/models/piecewise_vol.py"] < 130


def simulated_lookback(contract, paths=2**20, seed=11, *, spot=100.0, vol=VOL):
    """Present value and its standard error, in plain NumPy."""
    times = np.array(contract.monitoring)
    normals = np.random.default_rng(seed).standard_normal((len(times), paths))
    dt = np.diff(times, prepend=0.0)[:, None]
    s = spot * np.exp(np.cumsum((RATE - DIVIDEND - 0.5 * vol**2) * dt + vol * np.sqrt(dt) * normals, axis=0))
    if contract.extremum is not None:
        s = np.vstack([s, np.full((1, paths), contract.extremum)])
    last, high, low, strike = s[len(times) - 1], s.max(axis=0), s.min(axis=0), contract.strike
    if contract.option == "call":
        paid = last - low if strike is None else np.maximum(high - strike, 0.0)
    else:
        paid = high - last if strike is None else np.maximum(strike - low, 0.0)
    paid *= math.exp(-RATE * times[-1])
    return paid


LOOKBACKS = [
    {"option": "call", "strike": 103.0},
    {"option": "put", "strike": 99.0},
    {"option": "call", "strike": 103.0, "extremum": 105.0},
    {"option": "put", "strike": 99.0, "extremum": 95.0},
    {"option": "call"},
    {"option": "put", "extremum": 108.0},
    {"option": "call", "extremum": 96.0},
]


@pytest.mark.parametrize("terms", LOOKBACKS, ids=str)
def test_lookback_costs_what_a_plain_simulation_says(page, terms):
    contract = page["Lookback"](monitoring=schedule(6, 0.5), **terms)
    paid = simulated_lookback(contract)
    found, error = price(contract, GBM(vol=VOL), MARKET, plan=Plan(paths=2**17, seed=3)), paid.std() / 2**10
    assert abs(found.value - paid.mean()) < 4.0 * math.hypot(found.stderr, error)
    assert found.stderr < 0.01 * found.value
    up, down = (simulated_lookback(contract, spot=100.0 + h).mean() for h in (0.1, -0.1))
    delta = sensitivities(contract, GBM(vol=VOL), MARKET, greeks=("delta",), estimator=Pathwise(), plan=Plan(paths=2**17, seed=3))
    assert abs(delta["delta"].value - (up - down) / 0.2) < 5.0 * delta["delta"].stderr + 0.002
    assert delta["delta"].stderr < 0.005


def test_lookback_on_one_date_is_a_european(page):
    """max(S, E) - K is E - K and a call struck at E; S less min(S, E) is that call."""
    seasoned = page["Lookback"](option="call", strike=100.0, monitoring=(0.5,), extremum=104.0)
    floating = page["Lookback"](option="call", monitoring=(0.5,), extremum=104.0)
    model, plan = GBM(vol=VOL), Plan(paths=2**17, seed=4)
    names, sizes = ("price", "delta", "gamma", "vega", "rho"), (0.05, 0.01, 0.002, 0.5, 0.5)
    truth = sensitivities(European(option="call", strike=104.0, expiry=0.5), model, MARKET, greeks=names, estimator=Exact())
    sure = 4.0 * math.exp(-RATE * 0.5)
    for estimator in (LikelihoodRatio(), Pathwise(), FiniteDifference()):
        for contract, more in ((seasoned, sure), (floating, 0.0)):
            found = sensitivities(contract, model, MARKET, greeks=names, estimator=estimator, plan=plan)
            for name, size in zip(names, sizes, strict=True):
                beside = {"price": more, "rho": -0.5 * more}.get(name, 0.0)
                near(found[name], truth[name].value + beside, 4.0 * size)


def test_all_methods_agree_on_the_lookback(page):
    for table in page["tables"]:
        assert not set(table.verdict) & {"differ"}
        told = table[table.verdict.isin(["reference", "agree"])]
        assert {"likelihood_ratio", "pathwise", "finite_difference"} <= set(told.estimator)
        assert {"delta", "vega", "rho"} <= set(told[told.estimator == "likelihood_ratio"].greek)


def test_all_methods_agree_on_the_lookback_under_heston(page):
    model = Heston(v0=0.06, kappa=1.5, theta=0.06, xi=0.4, rho=-0.6)
    table = crosscheck(page["seasoned"], model, MARKET, greeks=("price", "delta", "vega"), plan=Plan(paths=2**15, seed=2))
    assert "differ" not in set(table.verdict)
    assert {"likelihood_ratio", "pathwise"} <= set(table[table.verdict.isin(["reference", "agree"])].estimator)


def test_a_book_reads_the_lookback(page):
    report = page["report"]
    assert set(report.status) == {"ok"}
    assert set(report.contract) == {"lookback"}
    assert "strike 100" in report.terms.iloc[0]
    assert "6 monitoring dates to 2026-07-01" in report.terms.iloc[0]
    assert "strike" not in report.terms.iloc[-1]
    assert "differ" not in set(report.verdict)
    row = report[(report.trade_id == "L1") & (report.greek == "price")].iloc[0]
    contract = page["Lookback"](option="call", strike=100.0, monitoring=tuple(d / 365.0 for d in DAYS), extremum=104.0)
    paid = simulated_lookback(contract)
    assert abs(row.unit_value - paid.mean()) < 4.0 * math.hypot(row.unit_stderr, paid.std() / 2**10)
    assert row.unit_stderr < 0.1


DAYS = (31, 59, 90, 120, 151, 181)
"""From 2026-01-01 to the first of the next six months."""


def note_value(*, spot=100.0, rate=RATE, vol=VOL):
    """By quadrature over the first date's normal, the second date in closed form."""
    (t1, t2), level, (first, second) = (0.5, 1.0), 102.0, (104.0, 108.0)
    drift, dt = rate - DIVIDEND - 0.5 * vol**2, t2 - t1
    edge = (np.log(level / spot) - drift * t1) / (vol * np.sqrt(t1))
    x, weights = np.polynomial.legendre.leggauss(400)
    z = -12.0 + 0.5 * (x + 1.0) * (edge + 12.0)
    weights = 0.5 * weights * (edge + 12.0) * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    s1 = spot * np.exp(drift * t1 + vol * np.sqrt(t1) * z)
    d = (np.log(s1 / level) + drift * dt) / (vol * np.sqrt(dt))
    last = second * ndtr(d) + 100.0 / level * s1 * np.exp((rate - DIVIDEND) * dt) * ndtr(-d - vol * np.sqrt(dt))
    return first * np.exp(-rate * t1) * ndtr(-edge) + np.exp(-rate * t2) * (weights @ last)


def test_autocallable_has_the_greeks_of_quadrature(page):
    def slope(name, at, h):
        return (note_value(**{name: at + h}) - note_value(**{name: at - h})) / (2.0 * h)

    truth = {"price": note_value(), "delta": slope("spot", 100.0, 0.01), "vega": slope("vol", VOL, 1e-4)}
    truth["rho"] = slope("rate", RATE, 1e-4)
    for name, most in {"price": 0.1, "delta": 0.01, "vega": 2.0, "rho": 0.5}.items():
        near(page["early"][name], truth[name], most)
    with pytest.raises(NotApplicable, match="jumps"):
        sensitivities(page["note"], GBM(vol=VOL), MARKET, greeks=("delta",), estimator=Pathwise())


@pytest.mark.parametrize("contract", ["note", "seasoned"])
def test_every_estimator_that_answers_is_right(page, contract):
    """Also those that nobody thought of when the contract was written; the others refuse."""
    names, most = ("price", "vega", "rho"), (0.2, 2.0, 1.0)
    if contract == "note":
        h = 1e-4
        truth = [note_value()]
        truth += [(note_value(**{p: x + h}) - note_value(**{p: x - h})) / (2.0 * h) for p, x in (("vol", VOL), ("rate", RATE))]
    else:
        exact = sensitivities(
            page["seasoned"], page["gbm"], MARKET, greeks=names, estimator=Pathwise(), plan=Plan(paths=2**20, seed=9)
        )
        truth = [exact[name].value for name in names]
    answered = set()
    for keyword, estimator in estimators().items():
        try:
            found = sensitivities(
                page[contract], page["gbm"], MARKET, greeks=names, estimator=estimator, plan=Plan(paths=2**16, seed=7)
            )
        except NotApplicable:
            continue
        answered.add(keyword)
        for name, value, size in zip(names, truth, most, strict=True):
            slack = 0.002 * abs(value)  # of the long run, and of a method's bias
            assert abs(found[name].value - value) < 4.0 * found[name].stderr + found[name].bias + slack, (keyword, name)
            assert found[name].stderr < size, (keyword, name)
    assert {"auto", "best", "likelihood_ratio", "finite_difference", "importance_sampling"} <= answered
    assert ("pathwise" in answered) == (contract == "seasoned")


SIZES = {"price": 0.1, "delta": 0.01, "gamma": 0.001, "vega": 1.0, "rho": 1.0, "theta": 0.2, "vanna": 0.06}


def test_model_with_one_volatility_has_the_greeks_of_gbm(page):
    truth = sensitivities(page["call"], GBM(vol=VOL), MARKET, greeks=tuple(SIZES), estimator=Exact())
    for name, most in SIZES.items():
        near(page["by_score"][name], truth[name].value, most)


def test_model_with_one_volatility_has_the_likelihood_ratios_of_gbm_but_for_rounding(page):
    """On the same normals."""
    names = (*SIZES, "volga")
    beside = sensitivities(page["call"], GBM(vol=VOL), MARKET, greeks=names, estimator=LikelihoodRatio(), plan=page["plan"])
    for name in names:
        assert abs(page["by_score"][name].value - beside[name].value) < 1e-9 * abs(beside[name].value)
        assert abs(page["by_score"][name].stderr - beside[name].stderr) < 1e-9 * beside[name].stderr


def test_model_with_two_volatilities_has_the_greeks_of_their_mean(page):
    """A European knows only the variance until its expiry: each piece's vega is GBM's by the chain rule."""
    early, late = 0.15, 0.3
    vol = math.sqrt(0.3 * early**2 + 0.7 * late**2)
    vega = sensitivities(page["call"], GBM(vol=vol), MARKET, greeks=("vega",), estimator=Exact())["vega"].value
    parts = {"d_vol_1": vega * 0.3 * early / vol, "d_vol_2": vega * 0.7 * late / vol}
    for name, truth in (parts | {"vega": sum(parts.values())}).items():
        near(page["by_piece"][name], truth, 0.5)


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), Pathwise(), FiniteDifference()], ids=lambda e: e.name)
def test_every_method_has_the_own_greeks_of_the_model(page, estimator):
    names = ("delta", "gamma", "vega", "d_vol_1", "theta", "rho")
    found = sensitivities(page["call"], page["bent"], MARKET, greeks=names, estimator=estimator, plan=Plan(paths=2**17, seed=6))
    vol = math.sqrt(0.3 * 0.15**2 + 0.7 * 0.3**2)
    truth = sensitivities(
        page["call"], GBM(vol=vol), MARKET, greeks=("delta", "gamma", "vega", "theta", "rho"), estimator=Exact()
    )
    for name in ("delta", "gamma", "theta", "rho"):
        near(found[name], truth[name].value, 2.0 * SIZES[name])
    near(found["d_vol_1"], truth["vega"].value * 0.3 * 0.15 / vol, 0.5)


def test_methods_agree_on_a_barrier_under_the_model(page):
    assert "differ" not in set(page["barrier"].verdict)
    survival = sensitivities(
        page["down"],
        page["bent"],
        MARKET,
        greeks=("delta", "vega"),
        estimator="one_step_survival",
        plan=Plan(paths=2**15, seed=8),
    )
    ratio = sensitivities(
        page["down"], page["bent"], MARKET, greeks=("delta", "vega"), estimator=LikelihoodRatio(), plan=Plan(paths=2**18, seed=9)
    )
    for name, most in (("delta", 0.02), ("vega", 2.0)):
        one, other = survival[name], ratio[name]
        assert abs(one.value - other.value) < 4.0 * math.hypot(one.stderr, other.stderr)
        assert max(one.stderr, other.stderr) < most


def test_estimator_is_found_by_name_and_agrees_with_pathwise_path_by_path(page):
    assert "tangent_difference" in estimators()
    for name in ("delta", "vega", "rho"):
        one, other = page["along"][name], page["beside"][name]
        assert one.estimator == "tangent_difference"
        assert abs(one.value - other.value) < 1e-3 * abs(other.value)  # a bump of 1e-4 moves few paths over a kink
    found = sensitivities(
        page["call"], GBM(vol=VOL), MARKET, greeks=("delta", "vega"), estimator="tangent_difference", plan=page["plan"]
    )
    truth = sensitivities(page["call"], GBM(vol=VOL), MARKET, greeks=("delta", "vega"), estimator=Exact())
    for name in ("delta", "vega"):
        near(found[name], truth[name].value, SIZES[name])
    with pytest.raises(NotApplicable, match="does not jump"):
        sensitivities(page["note"], GBM(vol=VOL), MARKET, greeks=("delta",), estimator="tangent_difference")


def test_greek_in_one_entry_is_the_derivative_of_the_formula(page):
    """Charm, from Black-Scholes deltas of two maturities."""

    def delta(expiry):
        call = European(option="call", strike=102.0, expiry=expiry)
        return sensitivities(call, GBM(vol=VOL), MARKET, greeks=("delta",), estimator=Exact())["delta"].value

    truth = -(delta(1.0 + 1e-4) - delta(1.0 - 1e-4)) / 2e-4
    near(page["charm"]["charm"], truth, 0.003)
    with pytest.raises(NotApplicable):
        sensitivities(page["call"], GBM(vol=VOL), MARKET, greeks=("charm",), estimator=LikelihoodRatio())


def test_column_in_one_entry_stands_in_the_report(page):
    rows = page["wider"]
    assert (rows.effective > 500).all()
    assert (rows.effective <= rows.paths).all()
    assert list(rows.columns)[-2:] == ["terms", "effective"]


TRADES = [
    {"trade_id": "A", "quantity": 10, "option": "call", "strike": 100},
    {"trade_id": "B", "quantity": "many", "option": "put", "strike": 90.5},
]
TERMS = {"book": "x", "underlying": "X", "contract": "european", "expiry": "2025-01-06"}


@pytest.mark.usefixtures("page")
def test_formats_read_and_write_from_the_command_line(tmp_path):
    market, book, out = tmp_path / "market.toml", tmp_path / "book.jsonl", tmp_path / "out"
    market.write_text("valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n")
    book.write_text("".join(f"{json.dumps(trade | TERMS)}\n" for trade in TRADES))
    main(
        ["report", str(book), "--market", str(market), "--out", str(out), "--paths", "200", "--threads", "1", "--greeks", "delta"]
    )
    one, other = (json.loads(line) for line in (out / "risk.jsonl").read_text().splitlines())
    years = (date(2025, 1, 6) - date(2024, 1, 5)).days / 365.0
    d1 = (0.03 + 0.5 * 0.2**2) * years / (0.2 * math.sqrt(years))
    assert abs(one["unit_value"] - ndtr(d1)) < 1e-9
    assert one["value"] == pytest.approx(10.0 * one["unit_value"])
    assert "quantity must be a number" in other["status"]
    assert {"risk.csv", "risk.jsonl"} <= set(json.loads((out / "manifest.json").read_text())["files"])


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, b"\xff"], ids=["empty", "half", "list", "deep", "no utf-8"])
def test_bad_file_of_a_new_format_is_told(tmp_path, text):
    path = tmp_path / "book.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match="JSON object"):
        read_book(path)


FILES = 6
