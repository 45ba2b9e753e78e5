import datetime as dt

import books
import numpy as np
import pytest

from greeks import MarketData, Underlying, load_market
from greeks.portfolio.market_data import market_files
from pricers import GBM, Heston, ImpliedVolSurface, InvalidInput, Market

HEAD = "valuation = 2002-07-05\n"
FLAT = "[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"


def _load(tmp_path, text, **files):
    for name, content in files.items():
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    path = tmp_path / "market.toml"
    path.write_text(text, encoding="utf-8")
    return load_market(path)


def test_shipped_market_is_the_published_surface():
    market = load_market(books.DATA / "market.toml")
    dax = market.underlyings["DAX"]
    assert (market.valuation, dax.market.spot, dax.market.dividend) == (dt.date(2002, 7, 5), 4468.17, 0.0)
    assert dax.model("gbm", strike=4400.0, expiry=165 / 365).vol == 0.2781
    assert dax.model(strike=3400.0, expiry=13 / 365).vol == pytest.approx(0.6625, rel=1e-15)
    assert -dax.market.log_discount(165 / 365) == pytest.approx(0.0355 * 165 / 365, rel=1e-14)
    assert market_files(books.DATA / "market.toml") == (
        books.DATA / "market.toml",
        books.DATA / "dax_2002_07_05_surface.csv",
        books.DATA / "heston.toml",
    )
    assert dax.default_model == "gbm"
    assert dax.model("heston", strike=9999.0, expiry=0.5) is dax.heston


def test_surface_is_linear_in_total_variance_between_expiries():
    dax = load_market(books.DATA / "market.toml").underlyings["DAX"]
    near, far = (dax.model(strike=4400.0, expiry=days / 365).vol ** 2 * days for days in (75, 165))
    between = dax.model(strike=4400.0, expiry=120 / 365).vol
    assert between**2 * 120 == pytest.approx(0.5 * (near + far), rel=1e-14)


def test_flat_market_and_zero_curve(tmp_path):
    curve = "zero_curve = [{date = 2003-07-05, rate = 0.02}, {date = 2004-07-05, rate = 0.04}]\n"
    market = _load(tmp_path, HEAD + FLAT + "[underlyings.Y]\nspot = 50\nvol = 0.3\ndividend = 0.01\n" + curve)
    assert market.underlyings["X"] == Underlying(market=Market(spot=100.0, rate=0.03), vol=0.2)
    y = market.underlyings["Y"].market
    assert -y.log_discount([1.0, 731 / 365]) == pytest.approx([0.02, 0.04 * 731 / 365], rel=1e-14)


def test_valuation_date_may_be_text_and_dates_become_calendar_days_over_365(tmp_path):
    market = _load(tmp_path, 'valuation = "2002-07-05"\n' + FLAT)
    assert market.years(dt.date(2002, 12, 17)) == 165 / 365


