"""Single barriers under geometric Brownian motion: watched continuously, and the correction towards discrete dates.

The formulas are written once, in second-order Taylor arithmetic (:class:`_Jet`): every Greek is their exact
derivative, and the corrected barrier, which itself moves with volatility and time, needs no formulas of its own.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from pricers.exact.black_scholes import option_sign

_CONTINUITY = 0.5825971579390107  # -zeta(1/2) / sqrt(2 pi)
_SPOT, _VOL, _RATE, _DIVIDEND, _MATURITY = range(5)


class Piece(NamedTuple):
    """A payoff linear in the final spot on one side of an edge: (slope * S + level) where side * S > side * edge."""

    side: int
    edge: Literal["strike", "barrier"]
    slope: float
    level: float


def vanilla_piece(*, option: str, strike: float, cash: float | None) -> Piece:
    """Describe a call or put, or the option paying ``cash`` if it ends in the money."""
    side = option_sign(option)
    return Piece(side, "strike", float(side), -side * strike) if cash is None else Piece(side, "strike", 0.0, cash)


def alive_pieces(*, vanilla: Piece, direction: int, strike: float, barrier: float, rebate: float) -> list[Piece]:
    """Split (payoff - rebate) on the alive side of the barrier, zero on the other, into linear pieces.

    With A the expectation of this function over surviving paths, discounted, a knock-out whose rebate is paid at
    expiry is worth A plus the discounted rebate, and a knock-in (rebate if never hit) the vanilla minus A.
    """
    side, _, slope, level = vanilla
    pieces = [Piece(direction, "barrier", 0.0, -rebate)]
    exercised_at_barrier = side * barrier > side * strike
    if side == direction:  # exercised towards the alive side: the inner edge counts
        pieces.append(Piece(side, "barrier" if exercised_at_barrier else "strike", slope, level))
    elif exercised_at_barrier:  # exercised between strike and barrier
        pieces += [vanilla, Piece(side, "barrier", -slope, -level)]
    return pieces


def barrier_kind(kind: str) -> tuple[int, bool]:
    """Return the alive side of the barrier (+1 above it, for a down barrier; -1 below) and whether it knocks in."""
    kinds = {"down-and-out": (1, False), "down-and-in": (1, True), "up-and-out": (-1, False), "up-and-in": (-1, True)}
    try:
        return kinds[kind]
    except KeyError:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {kind!r}") from None


def reiner_rubinstein(
    *,
    option: str,
    kind: str,
    spot: float,
    strike: float,
    barrier: float,
    vol: float,
    expiry: float,
    log_growth: float,
    log_discount: float,
    rebate: float = 0.0,
    rebate_paid: str = "at expiry",
    cash: float | None = None,
) -> dict[str, float]:
    r"""Barrier option watched at every instant, rate and dividend constant: :math:`r = -\ell/T`, :math:`b = g/T`.

    Reiner and Rubinstein's table of cases, regrouped by the reflection it comes from. With :math:`V(S)` the discounted
    expectation of a terminal function that vanishes on the dead side of the barrier :math:`H`, killing the paths
    that touch it leaves

    .. math:: A = V(S) - (H/S)^{2\mu}\, V(H^2/S), \qquad \mu = b/\sigma^2 - 1/2.

    For V made of payoff minus rebate, out = A + discounted rebate and in = vanilla - A; see :func:`alive_pieces`.
    A rebate :math:`R` paid at the hit is worth (Haug's block F; :math:`\eta = \pm1` for a down, up barrier)

    .. math:: R [(H/S)^{\mu+\lambda} \Phi(\eta z) + (H/S)^{\mu-\lambda} \Phi(\eta (z - 2\lambda\sigma\sqrt T))],
        \quad z = \frac{\ln(H/S)}{\sigma\sqrt T} + \lambda\sigma\sqrt T, \quad \lambda^2 = \mu^2 + 2r/\sigma^2.

    Parameters
    ----------
    option : str
        ``"call"`` or ``"put"``.
    kind : str
        ``"down-and-out"``, ``"down-and-in"``, ``"up-and-out"`` or ``"up-and-in"``.
    spot, strike, barrier, rebate : float
        In one currency, the first three positive. A spot at or beyond the barrier has hit it.
    vol : float
        Per square root of a year, positive.
    expiry : float
        Years, positive.
    log_growth, log_discount : float
        :math:`g = \ln(F/S)` and :math:`\ell`: (rate - dividend) * expiry and -rate * expiry.
    rebate_paid : str
        ``"at expiry"`` or, knock-outs only, ``"at hit"``.
    cash : float, optional
        Makes the payoff this amount of cash if the option ends in the money.

    Returns
    -------
    dict
        price, delta, gamma, vega, rho, theta, dividend_rho, vanna, volga; conventions of
        :func:`pricers.exact.black_scholes.european`.

    References
    ----------
    Reiner and Rubinstein, Breaking down the barriers, Risk 4(8) (1991); Haug, The Complete Guide to Option Pricing
    Formulas (2007), section 4.17.1.
    """
    market = _Market.of(spot=spot, vol=vol, expiry=expiry, log_growth=log_growth, log_discount=log_discount)
    edges = {"strike": _Jet.constant(math.log(strike)), "barrier": _Jet.constant(math.log(barrier))}
    return _barrier(option, kind, strike, edges, market, rebate, rebate_paid, cash).greeks()


def broadie_glasserman_kou(
    *,
    option: str,
    kind: str,
    spot: float,
    strike: float,
    barrier: float,
    vol: float,
    expiry: float,
    dates: int,
    log_growth: float,
    log_discount: float,
    rebate: float = 0.0,
    rebate_paid: str = "at expiry",
    cash: float | None = None,
) -> dict[str, float]:
    r"""Barrier option watched at equally spaced dates: an APPROXIMATION, not an exact price.

    The continuous formula with the barrier moved away from the spot,

    .. math:: H' = H \exp(\pm \beta \sigma \sqrt{T/m}), \qquad \beta = -\zeta(1/2)/\sqrt{2\pi} \approx 0.5826,

    up for an up barrier. Its error is :math:`o(1/\sqrt m)` and grows as the spot comes near the barrier, within a few
    :math:`\sigma\sqrt{T/m}` of it; :func:`pricers.exact.barrier_discrete.barrier` has no such error. Greeks
    are the exact derivatives of the approximation, the corrected barrier moving with volatility and maturity.

    Parameters
    ----------
    dates : int
        :math:`m`, watched at :math:`T/m, 2T/m, \dots, T`.
    option, kind, spot, strike, barrier, vol, expiry, log_growth, log_discount, rebate, rebate_paid, cash
        As in :func:`reiner_rubinstein`.

    Returns
    -------
    dict
        As :func:`reiner_rubinstein`.

    References
    ----------
    Broadie, Glasserman and Kou, A continuity correction for discrete barrier options, Math. Finance 7(4) (1997), (2).
    """
    market = _Market.of(spot=spot, vol=vol, expiry=expiry, log_growth=log_growth, log_discount=log_discount)
    direction, _ = barrier_kind(kind)
    edges = {
        "strike": _Jet.constant(math.log(strike)),
        "barrier": market.stdev * (-direction * _CONTINUITY / math.sqrt(dates)) + math.log(barrier),
    }
    return _barrier(option, kind, strike, edges, market, rebate, rebate_paid, cash).greeks()


@dataclass(frozen=True, slots=True)
class _Jet:
    """A number with its first and second derivatives in (spot, vol, rate, dividend, maturity).

    Second derivatives are complete in spot and vol only: growth and discount enter with their first derivatives.
    Values may be complex; the rebate at hit goes through the square root of a negative number when rates are negative.
    """

    value: Any
    gradient: npt.NDArray[Any]  # [5]
    hessian: npt.NDArray[Any]  # [5, 5]

    @classmethod
    def constant(cls, value: float) -> Self:
        return cls(value, np.zeros(5), np.zeros((5, 5)))

    @classmethod
    def linear(cls, value: float, slopes: dict[int, float]) -> Self:
        gradient = np.zeros(5)
        for variable, slope in slopes.items():
            gradient[variable] = slope
        return cls(value, gradient, np.zeros((5, 5)))

    def compose(self, value: Any, first: Any, second: Any) -> "_Jet":
        """Apply a function given by its value and two derivatives at this number."""
        outer = np.outer(self.gradient, self.gradient)
        return _Jet(value, first * self.gradient, first * self.hessian + second * outer)

    def __add__(self, other: "_Jet | complex") -> "_Jet":
        if isinstance(other, _Jet):
            return _Jet(self.value + other.value, self.gradient + other.gradient, self.hessian + other.hessian)
        return _Jet(self.value + other, self.gradient, self.hessian)

    def __neg__(self) -> "_Jet":
        return self * -1.0

    def __sub__(self, other: "_Jet | float") -> "_Jet":
        return self + -other

    def __mul__(self, other: "_Jet | float") -> "_Jet":
        if isinstance(other, _Jet):
            cross = np.outer(self.gradient, other.gradient)
            return _Jet(
                self.value * other.value,
                self.value * other.gradient + other.value * self.gradient,
                self.value * other.hessian + other.value * self.hessian + cross + cross.T,
            )
        return _Jet(self.value * other, self.gradient * other, self.hessian * other)

    def __truediv__(self, other: "_Jet") -> "_Jet":
        inverse = 1.0 / other.value
        return self * other.compose(inverse, -(inverse**2), 2.0 * inverse**3)

    def log(self) -> "_Jet":
        return self.compose(np.log(self.value), 1.0 / self.value, -1.0 / self.value**2)

    def sqrt(self) -> "_Jet":
        root = np.sqrt(self.value)
        return self.compose(root, 0.5 / root, -0.25 / root**3)

    def exp(self) -> "_Jet":
        value = np.exp(self.value)
        return self.compose(value, value, value)

    def log_ndtr(self) -> "_Jet":
        x = self.value
        value = log_ndtr(x)
        mills = np.exp(-0.5 * x * x - value) / math.sqrt(2.0 * math.pi)
        return self.compose(value, mills, -mills * (mills + x))

    def greeks(self) -> dict[str, float]:
        return {
            "price": float(self.value),
            "delta": float(self.gradient[_SPOT]),
            "gamma": float(self.hessian[_SPOT, _SPOT]),
            "vega": float(self.gradient[_VOL]),
            "rho": float(self.gradient[_RATE]),
            "theta": -float(self.gradient[_MATURITY]),
            "dividend_rho": float(self.gradient[_DIVIDEND]),
            "vanna": float(self.hessian[_SPOT, _VOL]),
            "volga": float(self.hessian[_VOL, _VOL]),
        }


class _Market(NamedTuple):
    log_spot: _Jet
    vol: _Jet
    maturity: _Jet
    stdev: _Jet
    growth: _Jet  # log, to maturity
    discount: _Jet  # log, to maturity

    @classmethod
    def of(cls, *, spot: float, vol: float, expiry: float, log_growth: float, log_discount: float) -> Self:
        sigma, maturity = _Jet.linear(vol, {_VOL: 1.0}), _Jet.linear(expiry, {_MATURITY: 1.0})
        return cls(
            log_spot=_Jet.linear(spot, {_SPOT: 1.0}).log(),
            vol=sigma,
            maturity=maturity,
            stdev=sigma * maturity.sqrt(),
            growth=_Jet.linear(log_growth, {_RATE: expiry, _DIVIDEND: -expiry, _MATURITY: log_growth / expiry}),
            discount=_Jet.linear(log_discount, {_RATE: -expiry, _MATURITY: log_discount / expiry}),
        )


def _barrier(
    option: str,
    kind: str,
    strike: float,
    edges: dict[str, _Jet],
    market: _Market,
    rebate: float,
    rebate_paid: str,
    cash: float | None,
) -> _Jet:
    """Value a barrier option; ``edges`` are the logarithms of strike and barrier."""
    direction, knocks_in = barrier_kind(kind)
    if rebate_paid not in ("at expiry", "at hit") or (knocks_in and rebate_paid == "at hit"):
        raise ValueError(f"a {kind} cannot pay its rebate {rebate_paid!r}; use 'at expiry', or 'at hit' for a knock-out")
    vanilla = vanilla_piece(option=option, strike=strike, cash=cash)
    distance = edges["barrier"] - market.log_spot
    discounted_rebate = market.discount.exp() * rebate

    if direction * distance.value >= 0.0:  # already hit
        if knocks_in:
            return _expectation([vanilla], edges, market.log_spot + market.growth, market.stdev, market.discount)
        return _Jet.constant(rebate) if rebate_paid == "at hit" else discounted_rebate

    barrier = math.exp(edges["barrier"].value)
    at_hit = rebate_paid == "at hit"
    pieces = alive_pieces(vanilla=vanilla, direction=direction, strike=strike, barrier=barrier, rebate=0.0 if at_hit else rebate)
    log_forward = market.log_spot + market.growth
    mu = market.growth / (market.stdev * market.stdev) - 0.5
    image = market.discount + mu * distance * 2.0
    alive = _expectation(pieces, edges, log_forward, market.stdev, market.discount)
    alive -= _expectation(pieces, edges, log_forward + distance * 2.0, market.stdev, image)
    if knocks_in:
        return _expectation([vanilla], edges, log_forward, market.stdev, market.discount) - alive
    if at_hit:
        return alive + _hit(direction, distance, mu, market) * rebate if rebate else alive
    return alive + discounted_rebate


def _expectation(pieces: list[Piece], edges: dict[str, _Jet], log_forward: _Jet, stdev: _Jet, log_weight: _Jet) -> _Jet:
    """Weigh and integrate linear pieces; weight and normal tail are joined in the exponent, where neither overflows."""
    total = _Jet.constant(0.0)
    for side, edge, slope, level in pieces:
        d2 = (log_forward - edges[edge]) / stdev - stdev * 0.5
        if slope:
            total += (log_weight + log_forward + ((d2 + stdev) * side).log_ndtr()).exp() * slope
        if level:
            total += (log_weight + (d2 * side).log_ndtr()).exp() * level
    return total


def _hit(direction: int, distance: _Jet, mu: _Jet, market: _Market) -> _Jet:
    r"""Value of one unit paid when the barrier is hit, :math:`E[e^{-r\tau} 1_{\tau \le T}]`.

    It is an entire function of :math:`\lambda^2` written in :math:`\lambda`: a negative square gives an imaginary root
    and a real sum. Near zero the derivatives of the root blow up and cancel; there the mean over a small circle
    around the point is taken instead (Cauchy; 8 points of radius 0.1 leave an error far below rounding).
    """
    square = mu * mu - market.discount / (market.stdev * market.stdev) * 2.0
    circle = [0.0] if abs(square.value) > 0.05 else list(0.1 * np.exp(2j * np.pi * (np.arange(8) + 0.5) / 8))
    total = _Jet.constant(0.0)
    for offset in circle:
        root = (square + (offset + 0j)).sqrt()
        z = distance / market.stdev + root * market.stdev
        total += (distance * (mu + root) + (z * direction).log_ndtr()).exp()
        total += (distance * (mu - root) + ((z - root * market.stdev * 2.0) * direction).log_ndtr()).exp()
    mean = total * (1.0 / len(circle))
    return _Jet(mean.value.real, mean.gradient.real, mean.hessian.real)
