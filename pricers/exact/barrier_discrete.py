r"""Single barriers watched at discrete dates under geometric Brownian motion, exactly: recursive quadrature.

The coordinate is :math:`u`, the logarithmic distance from the barrier into the alive side. Between dates the
log-spot moves by a normal, so the value function of a claim killed at the barrier obeys

.. math:: V_{k-1}(u) = \int_0^\infty p_k(u' - u)\, V_k(u')\, du', \qquad k = n, \dots, 1.

- The payoff, with its kink or jump at the strike, meets the last density only: :math:`V_{n-1}` is in closed form.
- Dates 2 to n - 1 carry lattices of equal panels with Gauss-Legendre nodes, one panel edge on the barrier. On such a
  lattice a step is the same matrix for every panel, and the whole step one matrix product. Panel widths are powers of
  two apart, so that lattices of different widths line up.
- The first date serves today's spot alone: its panels lie around it and are refined towards barrier and strike, so a
  first date seconds away costs no more than one a month away.

Greeks are exact derivatives of the recursion: the value function is carried together with its derivatives in
volatility (first and second), rate and maturity, moved by the differentiated densities; those in the spot
differentiate the first density.

References
----------
AitSahlia and Lai, Valuation of discrete barrier and hindsight options, J. Financial Engineering 6 (1997);
Andricopoulos, Widdicks, Duck and Newton, Universal option valuation using quadrature methods, J. Financial Economics
67 (2003); Fusai and Recchioni, Analysis of quadrature methods for pricing discrete barrier options, J. Economic
Dynamics and Control 31 (2007).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pricers.exact.barrier_continuous import Piece, alive_pieces, barrier_kind, vanilla_piece
from pricers.exact.black_scholes import Array, Partials, digital, european, lognormal_tail

_LARGEST_LOG = 600.0  # of a spot whose products with what is around are floats still
_VALUE, _VOL, _VOLGA, _RATE, _MATURITY = range(5)  # rows of the array that the recursion carries
_Transport = Callable[[Array, slice], Array]  # (weights, rows) -> the rows a date earlier, [row, node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How finely the recursion integrates; with the defaults its error is that of rounding.

    Attributes
    ----------
    nodes : int
        Gauss-Legendre nodes in a panel.
    width : float
        Of a panel, at most, in standard deviations of the shorter of the steps into and out of its date: the density
        is Gaussian on the scale of the one, the value function smooth on the scale of the other.
    reach : float
        Standard deviations kept on each side, of a step and of the way from today to a date.
    """

    nodes: int = 16
    width: float = 3.0
    reach: float = 9.0


_STANDARD = Grid()


