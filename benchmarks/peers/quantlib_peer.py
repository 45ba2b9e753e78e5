"""QuantLib's Monte Carlo engines, whose Greeks are bumped with the same seed: the engines themselves answer that they have none.

What has no engine is put together from what there is. A European digital is a narrow call spread. A barrier under Heston takes QuantLib's
generator of paths and a loop in Python.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.merit import Measured
from benchmarks.settings import Settings
from benchmarks.timing import timed
from benchmarks.workloads import BARRIER, CASH, HESTON, MARKET, STRIKE, Workload

try:
    import QuantLib as ql  # noqa: N813 (as everybody does)
except ImportError:
    ql = None

__all__ = ["bumped", "installed", "pricer", "quasi"]

Parameters = tuple[float, float, float]
Pricer = Callable[[Parameters, int, int], float]


def installed() -> bool:
    """Whether there is a QuantLib."""
    return ql is not None


def bumped(workload: Workload, *, paths: int, settings: Settings, label: str, price: Pricer) -> Measured:
    """Greeks by central differences with one seed, their error from independent seeds.

    The ``paths`` are split over the seeds, and the seconds are those of all.
    """
    seeds = settings.count(64, least=4)
    each = max(paths // seeds, 64)
    found: list[Sequence[float]] = []

    def run() -> None:
        seed = settings.seed * 1_000_003 + len(found) + 1
        found.append(_differences(workload, lambda parameters: price(parameters, each, seed)))

    run()
    found.clear()
    timing = timed(lambda: [run() for _ in range(seeds)], repeats=1, warm=False)
    sample = np.array(found)
    return Measured(
        party="QuantLib",
        setting=label,
        paths=each * seeds,
        cpu=timing.cpu,
        values=dict(zip(workload.greeks, sample.mean(axis=0), strict=True)),
        stderrs=dict(zip(workload.greeks, sample.std(axis=0, ddof=1) / math.sqrt(seeds), strict=True)),
        samples=seeds,
    )


def quasi(
    workload: Workload,
    *,
    paths: int,
    settings: Settings,
    label: str,
    price: Pricer,
    truths: Callable[[Sequence[float]], Sequence[Sequence[float]]],
) -> Measured:
    """Greeks by central differences on Sobol points, which no seed of these engines randomises.

    Their error is the spread, over some spots, of what the differences miss of ``truths`` ([spot][greek] of spots). A common miss, such
    as that of a time step, is left out of it.
    """
    spots = [MARKET.spot * (1.0 + 0.004 * k) for k in (0, 1, -1, 2, -2, 3, -3, 4)][: settings.count(8, least=3)]
    found: list[Sequence[float]] = []

    def run() -> None:
        found.clear()
        for seed, spot in enumerate(spots):
            found.append(_differences(workload, lambda parameters: price(parameters, paths, 1 + seed), spot=spot))  # noqa: B023

    timing = timed(run, repeats=1, warm=False)
    misses = np.array(found) - np.array(truths(spots))
    return Measured(
        party="QuantLib",
        setting=label,
        paths=paths,
        cpu=timing.cpu / len(spots),
        values=dict(zip(workload.greeks, found[0], strict=True)),
        stderrs=dict(zip(workload.greeks, misses.std(axis=0, ddof=1), strict=True)),
        samples=len(spots),
    )


def _differences(workload: Workload, price: Callable[[Parameters], float], *, spot: float | None = None) -> list[float]:
    """The price once, because whoever wants Greeks wants it too, and a central difference for each Greek."""
    centre = list(workload.parameters)
    centre[0] = centre[0] if spot is None else spot
    price(_three(centre))
    slopes = []
    for k, bump in enumerate(workload.bumps):
        up, down = list(centre), list(centre)
        up[k] += bump
        down[k] -= bump
        slopes.append((price(_three(up)) - price(_three(down))) / (2.0 * bump))
    return slopes


def _three(numbers: Sequence[float]) -> Parameters:
    spot, level, rate = numbers
    return spot, level, rate


def pricer(workload: Workload, *, quasi: bool = False, control: bool = False, scheme: str = "") -> Pricer:
    """A function of the parameters, the number of paths and the seed.

    Parameters
    ----------
    workload : Workload
    quasi : bool
        Sobol points, in Brownian-bridge order where the engine knows one.
    control : bool
        With the engine's own control variate, where it has one.
    scheme : str
        Of Heston: the name of one of QuantLib's discretisations.
    """
    traits = "lowdiscrepancy" if quasi else "pseudorandom"
    match workload.payoff, workload.model:
        case "digital", _:
            return _digital(traits, quasi=quasi)
        case "barrier", "heston":
            return _barrier_heston(workload, scheme, quasi=quasi)
    option = _option(workload)

    def price(parameters: Parameters, paths: int, seed: int) -> float:
        option.setPricingEngine(_engine(workload, parameters, traits, paths, seed, quasi, control, scheme))
        return option.NPV()

    return price


def _date(years: float):
    return _today() + round(365.0 * years)


def _today():
    today = ql.Date(2, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    return today


def _flat(rate: float):
    return ql.YieldTermStructureHandle(ql.FlatForward(_today(), rate, ql.Actual365Fixed()))


def _option(workload: Workload):
    payoff, exercise = ql.PlainVanillaPayoff(ql.Option.Call, STRIKE), ql.EuropeanExercise(_date(workload.expiry))
    match workload.payoff:
        case "asian":
            fixings = [_date(time) for time in workload.times]
            return ql.DiscreteAveragingAsianOption(ql.Average.Arithmetic, 0.0, 0, fixings, payoff, exercise)
        case "barrier":
            return ql.BarrierOption(ql.Barrier.DownOut, BARRIER, 0.0, payoff, exercise)
    return ql.VanillaOption(payoff, exercise)


def _gbm(parameters: Parameters):
    spot, vol, rate = parameters
    surface = ql.BlackConstantVol(_today(), ql.NullCalendar(), vol, ql.Actual365Fixed())
    return ql.BlackScholesMertonProcess(
        ql.QuoteHandle(ql.SimpleQuote(spot)), _flat(MARKET.dividend), _flat(rate), ql.BlackVolTermStructureHandle(surface)
    )


def _heston(parameters: Parameters, scheme: str):
    spot, v0, rate = parameters
    rest = (HESTON[name] for name in ("kappa", "theta", "xi", "rho"))
    discretisation = getattr(ql.HestonProcess, scheme)
    return ql.HestonProcess(_flat(rate), _flat(MARKET.dividend), ql.QuoteHandle(ql.SimpleQuote(spot)), v0, *rest, discretisation)


def _engine(
    workload: Workload, parameters: Parameters, traits: str, paths: int, seed: int, quasi: bool, control: bool, scheme: str
):
    if workload.model == "heston":
        process = _heston(parameters, scheme)
        if workload.payoff == "asian":
            return ql.MCDiscreteArithmeticAPHestonEngine(
                process, traits, requiredSamples=paths, seed=seed, timeSteps=workload.steps, controlVariate=control
            )
        return ql.MCEuropeanHestonEngine(process, traits, timeSteps=workload.steps, requiredSamples=paths, seed=seed)
    process = _gbm(parameters)
    if workload.payoff == "asian":
        return ql.MCDiscreteArithmeticAPEngine(
            process, traits, brownianBridge=quasi, controlVariate=control, requiredSamples=paths, seed=seed
        )
    return ql.MCBarrierEngine(
        process, traits, timeSteps=workload.steps, brownianBridge=quasi, requiredSamples=paths, isBiased=True, seed=seed
    )


def _digital(traits: str, *, quasi: bool) -> Pricer:
    """A call spread of a thousandth of the strike: beside the bump of the spot, no wider a smoothing than the bump itself."""
    width = 1e-3 * STRIKE
    exercise = ql.EuropeanExercise(_date(1.0))
    legs = [
        (sign, ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Call, STRIKE + shift), exercise))
        for sign, shift in ((1.0, -0.5 * width), (-1.0, 0.5 * width))
    ]

    def price(parameters: Parameters, paths: int, seed: int) -> float:
        engine = ql.MCEuropeanEngine(
            _gbm(parameters), traits, timeSteps=1, brownianBridge=quasi, requiredSamples=paths, seed=seed
        )
        value = 0.0
        for sign, leg in legs:
            leg.setPricingEngine(engine)
            value += sign * leg.NPV()
        return CASH * value / width

    return price


def _barrier_heston(workload: Workload, scheme: str, *, quasi: bool) -> Pricer:
    times = list(workload.times)

    def price(parameters: Parameters, paths: int, seed: int) -> float:
        process, dimension = _heston(parameters, scheme), 2 * len(times)
        if quasi:
            sequence = ql.GaussianLowDiscrepancySequenceGenerator(ql.UniformLowDiscrepancySequenceGenerator(dimension, seed))
            paths_of = ql.GaussianSobolMultiPathGenerator(process, times, sequence, False)
        else:
            uniforms = ql.UniformRandomSequenceGenerator(dimension, ql.UniformRandomGenerator(seed))
            paths_of = ql.GaussianMultiPathGenerator(process, times, ql.GaussianRandomSequenceGenerator(uniforms), False)
        total = 0.0
        for _ in range(paths):
            spots = paths_of.next().value()[0]
            if min(itertools.islice(spots, 1, None)) > BARRIER:
                total += max(spots.back() - STRIKE, 0.0)
        return math.exp(-parameters[2] * workload.expiry) * total / paths

    return price
