r"""Heston's parameters from quoted implied volatilities, by least squares with the exact gradient.

The residual of a quote is its error in volatility points, :math:`100\,(\sigma_{model} - \sigma_{quote})`, weighted by
:math:`\sqrt w`. Its derivative in a parameter is :math:`100\,\partial_p C / \text{vega}`, where :math:`\partial_p C`
comes from the characteristic function (:mod:`pricers.exact.heston_fourier`) and vega is that of Black and Scholes at
the model's volatility (after Cui, del Baño Rollin and Germano, "Full and fast calibration of the Heston stochastic
volatility model", European J. Operational Research 263, 2017). Discounting cancels out of an implied volatility, so the
forward is all that rates and dividends have to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricers.errors import InvalidInput
from pricers.exact import black_scholes, heston_fourier
from pricers.exact.implied_vol import implied_vol as vol_of_price
from pricers.market.market import ImpliedVolSurface, Market
from pricers.models.heston.heston import Heston

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HestonFit", "calibrate_heston", "fit_heston"]

FloatArray = NDArray[np.float64]

PARAMETERS = ("v0", "kappa", "theta", "xi", "rho")
BOUNDS: Mapping[str, tuple[float, float]] = {
    "v0": (1e-5, 4.0),
    "kappa": (1e-3, 50.0),
    "theta": (1e-5, 4.0),
    "xi": (1e-3, 20.0),
    "rho": (-0.999, 0.999),
}
"""Where parameters are looked for unless the caller says otherwise."""

_TINY_VALUE = 1e-12  # of the forward: a time value below this does not tell its volatility
_SAME_MINIMUM = 1e-6  # relative difference of two costs
_PRECISION = 1e-10  # of the search, relative, in the cost and in the parameters
_BAD_FIT = 0.5  # volatility points: an rmse above it is warned of
_SINGULAR = 1e-7  # least singular value over the largest, columns of length one: below it the parameters cannot be told apart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HestonFit:
    r"""Calibrated parameters, how well they fit, and how well the quotes determine them.

    The covariance of the parameters is that of weighted least squares at the optimum,

    .. math:: s^2 (J^T W J)^{-1}, \qquad s^2 = \frac{1}{n - p} \sum_i w_i e_i^2,

    with the errors :math:`e_i` of the :math:`n` quotes of positive weight, their slopes :math:`J_{ij}` by the :math:`p` parameters
    that are not on a bound, and weights inverse to the variance of the quotes' noise up to one common factor. A standard error
    therefore says how far a parameter would move if the quotes scattered around the model once more, independently of each other
    and as widely as these do. What the model cannot fit is no such noise: neighbouring quotes are then wrong together, the other
    quotes stay as they are tomorrow, and nothing says that the parameters lie within two standard errors of any truth. Where the
    ``warning`` calls the fit bad, read the errors as sensitivities: which parameters the quotes determine well, which they do not,
    and (by the correlation) which of them may be traded for each other.

    Attributes
    ----------
    v0, kappa, theta, xi, rho : float
        Heston's parameters.
    rmse : float
        Root of the weighted mean squared error, in volatility points (0.54 is 0.0054 of volatility).
    sum_squared_error : float
        Weighted sum of squared errors, in squared volatility points.
    expiry, strike, weight, quoted_vol, model_vol, error : FloatArray, [quote]
        The quotes in the order given; the error is model less quote, in volatility points.
    at_bound : tuple of str
        Parameters that ended on a bound of the search.
    evaluations : int
        Of the whole surface with its gradient, over all starts.
    success : bool
        Whether the search converged.
    message : str
        The optimiser's own account.
    stderr : dict of str to float
        Standard error of each parameter, in the parameter's own unit; NaN where none can be claimed.
    correlation : FloatArray, [5, 5]
        Of the errors, in the order v0, kappa, theta, xi, rho; NaN in the row and the column of a parameter without an error.
        `correlation_frame` names them.
    stderr_note : str
        Why parameters have no error; empty where all have one.

    References
    ----------
    Seber and Wild, Nonlinear Regression (Wiley, 1989), section 2.1.2.
    """

    v0: float
    kappa: float
    theta: float
    xi: float
    rho: float
    rmse: float
    sum_squared_error: float
    expiry: FloatArray
    strike: FloatArray
    weight: FloatArray
    quoted_vol: FloatArray
    model_vol: FloatArray
    error: FloatArray
    at_bound: tuple[str, ...]
    evaluations: int
    success: bool
    message: str
    stderr: dict[str, float]
    correlation: FloatArray
    stderr_note: str

    @property
    def parameters(self) -> dict[str, float]:
        """The five parameters, as `Heston` takes them."""
        return {name: getattr(self, name) for name in PARAMETERS}

    @property
    def model(self) -> Heston:
        """The fitted model."""
        return Heston(v0=self.v0, kappa=self.kappa, theta=self.theta, xi=self.xi, rho=self.rho)

    @property
    def warning(self) -> str:
        """What to know before relying on the parameters; empty where there is nothing."""
        texts = []
        if not self.success:
            texts.append(f"the search has not converged ({self.message})")
        if self.at_bound:
            texts.append(
                f"{', '.join(self.at_bound)} ended on a bound of the search: these quotes do not pin the parameters "
                "down; leave out the shortest expiry, or set wider bounds"
            )
        if self.rmse > _BAD_FIT:
            texts.append(
                f"the fit is bad: rmse {self.rmse:.2f} volatility points, more than {_BAD_FIT:g}. Heston cannot follow these quotes, "
                "and the standard errors of the parameters are sensitivities to quotes, not distances to a truth; leave out the "
                "expiries that fit worst"
            )
        return "; ".join(texts)

    def correlation_frame(self) -> pd.DataFrame:
        """``correlation`` with the parameters' names on both sides."""
        import pandas as pd

        return pd.DataFrame(self.correlation, index=list(PARAMETERS), columns=list(PARAMETERS))

    def frame(self) -> pd.DataFrame:
        """The quotes, one a row, with the model's volatility and its error."""
        import pandas as pd

        columns = ("expiry", "strike", "weight", "quoted_vol", "model_vol", "error")
        return pd.DataFrame({name: getattr(self, name) for name in columns})