def barrier(
    *,
    option: str,
    kind: str,
    spot: float,
    strike: float,
    barrier: float,
    vol: float,
    times: npt.ArrayLike,
    log_growth: npt.ArrayLike,
    log_discount: float,
    rebate: float = 0.0,
    cash: float | None = None,
    grid: Grid = _STANDARD,
) -> dict[str, float]:
    r"""Barrier option watched at every date in ``times``, the last included; payoff and rebate are paid there.

    Today's spot is not watched: beyond the barrier the option lives until the first date. Dates may be uneven; the
    work grows with their number and with the ratio of the longest interval to the shortest one after the first.
    Rounding is divided by the first step's variance in gamma: with a first date seconds away about 1e-9 remain.

    Parameters
    ----------
    option : str
        ``"call"`` or ``"put"``.
    kind : str
        ``"down-and-out"``, ``"down-and-in"``, ``"up-and-out"`` or ``"up-and-in"``.
    spot, strike, barrier, rebate : float
        In one currency, the first three positive. The rebate is paid at the last date if the option was knocked out,
        or never in.
    vol : float
        Per square root of a year, positive.
    times : array, shape (time,)
        Dates watched, in years, positive and increasing.
    log_growth : array, shape (time,)
        :math:`\ln(F(t_k)/S_0)`.
    log_discount : float
        To the last date.
    cash : float, optional
        Makes the payoff this amount of cash if the option ends in the money.
    grid : Grid
        Fineness of the quadrature.

    Returns
    -------
    dict
        price, delta, gamma, vega, rho, theta, dividend_rho, vanna, volga; conventions of
        :func:`pricers.exact.black_scholes.european`, all dates scaling with maturity in theta.

    Raises
    ------
    ArithmeticError
        Where the payoff is not bounded on the alive side and spots beyond 1e260 carry its value.
    """
    t = np.asarray(times, dtype=np.float64)
    growth = np.asarray(log_growth, dtype=np.float64)
    maturity, total_growth = float(t[-1]), float(growth[-1])
    direction, knocks_in = barrier_kind(kind)

    discount = math.exp(log_discount)
    terms = {"spot": spot, "strike": strike, "vol": vol, "expiry": maturity}
    rates = {"log_growth": total_growth, "log_discount": log_discount}
    vanilla = european(option=option, **terms, **rates) if cash is None else digital(option=option, cash=cash, **terms, **rates)
    bond = dict.fromkeys(vanilla, 0.0)
    paid = rebate * discount
    bond |= {"price": paid, "rho": -maturity * paid, "theta": -log_discount / maturity * paid}

    steps = _steps(t, growth, vol)
    log_spot = math.log(spot)
    fate = _fate(direction * (log_spot - math.log(barrier)), direction, steps, grid)
    if fate is not None:
        certain = bond if (fate > 0) == knocks_in else vanilla
        return {name: float(value) for name, value in certain.items()}
    log_barrier = _within_reach(math.log(barrier), log_spot, steps, grid)
    pieces = alive_pieces(
        vanilla=vanilla_piece(option=option, strike=strike, cash=cash),
        direction=direction,
        strike=strike,
        barrier=math.exp(log_barrier),
        rebate=rebate,
    )
    claim = _Claim(pieces, direction, math.log(strike), log_barrier)
    alive = _recursion(claim, steps, log_spot, grid)
    undiscounted = {
        "price": alive.value[_VALUE],
        "delta": alive.slope / spot,
        "gamma": alive.convexity / spot**2,
        "vega": alive.value[_VOL],
        "rho": alive.value[_RATE] - maturity * alive.value[_VALUE],
        "theta": -alive.value[_MATURITY] - log_discount / maturity * alive.value[_VALUE],
        "dividend_rho": -alive.value[_RATE],
        "vanna": alive.slope_vol / spot,
        "volga": alive.value[_VOLGA],
    }
    if knocks_in:
        return {name: float(vanilla[name] - discount * value) for name, value in undiscounted.items()}
    return {name: float(discount * value + bond[name]) for name, value in undiscounted.items()}


class _Claim(NamedTuple):
    """What is paid at the last date to a survivor, and where the barrier stands."""

    pieces: list[Piece]
    direction: int  # of the alive side
    log_strike: float
    log_barrier: float

    def distance(self, log_spot: float) -> float:
        return self.direction * (log_spot - self.log_barrier)

    def log_spot(self, u: Array) -> Array:
        return self.log_barrier + self.direction * u


class _Step(NamedTuple):
    """One interval between dates; ``by_`` are derivatives in volatility, rate and maturity."""

    growth: float
    stdev: float
    stdev_by_vol: float
    growth_by_rate: float
    growth_by_maturity: float
    stdev_by_maturity: float
    mean: float  # of the logarithm of spot over today's, at the end of the interval
    spread: float  # its standard deviation


class _AtSpot(NamedTuple):
    value: Array  # [row]
    slope: float  # S d/dS
    convexity: float  # S^2 d2/dS2
    slope_vol: float  # S d2/dS dvol


class _Lattice(NamedTuple):
    """Equal panels in u, counted from the barrier."""

    width: float
    first: int
    panels: int


