"""The command ``greeks calibrate``: the published fit, its files, and what it refuses."""

import hashlib
import tomllib
from pathlib import Path

import books
import numpy as np
import pandas as pd
import pytest

from greeks import load_market
from greeks.commands.calibrate import calibrate
from greeks.commands.cli import main
from pricers import calibrate_heston

SURFACE, MARKET = books.DATA / "dax_2002_07_05_surface.csv", books.DATA / "market.toml"
WITHOUT_RATES = "valuation = 2002-07-05\n[underlyings.DAX]\nspot = 4468.17\n"


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _run(*arguments, surface=SURFACE, market=MARKET, out="h.toml"):
    try:
        return main(["calibrate", str(surface), "--market", str(market), "--out", out, *arguments])
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize(("skip", "squares", "rmse"), [(0, 177.2, None), (13, None, 0.54)])
def test_whole_weeks_bring_the_published_fit_back(skip, squares, rmse):
    """A. Sepp's surface: 177.2 in all, 0.54 points without the first expiry."""
    fit = calibrate(SURFACE, MARKET, skip_days=skip, whole_weeks=True).fit
    assert squares is None or abs(fit.sum_squared_error - squares) < 0.05
    assert rmse is None or abs(fit.rmse - rmse) < 0.005


def test_exact_day_counts(capsys):
    assert _run() == 0
    assert "rmse 1.3211 volatility points, sum of squared errors 181.51" in capsys.readouterr().out
    assert _run("--skip-days", "13") == 0
    printed = capsys.readouterr()
    assert "91 quotes, 13 of up to 13 days left out" in printed.out
    assert "rmse 0.5585 volatility points, sum of squared errors 28.39" in printed.out
    assert printed.err.startswith("greeks: warning: the fit is bad: rmse 0.56 volatility points, more than 0.5. ")


def test_errors_of_the_parameters_are_printed_and_stand_in_the_file(capsys):
    assert _run("--skip-days", "500") == 0
    fit = calibrate(SURFACE, MARKET, skip_days=500).fit
    stored = tomllib.loads(Path("h.toml").read_text(encoding="utf-8"))["fit"]
    assert stored["stderr"] == fit.stderr
    assert list(stored["correlation"].values()) == fit.correlation.tolist()
    assert stored["stderr_note"] == fit.stderr_note == ""
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    for name, row in zip(fit.parameters, fit.correlation, strict=True):
        (line,) = (line for line in printed if line and line[0] == name)
        assert float(line[1]) == pytest.approx(fit.parameters[name], rel=1e-4)
        assert float(line[2]) == pytest.approx(fit.stderr[name], rel=5e-3)
        assert [float(number) for number in line[3:]] == pytest.approx(row.tolist(), abs=0.0051)


def test_file_is_what_a_market_reads_and_says_where_it_comes_from(capsys):
    assert _run("--skip-days", "500") == 0
    content = tomllib.loads(Path("h.toml").read_text(encoding="utf-8"))
    fit = content.pop("fit")
    assert fit.items() >= {"quotes": 26, "skip_days": 500, "whole_weeks": False, "underlying": "DAX"}.items()
    assert fit["surface_sha256"] == hashlib.sha256(SURFACE.read_bytes()).hexdigest()
    assert str(fit["valuation"]) == "2002-07-05"
    Path("m.toml").write_text(WITHOUT_RATES + 'rate = 0.03\nheston = "h.toml"\n', encoding="utf-8")
    model = load_market("m.toml").underlyings["DAX"].heston
    assert {name: getattr(model, name) for name in content} == content
    frame = pd.read_csv("h.quotes.csv")
    assert list(frame.columns) == ["days", "expiry", "strike", "weight", "quoted_vol", "model_vol", "error"]
    assert set(frame["days"]) == {524, 703}
    np.testing.assert_allclose(frame["error"], 100.0 * (frame["model_vol"] - frame["quoted_vol"]), atol=1e-12)
    assert np.sqrt((frame["error"] ** 2).mean()) == pytest.approx(fit["rmse"], rel=1e-12)
    by_expiry = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()[:3] in ("524", "703")]
    for line in by_expiry:
        own = frame.loc[frame["days"] == int(line[0]), "error"]
        assert float(line[2]) == pytest.approx(np.sqrt((own**2).mean()), abs=5e-4)
        assert float(line[4]) == pytest.approx(own[own.abs().idxmax()], abs=5e-4)
    assert len(by_expiry) == 2


def test_shipped_parameters_are_those_of_the_shipped_surface():
    content = tomllib.loads((books.DATA / "heston.toml").read_text(encoding="utf-8"))
    assert content["fit"]["surface_sha256"] == hashlib.sha256(SURFACE.read_bytes()).hexdigest()
    found = calibrate(SURFACE, MARKET, skip_days=13).fit
    assert found.parameters == pytest.approx({name: content[name] for name in found.parameters}, rel=1e-6)