def calibrate_heston(
    surface: ImpliedVolSurface,
    market: Market,
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: Sequence[Mapping[str, float]] | None = None,
) -> HestonFit:
    """Fit Heston to every quote of an implied-volatility surface, equally weighted, by least squares with the analytic gradient.

    Parameters
    ----------
    surface : ImpliedVolSurface
    market : Market
        Spot, dividends, and the zero rate of each expiry.
    bounds, starts
        See `fit_heston`.

    Returns
    -------
    HestonFit
        ``.model`` is the fitted `Heston`; ``.rmse``, ``.frame()`` the errors by quote; ``.stderr`` and ``.correlation`` how well the
        quotes determine the parameters. ``.warning`` says where a parameter sits on a bound, the search did not end well or the fit is
        bad (rmse above half a volatility point), and is empty otherwise.

    Raises
    ------
    InvalidInput
        For a quote that is worth too little for its price to tell its volatility.
    """
    quotes = [
        (expiry, strike, vol)
        for expiry, strikes, vols in zip(surface.times, surface.strikes, surface.vols, strict=True)
        for strike, vol in zip(strikes, vols, strict=True)
    ]
    expiry, strike, vol = np.array(quotes).T
    growth = market.log_growth(expiry)
    return fit_heston(
        spot=market.spot, expiry=expiry, strike=strike, implied_vol=vol, log_growth=growth, bounds=bounds, starts=starts
    )


def fit_heston(
    *,
    spot: float,
    expiry: ArrayLike,
    strike: ArrayLike,
    implied_vol: ArrayLike,
    log_growth: ArrayLike | Callable[[FloatArray], ArrayLike] = 0.0,
    weight: ArrayLike = 1.0,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: Sequence[Mapping[str, float]] | None = None,
) -> HestonFit:
    r"""Fit Heston to implied volatilities, quote by quote; `calibrate_heston` does so for a surface.

    Parameters
    ----------
    spot : float
        Positive.
    expiry, strike, implied_vol : array_like, [quote]
        Years, units of spot, and 0.2 for 20%. Calls and puts need not be told apart. The three, `log_growth` and
        `weight` broadcast against each other.
    log_growth : array_like or callable
        :math:`\ln(F/S)` of each quote, or the function of the expiries that gives it (``market.log_growth``).
    weight : array_like
        Of each quote's squared error, not negative.
    bounds : mapping, optional
        ``{"rho": (-0.95, 0.0)}`` replaces the bounds of the parameters it names.
    starts : sequence of mapping, optional
        Where to begin. By default up to three guesses from the first and the last expiry, until two searches end in
        the same minimum.

    Returns
    -------
    HestonFit
        The best minimum found. Look at its ``warning``.

    Raises
    ------
    InvalidInput
        For a quote that is no number, or is worth too little for its price to tell its volatility.
    """
    from scipy.optimize import least_squares  # slow to import

    surface = _Surface(spot=spot, expiry=expiry, strike=strike, implied_vol=implied_vol, log_growth=log_growth, weight=weight)
    low, high = _bounds(bounds or {})
    found: list[Any] = []
    failure: ArithmeticError | None = None
    for start in starts or surface.guesses():
        try:
            search = least_squares(
                surface.residuals,
                np.clip([start[name] for name in PARAMETERS], low, high),
                jac=surface.jacobian,
                bounds=(low, high),
                x_scale="jac",
                ftol=_PRECISION,
                xtol=_PRECISION,
                gtol=_PRECISION,
            )
        except ArithmeticError as error:  # the search strayed where no price can be had; another start may not
            failure = error
            continue
        twice = any(abs(search.cost - other.cost) <= _SAME_MINIMUM * search.cost for other in found)
        found.append(search)
        if twice and starts is None:
            break
    if not found:
        raise ArithmeticError("every search failed; give other starts or narrower bounds") from failure
    best = min(found, key=lambda search: search.cost)
    on_bound = (best.active_mask != 0) | np.isclose(best.x, low, 1e-3, 1e-6) | np.isclose(best.x, high, 1e-3, 1e-6)
    errors, correlation, note = _standard_errors(surface, best.x, on_bound, converged=bool(best.status > 0))
    return HestonFit(
        **{name: float(value) for name, value in zip(PARAMETERS, best.x, strict=True)},
        rmse=float(np.sqrt(2.0 * best.cost / surface.weight.sum())),
        sum_squared_error=float(2.0 * best.cost),
        expiry=surface.expiry,
        strike=surface.strike,
        weight=surface.weight,
        quoted_vol=surface.quoted,
        model_vol=surface.vols(best.x),
        error=100.0 * (surface.vols(best.x) - surface.quoted),
        at_bound=tuple(name for name, bound in zip(PARAMETERS, on_bound, strict=True) if bound),
        evaluations=surface.evaluations,
        success=bool(best.status > 0),
        message=str(best.message),
        stderr=dict(zip(PARAMETERS, map(float, errors), strict=True)),
        correlation=correlation,
        stderr_note=note,
    )


