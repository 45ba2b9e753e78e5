"""NUMBA_DISABLE_JIT=1: the same numbers from plain Python, slowly."""

import json
import math
import random
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from small_session import SESSION, run

from pricers.numerics import elementary as special
from pricers.numerics import interpreted
from pricers.numerics.kernel import kernel


def test_every_kind_of_estimator_gives_the_compiled_numbers():
    plain, compiled = (json.loads(run("-c", SESSION, NUMBA_DISABLE_JIT=off)) for off in ("1", "0"))
    assert len(plain) == 16
    for mine, theirs in zip(plain, compiled, strict=True):
        assert np.all(np.isfinite(np.array(mine)[:, 0]))
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-13)


def test_a_report_comes_out(tmp_path):
    book = tmp_path / "book.csv"
    book.write_text("trade_id,book,underlying,contract,quantity,option,strike,expiry\nt,b,X,european,2,call,100,2002-12-20\n")
    market = tmp_path / "market.toml"
    market.write_text("valuation = 2002-07-05\n\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n")
    arguments = ("-m", "greeks", "report", str(book), "--market", str(market), "--paths", "256", "--threads", "1")
    tables = []
    for off in ("1", "0"):
        out = tmp_path / off
        run(*arguments, "--out", str(out), NUMBA_DISABLE_JIT=off)
        assert (json.loads((out / "manifest.json").read_text())["instructions"]["cpu"] == "none") is (off == "1")
        tables.append(pd.read_csv(out / "risk.csv")["value"])
    assert len(tables[0]) > 3
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-9)


def rational(a, b, c):
    return Fraction(a) * Fraction(b) + Fraction(c)


def test_fused_multiply_add_rounds_once():
    rng = random.Random(2)

    @kernel
    def compiled(a, b, c):
        return special.fma(a, b, c)

    for _ in range(3000):
        a, b = (math.ldexp(rng.uniform(-2.0, 2.0), rng.randrange(-520, 520)) for _ in range(2))
        c = -a * b * (1.0 + rng.choice((0.0, 1e-16, 1.0, 1e10))) if rng.random() < 0.5 else rng.uniform(-1.0, 1.0)
        found = interpreted.fma(a, b, c)
        assert found == compiled(a, b, c)
        if abs(found) > 1e-300 and math.isfinite(c):
            assert abs(Fraction(float(found)) - rational(a, b, c)) <= Fraction(math.ulp(found)) / 2
    assert interpreted.fma(1.0 + 2.0**-30, 1.0 - 2.0**-30, -1.0) == -(2.0**-60)  # two roundings give 0
    for values in (
        (1e308, 10.0, -1.0),
        (-1e308, 10.0, 1.0),
        (np.inf, 0.0, 1.0),
        (np.nan, 1.0, 1.0),
        (5e-324, 0.5, 0.0),
        (-0.0, 1.0, -0.0),
    ):
        mine, theirs = interpreted.fma(*values), compiled(*values)
        assert np.array_equal(mine, theirs, equal_nan=True)
        assert math.copysign(1.0, mine) == math.copysign(1.0, theirs) or np.isnan(theirs)


@pytest.mark.parametrize("x", [1.0, -2.5, 5e-324, -0.0, np.inf])
def test_bits_there_and_back(x):
    assert interpreted.from_bits(interpreted.bits(x)).hex() == np.float64(x).hex()
    assert int(interpreted.bits(x)) == int.from_bytes(np.float64(x).tobytes(), sys.byteorder)


def test_interpreted_kernels_have_a_kernel_s_arithmetic():
    @interpreted.interpreted
    def quotient(x, y):
        return x / y

    assert quotient(1.0, 0.0) == np.inf
    assert np.isnan(quotient(0.0, 0.0))