class _Scheme(NamedTuple):
    """Gauss-Legendre nodes and weights on a panel from 0 to 1, the alive side, and the grid's two lengths."""

    nodes: Array
    weights: Array
    direction: int
    width: float
    reach: float

    def window(self, step: _Step) -> tuple[float, float]:
        """Range of u that a step leads to from zero."""
        drift = self.direction * (step.growth - 0.5 * step.stdev**2)
        half = (self.reach + step.stdev) * step.stdev
        return drift - half, drift + half

    def support(self, u0: float, step: _Step) -> tuple[float, float]:
        """Range of u alive at the end of a step, as seen from today; empty if the upper end is not above the lower."""
        centre = u0 + self.direction * step.mean
        half = (self.reach + step.spread) * step.spread  # the summand: far out, a call weighs paths by their spot
        return max(0.0, centre - half), centre + half


def _steps(t: Array, growth: Array, vol: float) -> list[_Step]:
    interval, rise = np.diff(t, prepend=0.0), np.diff(growth, prepend=0.0)
    stdev = vol * np.sqrt(interval)
    columns = (
        rise,
        stdev,
        np.sqrt(interval),
        interval,
        rise / t[-1],
        0.5 * stdev / t[-1],
        growth - 0.5 * vol**2 * t,
        vol * np.sqrt(t),
    )
    return [_Step(*row) for row in np.column_stack(columns).tolist()]


def _fate(u0: float, direction: int, steps: list[_Step], grid: Grid) -> int | None:
    """+1 where no path within reach meets the barrier at any date, -1 where at some date all have passed it, else None.

    The recursion would divide rounding by the first step's variance, only to find that there is nothing to integrate.
    """
    centres = [u0 + direction * step.mean for step in steps]
    halves = [(grid.reach + step.spread) * step.spread for step in steps]
    if all(centre > half for centre, half in zip(centres, halves, strict=True)):
        return 1
    return -1 if any(centre <= -half for centre, half in zip(centres, halves, strict=True)) else None


def _within_reach(log_barrier: float, log_spot: float, steps: list[_Step], grid: Grid) -> float:
    """Bring a barrier that no path meets (infinite, say) to where it is still out of reach but numbers are tame."""
    spread = steps[-1].spread
    far = 2.0 * (grid.reach + spread) * spread + max(abs(step.mean) for step in steps)
    return min(max(log_barrier, log_spot - far), log_spot + far)


def _recursion(claim: _Claim, steps: list[_Step], log_spot: float, grid: Grid) -> _AtSpot:
    """Carry the claim from the last date back to today's spot."""
    last = steps[-1]
    if len(steps) == 1:
        return _first_step(_from_payoff, _last_density(claim, last, np.array([log_spot])), last)

    x, weights = np.polynomial.legendre.leggauss(grid.nodes)
    scheme = _Scheme(0.5 * (x + 1.0), 0.5 * weights, claim.direction, grid.width, grid.reach)
    u0 = claim.distance(log_spot)
    supports = [scheme.support(u0, step) for step in steps]
    if any(high <= low for low, high in supports[:-1]):
        return _AtSpot(np.zeros(5), 0.0, 0.0, 0.0)  # no path within reach survives
    edges = _panels_around_spot(claim, steps, supports[0], scheme)
    widths = np.diff(edges)[:, None]
    u = edges[:-1, None] + widths * scheme.nodes  # [panel, node]

    if len(steps) == 2:
        values = _last_step(claim, last, u.ravel())
    else:
        lattices = _lattices(steps, supports, scheme)
        source = lattices[-1]
        values = _last_step(claim, last, _lattice_nodes(source, scheme))
        for target, step in zip(lattices[-2::-1], steps[-2:1:-1], strict=True):
            values = _sweep(values, source, target, step, scheme)
            source = target
        values = np.concatenate([_gather(values, source, panel, steps[1], scheme) for panel in u], axis=1)

    density = _density(claim.direction * (u - u0).ravel(), steps[0], (widths * scheme.weights).ravel())
    return _first_step(lambda member, rows: values[rows] @ member[:, None], density, steps[0])


