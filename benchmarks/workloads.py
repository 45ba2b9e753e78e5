"""What is priced by everybody: the contracts, the market and the bumps, as bare numbers and as the toolkit's own objects."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pricers import GBM, Asian, Barrier, Digital, European, Market, schedule
from pricers.contracts.contract import Contract
from pricers.models.model import Model

__all__ = ["HESTON", "MARKET", "WORKLOADS", "Workload", "heston", "workload"]

MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
VOL = 0.2
STRIKE, BARRIER, CASH = 100.0, 90.0, 1.0
HESTON = {"v0": 0.04, "kappa": 1.5, "theta": 0.04, "xi": 0.5, "rho": -0.7}
DAYS = 365.0


def heston() -> Model | None:
    """The toolkit's Heston model, or None where it has none."""
    try:
        from pricers.models.heston.heston import Heston
    except ImportError:
        return None
    return Heston(**HESTON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One contract under one model, the same for all parties.

    Attributes
    ----------
    name : str
    model : {"gbm", "heston"}
    payoff : {"european", "digital", "asian", "barrier"}
    dates : int
        Equally spaced, that the payoff looks at.
    expiry : float
        Years; the last date.
    substeps : int
        Steps of the simulation between two dates.
    bump : float
        Of every parameter, as a share of its natural size, wherever bumps are used: small where the payoff is continuous, larger where
        it jumps and the variance grows as the bump falls.
    paths : int
        At full scale.
    """

    name: str
    model: str
    payoff: str
    dates: int
    expiry: float
    substeps: int
    bump: float
    paths: int

    @property
    def times(self) -> tuple[float, ...]:
        """The dates in years. Whole days, where the payoff is Asian: QuantLib's averages know calendar dates only."""
        if self.payoff == "asian":
            days = round(self.expiry * DAYS / self.dates)
            return tuple(days * k / DAYS for k in range(1, self.dates + 1))
        return schedule(self.dates, self.expiry)

    @property
    def dt(self) -> float:
        """Length of a step of the simulation."""
        return self.expiry / (self.dates * self.substeps)

    @property
    def steps(self) -> int:
        """Steps of the simulation."""
        return self.dates * self.substeps

    @property
    def steps_per_year(self) -> int:
        """For `pricers.Plan`: what makes ``substeps`` steps between two dates."""
        return math.floor(self.substeps * self.dates / self.expiry + 1e-9)

    @property
    def factors(self) -> int:
        """Normals in a step."""
        return 2 if self.model == "heston" else 1

    @property
    def contract(self) -> Contract:
        """In the toolkit's words."""
        match self.payoff:
            case "european":
                return European(option="call", strike=STRIKE, expiry=self.expiry)
            case "digital":
                return Digital(option="call", strike=STRIKE, expiry=self.expiry, cash=CASH)
            case "asian":
                return Asian(option="call", strike=STRIKE, fixings=self.times, average="arithmetic")
        return Barrier(option="call", strike=STRIKE, barrier=BARRIER, kind="down-and-out", monitoring=self.times)

    @property
    def dynamics(self) -> Model | None:
        """In the toolkit's words, or None where it has no such model."""
        return GBM(vol=VOL) if self.model == "gbm" else heston()

    @property
    def volatility(self) -> str:
        """The Greek that stands in the column vega: that of Heston is by the variance today."""
        return "vega" if self.model == "gbm" else "d_v0"

    @property
    def greeks(self) -> tuple[str, str, str]:
        """What is compared."""
        return "delta", self.volatility, "rho"

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Spot, volatility (of Heston: variance) and rate, which the Greeks are by."""
        assert isinstance(MARKET.rate, float)
        return MARKET.spot, VOL if self.model == "gbm" else HESTON["v0"], MARKET.rate

    @property
    def bumps(self) -> tuple[float, float, float]:
        """Of the three parameters: what `greeks.FiniteDifference` makes of the share ``bump``."""
        vol = VOL if self.model == "gbm" else math.sqrt(HESTON["v0"])
        root = math.sqrt(self.expiry)
        spot, level, _ = self.parameters
        wide = second = vol * root
        if self.payoff == "barrier":
            second = min(wide, max(vol * math.sqrt(self.times[0]), abs(math.log(spot / BARRIER))))
        return self.bump * spot * min(math.sqrt(wide * second), 1.0), self.bump * level, self.bump * vol / root


_SMOOTH, _JUMPS = 1e-4, 0.05
_YEAR_OF_WEEKS = 52 * 7 / DAYS

WORKLOADS = (
    Workload(
        name="asian gbm", model="gbm", payoff="asian", dates=52, expiry=_YEAR_OF_WEEKS, substeps=1, bump=_SMOOTH, paths=2**18
    ),
    Workload(name="barrier gbm", model="gbm", payoff="barrier", dates=252, expiry=1.0, substeps=1, bump=_JUMPS, paths=2**16),
    Workload(name="digital gbm", model="gbm", payoff="digital", dates=1, expiry=1.0, substeps=1, bump=_JUMPS, paths=2**20),
    Workload(name="european heston", model="heston", payoff="european", dates=1, expiry=1.0, substeps=252, bump=_SMOOTH, paths=2**15),
    Workload(
        name="asian heston", model="heston", payoff="asian", dates=52, expiry=_YEAR_OF_WEEKS, substeps=5, bump=_SMOOTH, paths=2**15
    ),
    Workload(name="barrier heston", model="heston", payoff="barrier", dates=252, expiry=1.0, substeps=1, bump=_JUMPS, paths=2**15),
)  # fmt: skip


def workload(name: str) -> Workload:
    """By its name."""
    return next(known for known in WORKLOADS if known.name == name)
