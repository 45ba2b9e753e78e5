r"""European and digital options under Heston, with every Greek, by Fourier inversion on bent contours.

Model: :math:`dS/S = (r-q)\,dt + \sqrt v\,dW_1,\; dv = \kappa(\theta - v)\,dt + \xi\sqrt v\,dW_2,\; dW_1 dW_2 = \rho\,dt`.
With :math:`M(z) = E[(S_T/F)^z]`, forward :math:`F` and discount factor :math:`D`, a claim on :math:`S_T` is worth

.. math:: \frac{1}{2\pi i} \int w(z)\, (F/K)^z\, M(z)\, dz, \qquad
          w(z) = \frac{D K}{z (1-z)} \text{ for } \min(S_T, K), \quad
          w(z) = \frac{D}{z} \text{ for } 1\{S_T > K\},

along any path through the strip :math:`0 < \operatorname{Re} z < 1` (Lewis 2001). A call is :math:`D F` less the first
claim, a put :math:`D K` less it.

*The path.* Every singularity of :math:`M` lies on the real axis (Lucic 2007), so the vertical line may be bent into the
hyperbola :math:`z(y) = \tfrac12 + b\,[\,i \sinh(y + i\omega) + \sin\omega\,]`: a tail that oscillates on the line decays
on one of its bends, and the trapezoidal rule in :math:`y` converges exponentially (Boyarchenko and Levendorskii 2019).
Three bends are carried together, on nodes shared by all strikes; the step is halved until, for each strike, the value
and all its Greeks stand still on one of them.

*The exponent.* :math:`\ln M = C + D v_0` is written so that no branch of the logarithm is crossed (Albrecher et al.
2007, Lord and Kahl 2010) and nothing is divided by :math:`\xi`: it falls smoothly to deterministic variance.

*Greeks.* The integrand is differentiated: spot multiplies it by :math:`z/S`, a parameter by the slope of
:math:`\ln M`. They are raw derivatives of present value: ``rho`` by the interest rate and ``theta`` minus the derivative
in maturity at fixed zero rates; the correlation's is ``d_rho``, the mean level's ``d_theta``, and ``vega`` is by
:math:`\sqrt{v_0}`. Accuracy is absolute, about 1e-15 of spot: a price below that is noise around zero.

References
----------
- Heston, Rev. Financial Studies 6 (1993). Lewis, "A simple option formula for general jump-diffusion and other
  exponential Lévy processes" (2001).
- Albrecher, Mayer, Schoutens and Tistaert, "The little Heston trap", Wilmott (January 2007).
- Lord and Kahl, "Complex logarithms in Heston-like models", Math. Finance 20 (2010).
- Lucic, "On singularities in the Heston model" (2007).
- Boyarchenko and Levendorskii, "Sinh-acceleration: efficient evaluation of probability distributions, option pricing,
  and Monte Carlo simulations", Int. J. Theor. Appl. Finance 22 (2019).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike, NDArray

from pricers.exact.black_scholes import option_sign

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Weight = Callable[[ComplexArray], ComplexArray]
Exponent = Callable[[ComplexArray], tuple[ComplexArray, ComplexArray]]
"""From z [node] to ln M [node] and its slopes [6, node] by v0, kappa, theta, xi, rho and maturity."""

BENDS = (0.0, -0.4, 0.4)
"""The angles omega; below pi/4, beyond which M grows where the variance is nearly deterministic."""

_WIDTH = 0.5  # b: the poles at 0 and 1, and the moment explosions beyond, stay off a strip around the path
_REACH = 26.0  # of y, where |z| = 5e10
_STEP, _MOST_NODES = 0.15, 4096
_TOLERANCE = 3e-13  # of the integral of |f|
_DEAD = 200.0  # an integrand that falls by exp(-200) has ended
_EPSILON = float(np.finfo(np.float64).eps)
_DECAY_SERIES = np.array([(-1.0) ** n / math.factorial(n + 2) for n in range(15)])
_LOG_SERIES = np.array([(-1.0) ** n / (n + 2) for n in range(18)])


def european(
    *,
    option: str,
    spot: float,
    strike: ArrayLike,
    expiry: float,
    log_growth: float,
    log_discount: float,
    v0: float,
    kappa: float,
    theta: float,
    xi: float,
    rho: float,
) -> dict[str, Any]:
    """Call or put with all its Greeks.

    Parameters
    ----------
    option : str
        "call" or "put".
    spot, strike : float, array_like
        Positive. The strikes of an array share one pass of the characteristic function.
    expiry : float
        In years, positive.
    log_growth, log_discount : float
        ln(F/S), which is (r - q) T when flat, and the logarithm of the discount factor, -r T.
    v0, kappa, theta, xi, rho : float
        Heston's parameters. v0, kappa, theta and xi may be zero as long as some variance is left.

    Returns
    -------
    dict of str to float or ndarray
        price, delta, gamma, rho, dividend_rho, theta, vega, d_v0, d_kappa, d_theta, d_xi, d_rho, and ``error``, the
        integration's own estimate of the price's error: floats, or arrays of the shape of `strike`.

    Raises
    ------
    ArithmeticError
        If the integral does not settle; the text has the estimate reached.
    """
    side = option_sign(option)
    strikes, moneyness = _strikes(spot, strike, log_growth, log_discount)
    exponent = _exponent(expiry, v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
    capped, error = invert(exponent, lambda z: 1.0 / (z * (1.0 - z)), moneyness)
    discount = math.exp(log_discount)
    claim = -discount * strikes * capped
    if side > 0:
        claim[:2] += discount * spot * math.exp(log_growth)  # the forward: z = 1, where ln M and its slopes vanish
    else:
        claim[0] += discount * strikes  # cash: z = 0, likewise
    return greeks_of(
        claim,
        discount * strikes * error + _EPSILON * np.abs(claim[0]),
        shape=np.shape(strike),
        spot=spot,
        maturity=expiry,
        mean_growth=log_growth,
        log_discount=log_discount,
        v0=v0,
    )


def digital(
    *,
    option: str,
    spot: float,
    strike: ArrayLike,
    expiry: float,
    log_growth: float,
    log_discount: float,
    v0: float,
    kappa: float,
    theta: float,
    xi: float,
    rho: float,
    cash: float = 1.0,
) -> dict[str, Any]:
    """Cash-or-nothing option, paid at expiry if the spot ends above (call) or below (put) the strike.

    Parameters, units, Greeks and errors as in :func:`european`; ``cash`` is the amount paid.
    """
    side = option_sign(option)
    _, moneyness = _strikes(spot, strike, log_growth, log_discount)
    exponent = _exponent(expiry, v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
    above, error = invert(exponent, lambda z: 1.0 / z, moneyness)
    present = cash * math.exp(log_discount)
    claim = side * present * above
    if side < 0:
        claim[0] += present
    return greeks_of(
        claim,
        abs(present) * error + _EPSILON * np.abs(claim[0]),
        shape=np.shape(strike),
        spot=spot,
        maturity=expiry,
        mean_growth=log_growth,
        log_discount=log_discount,
        v0=v0,
    )


def greeks_of(
    claim: FloatArray,
    error: FloatArray,
    *,
    shape: tuple[int, ...],
    spot: float,
    maturity: float,
    mean_growth: float,
    log_discount: float,
    v0: float,
    share: float = 1.0,
    mean_time: float | None = None,
) -> dict[str, Any]:
    """Turn the nine integrals of :func:`invert`, times the present value they multiply, into Greeks.

    Parameters
    ----------
    claim, error : FloatArray, [9, strike] and [strike]
        In present value.
    shape : tuple of int
        Of the arrays in the result; floats where it is empty.
    share, mean_time : float
        d ln F / d ln S and d ln F / d rate, 1 and the maturity unless F is the forward of an average.
    """
    value, growth, growth_twice, by_v0, by_kappa, by_theta, by_xi, by_rho, by_maturity = claim
    accrual = (maturity if mean_time is None else mean_time) * growth
    greeks = {
        "price": value,
        "delta": share * growth / spot,
        "gamma": share * (share * growth_twice + (share - 1.0) * growth) / spot**2,
        "rho": accrual - maturity * value,
        "dividend_rho": -accrual,
        "theta": -(by_maturity + (mean_growth * growth + log_discount * value) / maturity),
        "vega": 2.0 * math.sqrt(v0) * by_v0,
        "d_v0": by_v0,
        "d_kappa": by_kappa,
        "d_theta": by_theta,
        "d_xi": by_xi,
        "d_rho": by_rho,
        "error": error,
    }
    return {name: array.reshape(shape) if shape else float(array[0]) for name, array in greeks.items()}


def invert(
    exponent: Exponent, weight: Weight, moneyness: FloatArray, bends: Sequence[float] = BENDS
) -> tuple[FloatArray, FloatArray]:
    r"""Integrate :math:`\frac{1}{2\pi i}\int w(z)\,e^{x z}\,M(z)\,(1,\, z,\, z^2 - z,\, \partial\ln M)\,dz` for each x.

    Parameters
    ----------
    exponent : callable
        ln M and its six slopes.
    weight : callable
        w(z), with no poles but 0 and 1.
    moneyness : FloatArray, [strike]
        x = ln(F/K).
    bends : sequence of float
        Angles of the paths to choose from; (0.0,) where M may be singular off the real axis.

    Returns
    -------
    tuple of FloatArray
        The integrals [9, strike] and the estimated error of the first, [strike].
    """

    def nodes(y: FloatArray, bend: FloatArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """Return f and its exponent [bend, strike, node], and what multiplies f [bend, 9, node], for y >= 0."""
        tilted = y + 1j * bend[:, None]
        z = 0.5 + _WIDTH * (1j * np.sinh(tilted) + np.sin(bend)[:, None])
        log_mgf, slopes = (values.reshape(*values.shape[:-1], *z.shape) for values in exponent(z.ravel()))
        power = log_mgf[:, None] + moneyness[:, None] * z[:, None]
        # Once it is dead here and on the line, the two may be joined: what grows again further out is not our path.
        alive = np.logical_and.accumulate(power.real > 0.5 * moneyness[:, None] - _DEAD, axis=-1)
        power.real = np.minimum(power.real, _DEAD)  # a bend that grows this far is no use, but need not overflow
        f = (weight(z) * (_WIDTH / np.pi * np.cosh(tilted)))[:, None] * np.where(alive, np.exp(power), 0.0)
        f[..., y == 0.0] *= 0.5  # the lower half of the path is the conjugate of the upper
        return f, power, np.stack((np.ones_like(z), z, z * z - z, *slopes), axis=1)

    bend, step = np.array(bends), _STEP
    y = step * np.arange(round(_REACH / step) + 1, dtype=np.float64)
    f, power, multipliers = nodes(y, bend)
    size = step * _sums(np.abs(multipliers), np.abs(f))  # [bend, 9, strike], like all that follow
    rounding = _EPSILON * (4.0 + np.abs(power) + np.abs(multipliers[:, 1, None]))  # of exp(power), and of x z
    noise = step * _sums(np.abs(multipliers), np.abs(f) * rounding)
    usable = size[:, 0] <= 10.0 * size[:, 0].min(axis=0)  # [bend, strike]: what cancels loses digits
    count = _count(f, multipliers, size, usable)
    if count in (0, len(y)) or not usable.any(axis=0).all():
        raise ArithmeticError("the Fourier integrand does not decay; is there any variance left, and are inputs finite?")

    kept = usable.any(axis=1)
    bend, usable, size, noise = bend[kept], usable[kept], size[kept], noise[kept]
    f, multipliers = f[kept, :, :count], multipliers[kept, :, :count]
    scale = np.maximum(size, size[:, :1])
    value = step * _sums(multipliers, f)
    error = np.abs(value - 2.0 * step * _sums(multipliers[..., ::2], f[..., ::2]))  # of the coarser sum: generous
    while True:
        settled = usable & (error <= np.maximum(_TOLERANCE * scale, noise)).all(axis=1)
        if settled.any(axis=0).all():
            break
        if count > _MOST_NODES:
            reached = np.where(usable, (error / scale).max(axis=1), np.inf).min(axis=0).max()
            raise ArithmeticError(f"the Fourier integral has not settled: error {reached:.1e} with {count} nodes")
        f, _, multipliers = nodes(step * (np.arange(count, dtype=np.float64) + 0.5), bend)
        step, count = 0.5 * step, 2 * count
        refined = 0.5 * value + step * _sums(multipliers, f)
        value, error = refined, np.abs(refined - value)
    total = (error + noise)[:, 0]
    best, each = np.where(settled, total, np.inf).argmin(axis=0), np.arange(len(moneyness))
    return value[best, :, each].T, total[best, each]


def _sums(multipliers: NDArray[Any], f: NDArray[Any]) -> FloatArray:
    """Sum f [bend, strike, node] times each multiplier [bend, 9, node] over the nodes."""
    return np.asarray((multipliers @ f.swapaxes(-1, -2)).real, dtype=np.float64)


def _count(f: ComplexArray, multipliers: ComplexArray, size: FloatArray, usable: NDArray[np.bool_]) -> int:
    """Return the number of nodes up to the last one that matters to any Greek."""
    last = -1
    for greek in range(9):
        terms = np.abs(f) * np.abs(multipliers[:, greek, None])
        matters = ((terms > 1e-18 * size[:, greek, :, None]) & usable[..., None]).any(axis=(0, 1))
        last = max(last, int(np.flatnonzero(matters).max(initial=-1)))
    return last + 1


def affine_step(
    z: ComplexArray,
    start: ComplexArray,
    start_slopes: ComplexArray,
    tau: float,
    tau_slope: float,
    *,
    kappa: float,
    theta: float,
    xi: float,
    rho: float,
) -> tuple[ComplexArray, ComplexArray, ComplexArray, ComplexArray]:
    r"""Carry :math:`E[e^{z X_\tau + Y v_\tau}] = e^{C + D v_0}` over one interval, with the slopes of C and D.

    The Riccati equations :math:`D' = \tfrac12 \xi^2 D^2 - \beta D + \tfrac12 q,\; C' = \kappa\theta D` from
    :math:`D(0) = Y, C(0) = 0`, where :math:`\beta = \kappa - \rho\xi z,\; q = z^2 - z`, are solved by

    .. math:: d = \sqrt{\beta^2 - \xi^2 q},\; m = \frac{q}{\beta + d},\; s = \frac{1 - e^{-d\tau}}{d},\;
              \lambda = \tfrac12 \xi^2 s (m - Y)

    .. math:: D = \frac{\tfrac12 q s + Y (1 - \tfrac12 (\beta + d) s)}{1 + \lambda},\quad
              C = \kappa\theta \Bigl[ m \tau - s (m - Y) \frac{\ln(1 + \lambda)}{\lambda} \Bigr],

    and :math:`\partial D/\partial Y = e^{-d\tau}/(1+\lambda)^2,\; \partial C/\partial Y = \kappa\theta s/(1+\lambda)`.
    Off the real axis :math:`d^2` is never negative (its roots are real and of either sign), so the principal root, of
    positive real part, is analytic there.

    Parameters
    ----------
    z, start : ComplexArray, [node]
        The argument and Y.
    start_slopes : ComplexArray, [5, node]
        Slopes of Y by kappa, theta, xi, rho and maturity.
    tau, tau_slope : float
        The interval in years and its slope by maturity.

    Returns
    -------
    tuple of ComplexArray
        C and D [node], and the slopes of each [5, node].
    """
    q, level = z * z - z, kappa * theta
    beta = kappa - rho * xi * z
    d: ComplexArray = np.sqrt(beta * beta - xi * xi * q)
    opposed = (beta * d.conjugate()).real < 0.0  # beta + d cancels: m is (beta - d) / xi^2 as well
    m = np.where(opposed, beta - d, q) / np.where(opposed, xi * xi, beta + d)
    decay, decay_slope = _decay(d * tau)
    s = tau * decay
    gap = m - start
    growth = 0.5 * xi * xi * s * gap  # lambda
    log, log_slope = _log_ratio(growth)
    bracket = m * tau - s * gap * log
    rest, ratio = 1.0 - 0.5 * (beta + d) * s, 1.0 + growth
    factor = (0.5 * q * s + start * rest) / ratio

    by_kappa, by_xi, by_rho = np.eye(3)[:, :, None]  # a trailing underscore: slopes by these three, Y and tau fixed
    beta_ = by_kappa - rho * z * by_xi - xi * z * by_rho
    d_ = (beta * beta_ - xi * q * by_xi) / d
    m_ = -m * (beta_ - xi * m * by_xi) / d
    s_ = tau * tau * decay_slope * d_
    flow_ = s_ * gap + s * m_
    growth_ = 0.5 * xi * xi * flow_ + xi * s * gap * by_xi
    constant_ = level * (m_ * tau - flow_ * log - s * gap * log_slope * growth_) + theta * bracket * by_kappa
    rest_ = -0.5 * ((beta_ + d_) * s + (beta + d) * s_)
    factor_ = (0.5 * q * s_ + start * rest_ - factor * growth_) / ratio

    moved = start_slopes.copy()
    moved[4] += tau_slope * (0.5 * xi * xi * start * start - beta * start + 0.5 * q)  # more time: Y has flowed on
    constant_slopes = level * s / ratio * moved
    constant_slopes[[0, 2, 3]] += constant_
    constant_slopes[1] += kappa * bracket
    constant_slopes[4] += tau_slope * level * start
    factor_slopes = np.exp(-d * tau) / ratio**2 * moved
    factor_slopes[[0, 2, 3]] += factor_
    return level * bracket, factor, constant_slopes, factor_slopes


def check_parameters(*, v0: float, kappa: float, theta: float, xi: float, rho: float) -> None:
    """Raise ValueError where these are no Heston model, or one without a density."""
    given = f"got v0={v0!r}, kappa={kappa!r}, theta={theta!r}, xi={xi!r}, rho={rho!r}"
    if not (all(0.0 <= number < math.inf for number in (v0, kappa, theta, xi)) and abs(rho) <= 1.0):
        raise ValueError(f"v0, kappa, theta and xi must not be negative, nor |rho| above 1, {given}")
    if v0 + kappa * theta == 0.0:
        raise ValueError(f"v0 and kappa theta are both zero, so the spot is deterministic, {given}")
    if xi + kappa == 0.0:
        raise ValueError(f"xi and kappa are both zero: this is GBM with vol sqrt(v0), {given}")


def _exponent(expiry: float, *, v0: float, kappa: float, theta: float, xi: float, rho: float) -> Exponent:
    """Return ln M over one interval."""
    check_parameters(v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
    if not 0.0 < expiry < math.inf:
        raise ValueError(f"expiry must be positive, got {expiry!r}")

    def exponent(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        nothing = np.zeros((5, len(z)), dtype=np.complex128)
        constant, factor, constant_slopes, factor_slopes = affine_step(
            z, nothing[0], nothing, expiry, 1.0, kappa=kappa, theta=theta, xi=xi, rho=rho
        )
        return constant + factor * v0, np.concatenate((factor[None], constant_slopes + factor_slopes * v0))

    return exponent


def _strikes(spot: float, strike: ArrayLike, log_growth: float, log_discount: float) -> tuple[FloatArray, FloatArray]:
    """Return the strikes as a flat array, and ln(F/K)."""
    strikes = np.asarray(strike, dtype=np.float64).ravel()
    if not (0.0 < spot < math.inf and np.all((strikes > 0.0) & (strikes < math.inf))):
        raise ValueError(f"spot and strike must be positive, got {spot!r} and {strike!r}")
    if not (math.isfinite(log_growth) and math.isfinite(log_discount)):
        raise ValueError(f"log_growth and log_discount must be finite, got {log_growth!r} and {log_discount!r}")
    return strikes, np.log(spot / strikes) + log_growth


def _decay(x: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return f(x) = (1 - exp(-x))/x and f', through (1 - f)/x: a power series where the quotients would cancel."""
    near = np.abs(x) < 0.5
    far = np.where(near, 1.0, x)
    quotient = np.where(near, polyval(np.where(near, x, 0.0), _DECAY_SERIES), (1.0 - (1.0 - np.exp(-far)) / far) / far)
    value = 1.0 - x * quotient
    return value, quotient - value


def _log_ratio(x: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return f(x) = ln(1 + x)/x and f', likewise."""
    near = np.abs(x) < 0.1
    far = np.where(near, 1.0, x)
    quotient = np.where(near, polyval(np.where(near, x, 0.0), _LOG_SERIES), (1.0 - np.log(1.0 + far) / far) / far)
    return 1.0 - x * quotient, quotient - 1.0 / (1.0 + x)