def _panels_around_spot(claim: _Claim, steps: list[_Step], support: tuple[float, float], scheme: _Scheme) -> Array:
    """Panel edges for the first date.

    No panel is wider than the first step's density allows. Where the second step is shorter, the value function has
    features on its scale at barrier and strike, and varies on the scale of the distance from them: panels follow.
    """
    low, high = support
    points = np.array([[0.0], [claim.distance(claim.log_strike)]])
    count = math.ceil((high - low) / (scheme.width * steps[0].stdev))
    edges = np.linspace(low, high, count + 1)
    while True:
        left, right = edges[:-1], edges[1:]
        away = np.maximum(np.maximum(left - points, points - right), 0.0).min(axis=0)
        wide = right - left > scheme.width * np.maximum(steps[1].stdev, away / scheme.reach)
        if not wide.any():
            return edges
        edges = np.sort(np.concatenate([edges, 0.5 * (left + right)[wide]]))


def _lattices(steps: list[_Step], supports: list[tuple[float, float]], scheme: _Scheme) -> list[_Lattice]:
    """Lattices for dates 2 to n - 1; every one begins and ends on an edge of the coarsest one's panels."""
    widths = [scheme.width * min(into.stdev, out.stdev) for into, out in pairwise(steps[1:])]
    coarsest = max(widths)
    lattices = []
    for (low, high), width in zip(supports[1:-1], widths, strict=True):
        first, last = math.floor(low / coarsest), math.ceil(high / coarsest)
        fold = 2 ** math.ceil(math.log2(coarsest / width) - 1e-9)  # rounding must not halve equal panels
        lattices.append(_Lattice(coarsest / fold, first * fold, (last - first) * fold))
    return lattices


def _lattice_nodes(lattice: _Lattice, scheme: _Scheme) -> Array:
    panels = np.arange(lattice.first, lattice.first + lattice.panels)
    return (lattice.width * (panels[:, None] + scheme.nodes)).ravel()


