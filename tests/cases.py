"""Contracts, models and markets that the laws are tested on."""

from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, Market, ZeroCurve, schedule

FLAT = Market(spot=100.0, rate=0.05, dividend=0.02)
CURVE = Market(spot=100.0, rate=ZeroCurve(times=(0.1, 0.5, 1.0, 2.0), rates=(0.01, 0.03, 0.045, 0.05)), dividend=0.02)
VOL = GBM(vol=0.2)

EXACT = {
    "european call": European(option="call", strike=100.0, expiry=1.0),
    "european put": European(option="put", strike=110.0, expiry=0.5),
    "digital call": Digital(option="call", strike=105.0, expiry=0.75, cash=10.0),
    "digital put": Digital(option="put", strike=95.0, expiry=0.25, cash=10.0),
    "geometric asian call": Asian(option="call", strike=98.0, fixings=schedule(6, 1.0), average="geometric"),
    "seasoned geometric asian put": Asian(
        option="put", strike=103.0, fixings=(0.1, 0.3, 0.4), average="geometric", past_fixings=(97.0, 104.0)
    ),
    "geometric asian digital call": AsianDigital(
        option="call", strike=98.0, fixings=schedule(6, 1.0), average="geometric", cash=10.0
    ),
    "seasoned geometric asian digital put": AsianDigital(
        option="put", strike=103.0, fixings=(0.1, 0.3, 0.4), average="geometric", past_fixings=(97.0, 104.0), cash=10.0
    ),
    "down-and-out call": Barrier(option="call", strike=100.0, barrier=88.0, kind="down-and-out", monitoring=schedule(4, 1.0)),
    "up-and-in put": Barrier(
        option="put", strike=105.0, barrier=112.0, kind="up-and-in", monitoring=(0.2, 0.45, 0.5), rebate=3.0
    ),
    "touched down-and-in call": Barrier(
        option="call", strike=95.0, barrier=90.0, kind="down-and-in", monitoring=schedule(3, 0.6), touched=True
    ),
}
"""Contracts with a formula, under GBM."""

SAMPLED = {
    "arithmetic asian call": Asian(option="call", strike=100.0, fixings=schedule(6, 1.0)),
    "seasoned arithmetic asian put": Asian(
        option="put", strike=104.0, fixings=(0.2, 0.35, 0.7), past_fixings=(99.0, 108.0, 103.0)
    ),
    "arithmetic asian digital call": AsianDigital(option="call", strike=100.0, fixings=schedule(6, 1.0), cash=10.0),
    "seasoned arithmetic asian digital put": AsianDigital(
        option="put", strike=104.0, fixings=(0.2, 0.35, 0.7), past_fixings=(99.0, 108.0, 103.0), cash=10.0
    ),
}
"""Contracts without one."""

SCALE = {"price": 10.0, "delta": 0.6, "gamma": 0.02, "vega": 30.0, "rho": 40.0, "theta": 6.0, "dividend_rho": 40.0}
"""What a Greek of these contracts amounts to."""