def _standard_errors(
    surface: _Surface, at: FloatArray, on_bound: NDArray[np.bool_], *, converged: bool
) -> tuple[FloatArray, FloatArray, str]:
    """Standard errors [5] and their correlation [5, 5], NaN where there are none, and the reason; see `HestonFit`."""
    errors, correlation = np.full(len(PARAMETERS), np.nan), np.full((len(PARAMETERS), len(PARAMETERS)), np.nan)
    if not converged:
        return errors, correlation, "the search has not converged, so the parameters are at no minimum"
    free, used = np.flatnonzero(~on_bound), surface.weight > 0.0
    bounded = [name for name, bound in zip(PARAMETERS, on_bound, strict=True) if bound]
    note = (
        f"{' and '.join(bounded)} ended on a bound of the search; errors of others are those with it held there"
        if bounded
        else ""
    )
    surplus = int(used.sum()) - len(free)
    if surplus <= 0:
        return (
            errors,
            correlation,
            f"{used.sum()} quotes for {len(free)} parameters leave nothing to measure the quotes' noise by",
        )
    if not len(free):
        return errors, correlation, note
    slopes, residuals = surface.jacobian(at)[used][:, free], surface.residuals(at)[used]
    lengths = np.linalg.norm(slopes, axis=0)
    _, singular, rotation = np.linalg.svd(slopes / np.where(lengths > 0.0, lengths, 1.0), full_matrices=False)  # free of units
    if singular[-1] < _SINGULAR * singular[0]:
        return errors, correlation, "these quotes do not tell the parameters apart: the matrix of their slopes is singular"
    root = rotation.T / singular / lengths[:, None]
    inverse = root @ root.T
    spread = np.sqrt(np.diag(inverse))
    errors[free] = math.sqrt(float(residuals @ residuals) / surplus) * spread
    correlation[np.ix_(free, free)] = inverse / np.outer(spread, spread)
    correlation[free, free] = 1.0
    return errors, correlation, note