def _sweep(values: Array, source: _Lattice, target: _Lattice, step: _Step, scheme: _Scheme) -> Array:
    """Move the value function one date back, from lattice to lattice.

    In periods of the wider panel both lattices repeat, and so does the matrix from a window of the source to one
    period of the target.
    """
    period = max(source.width, target.width)
    per_source, per_target = round(period / source.width), round(period / target.width)
    low, high = scheme.window(step)
    before, after = math.floor(low / period), math.ceil(high / period) + 1
    window = after - before

    size = per_source * len(scheme.nodes)
    first = target.first // per_target + before
    padded = np.zeros((len(values), (target.panels // per_target + window - 1) * size))
    offset = source.first // per_source - first
    start, stop = max(offset * size, 0), min(offset * size + values.shape[1], padded.shape[1])
    if start < stop:
        padded[:, start:stop] = values[:, start - offset * size : stop - offset * size]
    windows = np.ascontiguousarray(sliding_window_view(padded, window * size, axis=1)[:, ::size])

    leaving = _lattice_nodes(_Lattice(target.width, 0, per_target), scheme)
    arriving = _lattice_nodes(_Lattice(source.width, before * per_source, window * per_source), scheme)
    weights = np.tile(source.width * scheme.weights, window * per_source)[:, None]
    density = _density(scheme.direction * (arriving[:, None] - leaving), step, weights)

    def transport(member: Array, rows: slice) -> Array:
        return (windows[rows] @ member).reshape(-1, len(leaving) * windows.shape[1])

    return _chain(transport, density, step)


def _gather(values: Array, source: _Lattice, panel: Array, step: _Step, scheme: _Scheme) -> Array:
    """Move the value function one date back, from a lattice to the nodes of one panel anywhere."""
    low, high = scheme.window(step)
    first = max(math.floor((panel[0] + low) / source.width), source.first)
    last = max(min(math.ceil((panel[-1] + high) / source.width), source.first + source.panels), first)
    arriving = _lattice_nodes(_Lattice(source.width, first, last - first), scheme)
    weights = np.tile(source.width * scheme.weights, last - first)[:, None]
    density = _density(scheme.direction * (arriving[:, None] - panel), step, weights)
    begin = (first - source.first) * len(scheme.nodes)
    near = values[:, begin : begin + len(arriving)]
    return _chain(lambda member, rows: near[rows] @ member, density, step)


def _last_step(claim: _Claim, step: _Step, u: Array) -> Array:
    """Value function one date before the last."""
    return _chain(_from_payoff, _last_density(claim, step, claim.log_spot(u)), step)


def _last_density(claim: _Claim, step: _Step, log_spot: Array) -> Partials:
    """Integrate the claim over the last step, in closed form."""
    edges = {"strike": math.exp(claim.log_strike), "barrier": math.exp(claim.log_barrier)}
    beyond = bool(log_spot.max() + step.growth > _LARGEST_LOG)
    if beyond and any(piece.slope and piece.side > 0 for piece in claim.pieces):
        raise ArithmeticError("paths within reach lead to spots beyond 1e260, and the payoff grows with the spot")
    tails = [
        lognormal_tail(
            forward=np.inf if beyond else np.exp(log_spot) * math.exp(step.growth),
            log_forward=log_spot + step.growth if beyond else None,
            stdev=step.stdev,
            edge=edges[piece.edge],
            side=piece.side,
            slope=piece.slope,
            level=piece.level,
        )
        for piece in claim.pieces
    ]
    return Partials(*(sum(members) for members in zip(*tails, strict=True)))


def _from_payoff(member: Array, rows: slice) -> Array:
    """Transport of the payoff, which depends on no parameter, by a step already integrated."""
    moved = np.zeros((5, len(member)))
    moved[_VALUE] = member
    return moved[rows]


def _density(move: Array, step: _Step, weights: Array) -> Partials:
    r"""Density of a log-spot move, with its derivatives in log-growth and standard deviation, times quadrature weights.

    With :math:`z = (x - g)/s + s/2` and :math:`\psi = (z^2 - 1)/s - z`, the score of s.
    """
    s = step.stdev
    z = (move - step.growth) / s + 0.5 * s
    density = weights * np.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * s)
    score = (z * z - 1.0) / s - z
    by_s = density * score
    return Partials(
        value=density,
        f=density * z / s,
        convexity=by_s / s,
        s=by_s,
        fs=(z * by_s + density * (1.0 - 2.0 * z / s)) / s,
        ss=density * (score * score + (1.0 + 3.0 * z * (s - z)) / s**2 - 1.0),
    )


def _chain(transport: _Transport, density: Partials, step: _Step) -> Array:
    """Value function and derivatives, [row, node], a date earlier: the product rule over density and value."""
    moved = transport(density.value, slice(None))
    by_f = transport(density.f, slice(_VALUE, _VALUE + 1))[0]
    by_s, vol_by_s = transport(density.s, slice(_VALUE, _VOL + 1))
    by_ss = transport(density.ss, slice(_VALUE, _VALUE + 1))[0]
    moved[_VOL] += step.stdev_by_vol * by_s
    moved[_VOLGA] += 2.0 * step.stdev_by_vol * vol_by_s + step.stdev_by_vol**2 * by_ss
    moved[_RATE] += step.growth_by_rate * by_f
    moved[_MATURITY] += step.growth_by_maturity * by_f + step.stdev_by_maturity * by_s
    return moved


def _first_step(transport: _Transport, density: Partials, step: _Step) -> _AtSpot:
    """Value and derivatives at today's spot, those in the spot among them: a density knows the spot by its growth."""
    slope, vol_slope = transport(density.f, slice(_VALUE, _VOL + 1))[:, 0]
    return _AtSpot(
        value=_chain(transport, density, step)[:, 0],
        slope=slope,
        convexity=transport(density.convexity, slice(_VALUE, _VALUE + 1))[0, 0],
        slope_vol=vol_slope + step.stdev_by_vol * transport(density.fs, slice(_VALUE, _VALUE + 1))[0, 0],
    )
