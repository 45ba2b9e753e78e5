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
:math:`\sqrt{v_0}`. Accuracy is absolute, about 1e-15 of spot, so a price below that is noise around zero.

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

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Exponent = Callable[[ComplexArray], tuple[ComplexArray, ComplexArray]]
"""Takes z [node] to ln M [node] and its slopes [6, node] by v0, kappa, theta, xi, rho and maturity."""
Weight = Callable[[ComplexArray], ComplexArray]

BENDS = (0.0, -0.4, 0.4)  # omega; below pi/4, beyond which M grows where the variance is nearly deterministic
WIDTH = 0.5  # b; keeps the poles at 0 and 1, and the moment explosions beyond them, off the strip around the path
REACH = 26.0  # of y; |z| is 5e10 there
FIRST_STEP, MOST_NODES = 0.2, 4096
TOLERANCE = 1e-13  # of the integral of |f|, for the value and for each Greek
DEAD = 200.0  # ...

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
    """Value a call or put with all its Greeks.

    Parameters
    ----------
    option : str
        "call" or "put".
    spot, strike : float, array_like
        Positive; an array of strikes shares one pass of the characteristic function.
    expiry : float
        In years, positive.
    log_growth, log_discount : float
        ln(F/S), which is (r - q) T when flat, and ln(discount factor), -r T.
    v0, kappa, theta, xi, rho : float
        Heston's parameters; v0, kappa, theta and xi may be zero as long as some variance is left.

    Returns
    -------
    dict of str to float or ndarray
        price, delta, gamma, rho, dividend_rho, theta, vega, d_v0, d_kappa, d_theta, d_xi, d_rho, and ``error``, the
        integration's own estimate of the price's error; arrays along the strikes if `strike` is one.

    Raises
    ------
    ArithmeticError
        If the integral does not settle; the text has the estimate reached.
    """
    exponent = _exponent(expiry, v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
    strikes, moneyness = _strikes(option, spot, strike, log_growth)
    discount = math.exp(log_discount)
    capped, error = invert(exponent, lambda z: 1.0 / (z * (1.0 - z)), moneyness)
    claim = -discount * strikes * capped
    if option == "call":
        claim[:2] += discount * spot * math.exp(log_growth)  # the forward: z = 1, where M and its slopes vanish
    else:
        claim[0] += discount * strikes  # cash: z = 0
    market = {"spot": spot, "expiry": expiry, "log_growth": log_growth, "log_discount": log_discount, "v0": v0}
    return greeks_of(
        claim, discount * strikes * error + np.finfo(float).eps * np.abs(claim[0]), shape=np.shape(strike), **market
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
    """Value `cash`, paid at expiry if the spot ends above (call) or below (put) the strike; else as `european`."""
    exponent = _exponent(expiry, v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
    _, moneyness = _strikes(option, spot, strike, log_growth)
    scale = cash * math.exp(log_discount)
    above, error = invert(exponent, lambda z: 1.0 / z, moneyness)
    claim = scale * above
    if option == "put":
        claim = -claim
        claim[0] += scale
    market = {"spot": spot, "expiry": expiry, "log_growth": log_growth, "log_discount": log_discount, "v0": v0}
    return greeks_of(claim, abs(scale) * error, shape=np.shape(strike), **market)


def greeks_of(
    claim: FloatArray,
    error: FloatArray,
    *,
    shape: tuple[int, ...],
    spot: float,
    expiry: float,
    log_growth: float,
    log_discount: float,
    v0: float,
) -> dict[str, Any]:
    """Turn the nine integrals of `invert`, [9, strike] in present value, into Greeks of the given shape."""
    value, by_growth, by_spot_twice, by_v0, by_kappa, by_theta, by_xi, by_rho, by_maturity = claim
    greeks = {
        "price": value,
        "delta": by_growth / spot,
        "gamma": by_spot_twice / spot**2,
        "rho": expiry * (by_growth - value),
        "dividend_rho": -expiry * by_growth,
        "theta": -(by_maturity + (log_growth * by_growth + log_discount * value) / expiry),
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
        Angles of the paths to choose from; only (0.0,) where M may be singular off the real axis.

    Returns
    -------
    tuple of FloatArray
        The integrals [9, strike] and the estimated error of the first, [strike].
    """

    def nodes(y: FloatArray, bend: FloatArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """Return f and its exponent, [bend, strike, node], and f's multipliers [bend, 9, node], at y >= 0."""
        tilted = y + 1j * bend[:, None]
        z = 0.5 + WIDTH * (1j * np.sinh(tilted) + np.sin(bend)[:, None])
        log_mgf, slopes = (values.reshape(*values.shape[:-1], *z.shape) for values in exponent(z.ravel()))
        power = log_mgf[:, None] + moneyness[:, None] * z[:, None]
        alive = np.logical_and.accumulate(power.real > 0.5 * moneyness[:, None] - DEAD, axis=-1)
        power.real = np.minimum(power.real, DEAD)
        f = (weight(z) * (WIDTH / np.pi * np.cosh(tilted)))[:, None] * np.where(alive, np.exp(power), 0.0)
        f[..., y == 0.0] *= 0.5  # the lower half of the path is the conjugate of the upper
        return f, power, np.stack((np.ones_like(z), z, z * z - z, *slopes), axis=1)

    def total(multipliers: ComplexArray | FloatArray, f: ComplexArray | FloatArray) -> FloatArray:
        return (multipliers @ f.swapaxes(-1, -2)).real

    bend, step = np.array(bends), FIRST_STEP
    y = step * np.arange(round(REACH / step) + 1)
    f, power, multipliers = nodes(y, bend)
    size = step * total(np.abs(multipliers), np.abs(f))  # [bend, 9, strike], as all that follow
    noise = np.finfo(float).eps * step * total(np.abs(multipliers), np.abs(f) * np.maximum(np.abs(power),4.0))
    usable = size[:, 0] <= 10.0 * size[:, 0].min(axis=0)
    count = 0
    for greek in range(9):
        terms = np.abs(f) * np.abs(multipliers[:, greek, None])
        felt = ((terms > 1e-18 * size[:, greek, :, None]) & usable[..., None]).any(axis=(0, 1))
        count = max(count, int(np.flatnonzero(felt).max(initial=-1)) + 1)
    if count == len(y) or not usable.any(axis=0).all():
        raise ArithmeticError("the Fourier integrand does not decay: too little variance is left before expiry")

    kept = usable.any(axis=1)
    bend, usable, size, noise = bend[kept], usable[kept], size[kept], noise[kept]
    f, multipliers = f[kept, :, :count], multipliers[kept, :, :count]
    coarse, middle, sums = (k * step * total(multipliers[..., ::k], f[..., ::k]) for k in (4, 2, 1))
    before, change = np.abs(middle - coarse), np.abs(sums - middle)
    while True:
        # Halving squares the error of an exponentially convergent rule, so this estimate is generous.
        error = change * np.minimum(1.0, np.divide(change, before, out=np.ones_like(change), where=before > 0.0))
        settled = usable & (error <= np.maximum(TOLERANCE * np.maximum(size, size[:, :1]), noise)).all(axis=1)
        if settled.any(axis=0).all():
            break
        if count >= MOST_NODES:
            reached = np.where(usable, (error / np.maximum(size, np.finfo(float).tiny)).max(axis=1), np.inf).min(axis=0).max()
            raise ArithmeticError(
                f"the Fourier integral did not settle: relative error {reached:.1e} with {count} nodes"
            )
        f, _, multipliers = nodes(step * (np.arange(count) + 0.5), bend)
        step, count = 0.5 * step, 2 * count
        refined = 0.5 * sums + step * total(multipliers, f)
        sums, before, change = refined, change, np.abs(refined - sums)
    error = (error + noise)[:, 0]
    best, each = np.where(settled, error, np.inf).argmin(axis=0), np.arange(len(moneyness))
    return sums[best, :, each].T, error[best, each]


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
    tuple
        C and D [node], and the slopes of each [5, node].
    """
    q, level = z * z - z, kappa * theta
    beta = kappa - rho * xi * z
    d = np.sqrt(beta * beta - xi * xi * q)
    m = q / (beta + d)
    decay, decay_slope = _decay(d * tau)
    s = tau * decay
    gap = m - start
    growth = 0.5 * xi * xi * s * gap  # lambda
    log, log_slope = _log_ratio(growth)
    bracket = m * tau - s * gap * log
    rest, ratio = 1.0 - 0.5 * (beta + d) * s, 1.0 + growth
    factor = (0.5 * q * s + start * rest) / ratio

    by_kappa, by_xi, by_rho = np.eye(3)[:, :, None]  # a trailing underscore: slopes by these at fixed Y and tau
    beta_ = by_kappa - rho * z * by_xi - xi * z * by_rho
    d_ = (beta * beta_ - xi * q * by_xi) / d
    m_ = -m * (beta_ - xi * m * by_xi) / d
    s_ = tau * tau * decay_slope * d_
    flow_ = s_ * gap + s * m_
    growth_ = 0.5 * xi * xi * flow_ + xi * s * gap * by_xi
    constant_ = level * (m_ * tau - flow_ * log - s * gap * log_slope * growth_) + theta * bracket * by_kappa
    rest_ = -0.5 * ((beta_ + d_) * s + (beta + d) * s_)
    factor_ = (0.5 * q * s_ + start * rest_ - factor * growth_) / ratio

    start_moves = np.array(start_slopes)
    start_moves[4] += tau_slope * (0.5 * xi * xi * start * start - beta * start + 0.5 * q)  # longer: Y has flowed on
    constant_slopes = level * s / ratio * start_moves
    constant_slopes[[0, 2, 3]] += constant_
    constant_slopes[1] += kappa * bracket
    constant_slopes[4] += tau_slope * level * start
    factor_slopes = np.exp(-d * tau) / ratio**2 * start_moves
    factor_slopes[[0, 2, 3]] += factor_
    return level * bracket, factor, constant_slopes, factor_slopes


def _exponent(expiry: float, *, v0: float, kappa: float, theta: float, xi: float, rho: float) -> Exponent:
    """Check the parameters and return ln M over one interval."""
    if not expiry > 0.0:
        raise ValueError(f"expiry must be positive, got {expiry!r}")
    if not (min(v0, kappa, theta, xi) >= 0.0 and abs(rho) <= 1.0):
        raise ValueError(
            f"v0, kappa, theta, xi must not be negative, nor |rho| above 1, got {(v0, kappa, theta, xi, rho)!r}"
        )
    if v0 + kappa * theta == 0.0:
        raise ValueError("v0 and kappa theta are both zero: the spot is deterministic")
    if xi + kappa == 0.0:
        raise ValueError("xi and kappa are both zero: use GBM")

    def exponent(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        rest = np.zeros((5, len(z)), dtype=np.complex128)
        constant, factor, constant_, factor_ = affine_step(
            z, rest[0], rest, expiry, 1.0, kappa=kappa, theta=theta, xi=xi, rho=rho
        )
        return constant + factor * v0, np.concatenate((factor[None], constant_ + factor_ * v0))

    return exponent


def _strikes(option: str, spot: float, strike: ArrayLike, log_growth: float) -> tuple[FloatArray, FloatArray]:
    """Check the terms; return the strikes as a flat array, and ln(F/K)."""
    if option not in ("call", "put"):
        raise ValueError(f"option must be 'call' or 'put', got {option!r}")
    strikes = np.asarray(strike, dtype=np.float64).ravel()
    if not (spot > 0.0 and np.all(strikes > 0.0)):
        raise ValueError(f"spot and strike must be positive, got {spot!r} and {strike!r}")
    return strikes, math.log(spot) + log_growth - np.log(strikes)


def _decay(x: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return f(x) = (1 - exp(-x))/x and f', through (1 - f)/x: a power series where the quotients would cancel."""
    near = np.abs(x) < 0.5
    far = np.where(near, 1.0, x)
    second = np.where(near, polyval(np.where(near, x, 0.0), _DECAY_SERIES), (1.0 - (1.0 - np.exp(-far)) / far) / far)
    value = 1.0 - x * second
    return value, second - value


def _log_ratio(x: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return f(x) = ln(1 + x)/x and f', likewise."""
    near = np.abs(x) < 0.1
    far = np.where(near, 1.0, x)
    second = np.where(near, polyval(np.where(near, x, 0.0), _LOG_SERIES), (1.0 - np.log(1.0 + far) / far) / far)
    return 1.0 - x * second, second - 1.0 / (1.0 + x)