SURFACE = "days_to_expiry,strike,implied_vol,zero_rate\n30,90,0.2,0.01\n30,110,0.25,0.01\n60,90,0.21,0.02\n60,110,0.24,0.02\n"
WITH_SURFACE = '[underlyings.X]\nspot = 100.0\nsurface = "s.csv"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD, ["underlyings", "at least one table"]),
        (FLAT, ["valuation", "is missing"]),
        ("valuation = 5\n" + FLAT, ["valuation", "calendar date", "got 5"]),
        ("valuation = 2002-07-05T09:00:00\n" + FLAT, ["valuation", "calendar date"]),
        (HEAD + FLAT + "spott = 1\n", ["underlyings.X spott", "is not a key", "got 1"]),
        ("spot = 1\n" + HEAD + FLAT, ["market.toml: spot", "is not a key"]),
        (HEAD + FLAT.replace("100.0", "-1"), ["underlyings.X spot", "must be positive", "got -1"]),
        (HEAD + FLAT.replace("100.0", '"high"'), ["underlyings.X spot", "must be a number", "high"]),
        (HEAD + FLAT.replace("spot = 100.0\n", ""), ["underlyings.X spot", "is missing"]),
        (HEAD + FLAT.replace("0.2", "0"), ["underlyings.X vol", "must be positive"]),
        (HEAD + FLAT.replace("vol = 0.2", ""), ["underlyings.X vol", "or surface"]),
        (HEAD + FLAT.replace("rate = 0.03", ""), ["underlyings.X rate", "must be given once"]),
        (HEAD + FLAT + "zero_curve = []\n", ["underlyings.X rate", "must be given once", "rate and zero_curve"]),
        (HEAD + FLAT.replace("rate = 0.03", "zero_curve = []"), ["underlyings.X times", "at least one date"]),
        (HEAD + FLAT.replace("rate = 0.03", "zero_curve = [{date = 2001-01-01, rate = 0.1}]"), ["underlyings.X times"]),
        (HEAD + FLAT.replace("rate = 0.03", "zero_curve = [{date = 2003-01-01}]"), ["zero_curve", "exactly the keys"]),
        (HEAD + WITH_SURFACE + "rate = 0.01\n", ["underlyings.X rate", "must be given once", "zero_rate"]),
        (HEAD + "[underlyings]\nX = 3\n", ["underlyings.X", "must be a table", "got 3"]),
        ("valuation = \n", ["market.toml", "TOML"]),
    ],
)
def test_wrong_market_is_an_error_that_names_file_underlying_key_and_value(tmp_path, text, words):
    with pytest.raises(InvalidInput) as error:
        _load(tmp_path, text, s=SURFACE)
    assert "market.toml" in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("surface", "words"),
    [
        (SURFACE.replace("implied_vol", "vol"), ["columns", "must include implied_vol"]),
        (SURFACE.replace("0.25", "x"), ["line 3", "implied_vol", "must be a number", "'x'"]),
        (SURFACE.replace("60,90,0.21", "60,90,-0.21"), ["vols", "must be positive"]),
        (SURFACE.replace("30,110,0.25,0.01", "30,110,0.25,0.011"), ["30 days, zero_rate", "must be one for an expiry"]),
        (SURFACE.replace("30,110", "30,90"), ["30 days, strike", "must be quoted once"]),
        (SURFACE.replace("30,", "0,"), ["times", "after the valuation"]),
    ],
)
def test_wrong_surface_is_an_error_that_names_its_file(tmp_path, surface, words):
    with pytest.raises(InvalidInput) as error:
        _load(tmp_path, HEAD + WITH_SURFACE, s=surface)
    for word in ["s.csv", *words]:
        assert word in str(error.value)


def test_missing_surface_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"s\.csv"):
        _load(tmp_path, HEAD + WITH_SURFACE)


def test_surface_without_rates_needs_a_rate(tmp_path):
    columns = "\n".join(",".join(line.split(",")[:3]) for line in SURFACE.splitlines())
    market = _load(tmp_path, HEAD + WITH_SURFACE + "rate = 0.01\n", s=columns)
    assert isinstance(market.underlyings["X"].vol, ImpliedVolSurface)
    assert market.underlyings["X"].market.rate == 0.01


def test_model_of_an_unknown_kind_or_off_the_surface_is_refused():
    dax = load_market(books.DATA / "market.toml").underlyings["DAX"]
    with pytest.raises(InvalidInput, match=r"model must be one of .*gbm"):
        dax.model("sabr", strike=4400.0, expiry=0.5)
    with pytest.raises(InvalidInput, match="strike lies outside"):
        dax.model("gbm", strike=6000.0, expiry=0.5)


def test_plain_mapping_is_as_of_today_and_is_copied():
    entries = dict(books.MARKET.underlyings)
    before = dt.date.today()
    market = MarketData.of(entries)
    assert before <= market.valuation <= dt.date.today()
    entries.clear()
    assert set(market.underlyings) == {"X", "Y"}
    with pytest.raises(TypeError):
        market.underlyings["Z"] = entries


@pytest.mark.parametrize("wrong", [{}, {"X": 3}, {3: books.MARKET.underlyings["X"]}, None])
def test_market_data_is_checked_when_made(wrong):
    with pytest.raises(InvalidInput):
        MarketData(valuation=dt.date(2024, 1, 5), underlyings=wrong)


def test_underlying_is_checked_when_made():
    with pytest.raises(InvalidInput, match="vol"):
        Underlying(market=Market(spot=1.0), vol=np.nan)


# Heston


PARAMETERS = {"v0": 0.04, "kappa": 1.5, "theta": 0.05, "xi": 0.5, "rho": -0.7}
LINES = "".join(f"{name} = {value}\n" for name, value in PARAMETERS.items())
TABLE = "[underlyings.X.heston]\n" + LINES
HESTON = Heston(**PARAMETERS)