def _bounds(changed: Mapping[str, tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    if unknown := set(changed) - set(PARAMETERS):
        raise InvalidInput("bounds", sorted(unknown), f"may name {', '.join(PARAMETERS)}")
    low, high = np.array([(dict(BOUNDS) | dict(changed))[name] for name in PARAMETERS], dtype=np.float64).T
    if not np.all(low < high):
        raise InvalidInput("bounds", dict(changed), "must be pairs of a lower and a higher number")
    return low, high


class _Surface:
    """The quotes, and the model's volatilities with their slopes at the parameters asked for last."""

    def __init__(
        self,
        *,
        spot: float,
        expiry: ArrayLike,
        strike: ArrayLike,
        implied_vol: ArrayLike,
        log_growth: ArrayLike | Callable[[FloatArray], ArrayLike],
        weight: ArrayLike,
    ):
        growth = log_growth(np.asarray(expiry, dtype=np.float64)) if callable(log_growth) else log_growth
        given = {"expiry": expiry, "strike": strike, "implied_vol": implied_vol, "log_growth": growth, "weight": weight}
        arrays = np.broadcast_arrays(*(np.asarray(values, dtype=np.float64) for values in given.values()))
        for name, values in zip(given, arrays, strict=True):
            floor = {"log_growth": -np.inf, "weight": -1e-300}.get(name, 0.0)
            if not np.all(wrong := np.isfinite(values) & (values > floor)):
                raise InvalidInput(name, float(values[~wrong][0]), "must be finite, and positive or a weight of zero")
        self.expiry, self.strike, self.quoted, log_growths, self.weight = (values.ravel().copy() for values in arrays)
        self.forward = spot * np.exp(log_growths)
        if len(self.expiry) < len(PARAMETERS) or not self.weight.any():
            raise InvalidInput("quotes", len(self.expiry), f"must be at least {len(PARAMETERS)}, not all of weight zero")
        dates = np.stack((self.expiry, self.forward), axis=1)
        self._dates, date = np.unique(dates, axis=0, return_inverse=True)
        self._date = date.ravel()  # NumPy 2.0 alone makes it a column
        value, _ = self._black(self.quoted)
        if np.any(tiny := value < _TINY_VALUE * self.forward):
            i = int(np.argmax(tiny))
            raise InvalidInput(
                "implied_vol",
                float(self.quoted[i]),
                f"makes the strike {self.strike[i]:g} at {self.expiry[i]:g} years worthless, so no model can be "
                "fitted to it; leave the quote out",
            )
        self.evaluations = 0
        self._at = np.full(len(PARAMETERS), np.nan)
        self._vols, self._slopes = np.empty_like(self.expiry), np.empty((len(self.expiry), len(PARAMETERS)))

    def guesses(self) -> list[dict[str, float]]:
        """A quiet, an ordinary and a wild model between the variances at the money of the first and the last expiry."""
        moneyness = np.log(self.strike / self.forward)
        first, last = (float(self.quoted[np.lexsort((np.abs(moneyness), side * self.expiry))[0]]) ** 2 for side in (1.0, -1.0))
        skew = -0.5 if np.cov(moneyness, self.quoted)[0, 1] <= 0.0 else 0.5
        pairs = ((4.0, 1.0), (1.0, 0.4), (12.0, 3.0))
        return [{"v0": first, "kappa": kappa, "theta": last, "xi": xi, "rho": skew} for kappa, xi in pairs]

    def vols(self, parameters: FloatArray) -> FloatArray:
        """The model's implied volatilities."""
        self._evaluate(parameters)
        return self._vols

    def residuals(self, parameters: FloatArray) -> FloatArray:
        """Weighted errors in volatility points."""
        self._evaluate(parameters)
        return np.asarray(100.0 * np.sqrt(self.weight) * (self._vols - self.quoted), dtype=np.float64)

    def jacobian(self, parameters: FloatArray) -> FloatArray:
        """Slopes of the residuals, [quote, parameter]."""
        self._evaluate(parameters)
        return np.asarray(100.0 * np.sqrt(self.weight)[:, None] * self._slopes, dtype=np.float64)

    def _black(self, vols: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Undiscounted price of the option out of the money, and its vega."""
        terms = {"spot": self.forward, "strike": self.strike, "expiry": self.expiry, "log_growth": 0.0}
        call, put = (black_scholes.european(option=kind, vol=vols, log_discount=0.0, **terms) for kind in ("call", "put"))
        return np.minimum(call["price"], put["price"]), call["vega"]

    def _evaluate(self, parameters: FloatArray) -> None:
        if np.array_equal(parameters, self._at):
            return
        model = dict(zip(PARAMETERS, map(float, parameters), strict=True))
        value, slopes = np.empty_like(self.expiry), np.empty_like(self._slopes)
        for i, (expiry, forward) in enumerate(self._dates):
            own = self._date == i
            greeks = heston_fourier.european(
                option="put",
                spot=float(forward),
                strike=self.strike[own],
                expiry=float(expiry),
                log_growth=0.0,
                log_discount=0.0,
                **model,
            )
            value[own] = greeks["price"] - np.maximum(self.strike[own] - forward, 0.0)
            slopes[own] = np.stack([greeks[f"d_{name}"] for name in PARAMETERS], axis=1)
        lowest, highest = _TINY_VALUE * self.forward, (1.0 - _TINY_VALUE) * np.minimum(self.forward, self.strike)
        vols = vol_of_price(
            option=np.where(self.strike < self.forward, "put", "call"),
            price=np.clip(value, lowest, highest),
            spot=self.forward,
            strike=self.strike,
            expiry=self.expiry,
            log_growth=0.0,
            log_discount=0.0,
        )
        _, vega = self._black(vols)
        tells = (value > lowest) & (value < highest)  # beyond, the volatility is held and does not move
        self._vols, self._slopes = vols, np.where(tells[:, None], slopes / vega[:, None], 0.0)
        self._at = np.array(parameters, dtype=np.float64)
        self.evaluations += 1