def test_fit_is_the_library_s_and_rates_may_come_from_the_surface():
    dax = load_market(MARKET).underlyings["DAX"]
    Path("m.toml").write_text(WITHOUT_RATES, encoding="utf-8")
    found = calibrate(SURFACE, Path("m.toml")).fit
    assert found.parameters == pytest.approx(calibrate_heston(dax.vol, dax.market).parameters, rel=1e-6)
    Path("m.toml").write_text(WITHOUT_RATES + "rate = 0.2\n", encoding="utf-8")
    assert calibrate(SURFACE, Path("m.toml")).fit.rmse != pytest.approx(found.rmse, rel=1e-3)


def test_parameters_on_a_bound_are_a_warning(capsys):
    days = np.repeat([30, 90, 180], 5)
    strikes = np.tile([80.0, 90.0, 100.0, 110.0, 120.0], 3)
    skew = pd.DataFrame({"days_to_expiry": days, "strike": strikes, "implied_vol": 0.3 - 0.004 * (strikes - 100.0)})
    skew.to_csv("s.csv", index=False)
    Path("m.toml").write_text("valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.0\n", encoding="utf-8")
    assert _run(surface="s.csv", market="m.toml") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("greeks: warning: ")
    assert "bound" in printed.err
    stored = tomllib.loads(Path("h.toml").read_text(encoding="utf-8"))["fit"]
    assert "bound" in stored["warning"]
    assert "bound" in stored["stderr_note"]
    assert any(value != value for value in stored["stderr"].values())  # NaN, which TOML knows
    assert "no standard error: " in printed.out
    Path("m2.toml").write_text(WITHOUT_RATES + 'rate = 0.0\nheston = "h.toml"\n', encoding="utf-8")
    assert load_market("m2.toml").underlyings["DAX"].heston is not None


TWO = "valuation = 2002-07-05\n" + "".join(f"[underlyings.{name}]\nspot = 4468.17\nvol = 0.2\nrate = 0.03\n" for name in "AB")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--skip-days", "-1"], "--skip-days"),
        (["--skip-days", "703"], "--skip-days leaves no expiry; the last is of 703 days"),
        (["--underlying", "DAXX"], "--underlying must be one of DAX"),
        (["--paths", "3"], "--paths"),
    ],
)
def test_wrong_usage_leaves_with_two_and_writes_nothing(arguments, words, capsys):
    assert _run(*arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_market_of_several_needs_a_name(capsys):
    Path("m.toml").write_text(TWO, encoding="utf-8")
    assert _run(market="m.toml") == 2
    assert "--underlying must be one of A, B" in capsys.readouterr().err
    assert _run("--underlying", "B", "--skip-days", "500", market="m.toml") == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.toml", WITHOUT_RATES.replace("spot = 4468.17", "spot = -1"), "underlyings.DAX spot must be positive"),
        ("m.toml", WITHOUT_RATES + "rate = 1\nzero_curve = []\n", "must be given once"),
        ("s.csv", "days_to_expiry,strike\n1,2\n", "s.csv: columns must include implied_vol"),
        ("s.csv", "days_to_expiry,strike,implied_vol\n30,90,0.2\n", "quotes must be at least 5"),
        ("h.toml", "mine = true\n", "holds other things than a fit"),
        ("h.quotes.csv", "mine\n", "holds other things than a fit's errors"),
    ],
)
def test_fatal_error_is_one_line_leaves_with_one_and_what_was_there(name, content, words, capsys):
    Path("m.toml").write_text(WITHOUT_RATES + "rate = 0.03\n", encoding="utf-8")
    Path("s.csv").write_bytes(SURFACE.read_bytes())
    Path(name).write_text(content, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert _run(surface="s.csv", market="m.toml") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert words in printed.err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_the_market_itself_is_never_written_over(capsys):
    Path("m.toml").write_text(WITHOUT_RATES, encoding="utf-8")
    assert _run(market="m.toml", out="m.toml") == 1
    assert Path("m.toml").read_text(encoding="utf-8") == WITHOUT_RATES
    assert _run(out="h.csv") == 1
    assert "ends in .toml" in capsys.readouterr().err
    assert _run(surface="gone.csv") == 1
    assert "there is no file gone.csv" in capsys.readouterr().err


def test_file_stays_whole_where_writing_breaks_off(monkeypatch):
    assert _run("--skip-days", "500") == 0
    before = {path.name: path.read_bytes() for path in Path().iterdir()}

    def broken(self, target):
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", broken)
    assert _run("--skip-days", "600") == 1
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