def test_heston_stands_in_a_table_or_in_a_file(tmp_path):
    in_table = _load(tmp_path, HEAD + FLAT + TABLE).underlyings["X"]
    (tmp_path / "h.toml").write_text(LINES + "[fit]\nrmse = 0.5\nanything = 'goes'\n", encoding="utf-8")
    in_file = _load(tmp_path, HEAD + FLAT + 'heston = "h.toml"\n').underlyings["X"]
    assert in_table == in_file == Underlying(market=Market(spot=100.0, rate=0.03), vol=0.2, heston=HESTON)
    assert market_files(tmp_path / "market.toml") == (tmp_path / "market.toml", tmp_path / "h.toml")
    assert in_table.model(strike=100.0, expiry=1.0) == GBM(vol=0.2)
    assert in_table.model("heston", strike=100.0, expiry=1.0) == HESTON


def test_model_is_the_one_for_trades_that_name_none(tmp_path):
    x = _load(tmp_path, HEAD + FLAT + 'model = "Heston"\n' + TABLE).underlyings["X"]
    assert x.model(strike=100.0, expiry=1.0) == HESTON
    assert x.model("gbm", strike=100.0, expiry=1.0) == GBM(vol=0.2)


def test_underlying_may_have_heston_and_no_volatility(tmp_path):
    x = _load(tmp_path, HEAD + FLAT.replace("vol = 0.2\n", "") + TABLE).underlyings["X"]
    assert x.model(strike=100.0, expiry=1.0) == HESTON
    with pytest.raises(InvalidInput, match="model needs a volatility from the market"):
        x.model("gbm", strike=100.0, expiry=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FLAT + 'model = "heston"\n', ["underlyings.X model", "needs its parameters", "[underlyings.NAME.heston]", "'heston'"]),
        (FLAT + 'model = "sabr"\n', ["underlyings.X model", "must be one of gbm, heston", "sabr"]),
        (FLAT + "model = 3\n", ["underlyings.X model", "must be text", "got 3"]),
        (FLAT + TABLE + "vol = 0.3\n", ["underlyings.X.heston vol", "is not a key here; there are v0, kappa", "got 0.3"]),
        (FLAT + TABLE.replace("xi = 0.5\n", ""), ["underlyings.X.heston xi", "is missing"]),
        (FLAT + TABLE.replace("-0.7", "-1.7"), ["underlyings.X.heston rho", "strictly between -1 and 1", "-1.7"]),
        (FLAT + TABLE.replace("0.04", "-0.04"), ["underlyings.X.heston v0", "must not be negative", "-0.04"]),
        (FLAT + TABLE.replace("1.5", '"fast"'), ["underlyings.X.heston kappa", "must be a number", "fast"]),
        (FLAT + TABLE.replace("0.5", "nan"), ["underlyings.X.heston xi", "must be finite"]),
        (FLAT + "heston = 3\n", ["underlyings.X.heston", "must be a table", "or the name of a TOML file"]),
        (FLAT + 'heston = "s.csv"\n', ["s.csv", "must be a TOML file"]),
        (FLAT.replace("vol = 0.2\n", 'model = "gbm"\n') + TABLE, ["underlyings.X model", "needs a volatility"]),
        (FLAT + 'surface = "s.csv"\n' + TABLE, ["underlyings.X vol", "one of the two"]),
    ],
)
def test_wrong_heston_is_an_error_that_names_file_underlying_key_and_value(tmp_path, text, words):
    with pytest.raises(InvalidInput) as error:
        _load(tmp_path, HEAD + text, s=SURFACE)
    for word in words:
        assert word in str(error.value)


def test_file_of_parameters_is_named_where_it_is_wrong_or_missing(tmp_path):
    (tmp_path / "h.toml").write_text(LINES.replace("kappa", "kapa"), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"h\.toml: kapa is not a key here"):
        _load(tmp_path, HEAD + FLAT + 'heston = "h.toml"\n')
    with pytest.raises(FileNotFoundError, match=r"gone\.toml"):
        _load(tmp_path, HEAD + FLAT + 'heston = "gone.toml"\n')


def test_underlying_with_heston_is_checked_when_made():
    market = Market(spot=1.0)
    for wrong in ({"heston": GBM(vol=0.2)}, {"vol": 0.2, "heston": PARAMETERS}, {}, {"vol": 0.2, "default_model": "heston"}):
        with pytest.raises(InvalidInput):
            Underlying(market=market, **wrong)
