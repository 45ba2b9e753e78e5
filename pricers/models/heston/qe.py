r"""Andersen's quadratic-exponential scheme for Heston's variance, made differentiable in every parameter.

Over a step h, with :math:`m` and :math:`s^2` the exact conditional mean and variance of :math:`V'` given V and
:math:`\psi = s^2/m^2`, both branches are m times a variable of mean one and variance :math:`\psi`, made of the normal Z:

.. math:: X_q = (\sqrt r + \sqrt{1-r}\,Z)^2,\quad r = \sqrt{1-\psi/2}; \qquad
          X_e = x_0 + (1-x_0)\,g\,[E - \ln g]^+,\quad g = \tfrac12\Bigl(\frac{\psi}{(1-x_0)^2} + 1\Bigr),\; E = -\ln\Phi(-Z).

The first is Andersen's quadratic branch with :math:`a = m(1-r),\, b^2 = r/(1-r)`; the second, for :math:`x_0 = 0`, his
exponential branch with :math:`p = 1 - 1/g,\, \beta = 1/(m g)`.

*One step, and smooth.* His switch at :math:`\psi = 1.5` makes :math:`V'` jump as a parameter moves, which no path's
derivative can see. Here :math:`V' = m\,(w X_q + (1-w) X_e)` with a weight w that falls smoothly from 1 at
:math:`\psi = 1.2` to 0 at 1.8. There the two are 0.95 to 0.997 correlated, so their mean has up to 0.6 % too little variance; both are
taken at a :math:`\psi^*` up to 0.009 larger, which makes up for it to 5e-5.

*A floor instead of zero.* His exponential branch stands at exactly zero with probability p. Where a contract looks at the
spot after every step, two zeros in a row leave a log-return without any variance: no density, no score. The floor
:math:`x_0 m` keeps :math:`V + V'` above :math:`x_0 m(0)`, so that scores have moments of every order, at the same mean and
variance (and a third moment nearer to the true one, where V is small).

*Martingale correction.* Andersen's :math:`K_0^*` depends on V, on the branch and on every parameter. With
:math:`A = K_2 + K_4/2` and :math:`L = \ln E[e^{A V'}\,|\,V]` the log-return of a step is :math:`A V' - L - \tfrac12 s^2 + s\,\xi`,
:math:`s^2 = \tfrac12 (1-\rho^2) h (V + V')`: the discounted spot is a martingale because :math:`e^{A V' - L}` has mean one.
With :math:`y = A m`

.. math:: L_q = \frac{y r}{D} - \tfrac12\ln D,\; D = 1 - 2 y (1-r); \qquad
          L_e = y x_0 + \ln\frac{1 - y_1 (g-1)}{1 - y_1 g},\; y_1 = y (1-x_0),

and in between :math:`w L_q + (1-w) L_e + \tfrac12 y^2 (\psi - \psi^*)`, which is right to the second order in y, and in the
third to the hundredth part of it: y is about :math:`\rho\,\xi h/2` there.

*Small xi.* A is about :math:`\rho/\xi`, so that :math:`A V'` is large where its scatter, :math:`\rho\sqrt{V h}`, is not. The
quadratic branch's :math:`q = 1 - r` solves :math:`q = \psi/4 + q^2/2`, and is computed so: the difference alone would lose it below
:math:`\xi` of about 1e-7. What rounding of :math:`A V'` then leaves in a log-return, :math:`\epsilon |\rho| V/\xi`, is held below 1e-8, and
in its slope by :math:`\xi`, :math:`\epsilon |\rho| V/\xi^2`, below 1e-6; smaller :math:`\xi` are refused.

References
----------
- Andersen, "Simple and efficient simulation of the Heston stochastic volatility model", J. Comput. Finance 11(3) (2008).
- Broadie and Kaya, Oper. Res. 54 (2006), for the law of the log-return given the variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable, one_of
from pricers.models.heston.conditional_normal import CHUNK, VariancePath, score_factors, score_term
from pricers.models.heston.one_pass import NOTHING, Program, begin, observe
from pricers.models.heston.parameters import SLOPES, HestonParameters
from pricers.models.heston.qe_coefficients import steps_and_slopes
from pricers.models.heston.scheme import Drivers, Scheme
from pricers.numerics.elementary import fma, horner, log_unguarded, sqrt
from pricers.numerics.kernel import device, kernel
from pricers.numerics.rows import copy
from pricers.numerics.workspace import empty

__all__ = ["QE"]

FloatArray = npt.NDArray[np.float64]

_SMOOTH = (1.2, 1.8, 0.1, 0.4089949196840654, -0.7868546518954512, 0.4180837186334288)
"""Where the switch begins and ends, the floor, and psi* - psi over t^2 (1-t)^2 in powers of t = (1.8 - psi)/0.6, least squares."""

_HARD = (1.5, 1.5 * (1.0 + 1e-12), 0.0, 0.0, 0.0, 0.0)

_ROUNDED, _ROUNDED_SLOPE = 1e-8, 1e-6  # how much rounding may leave in a step's log-return, and in its slope by xi

_TINY = 1e-150  # below it a mean's square is no number; it is taken for zero, where V' is zero too

# -ln Phi(-z) - z**2/2 for z from -1.4 to 8.6 (no normal is larger, and smaller ones stay below ln g) as a polynomial in
# 13.432/(z + 6) - 1.92, to 1e-12: even and odd coefficients.
_HAZARD_EVEN = (
    1.3388318516698654, -0.3267299633390227, 0.08680950020623476, -0.00635903497075359, 0.0007565314120022641,
    0.0010117256351747123, -0.0005034237917674446, 0.0002404831986712076, -7.545767183268111e-05, 1.7943978172181116e-05,
    -1.7628898965683929e-06)  # fmt: skip
_HAZARD_ODD = (
    -1.9164424665528872, -0.08519524483610422, 0.022232807997351018, -0.012828067749502738, 0.003365611161530495,
    -0.0011127809698014647, 0.00022964787534833153, -4.681748078046604e-05, 4.057633352524132e-06, -7.37484862218305e-07)  # fmt: skip


@device
def _hazard(z):
    """-ln Phi(-z), for z above -1.4; what is below counts as -1.4."""
    z = -1.4 if z < -1.4 else z
    x = 13.432 / (z + 6.0) - 1.92
    square = x * x
    return fma(0.5 * z, z, fma(x, horner(square, _HAZARD_ODD), horner(square, _HAZARD_EVEN)))


@device
def _step(m, s2, A, z, hazard, shape):
    """One step from conditional mean and variance: X = V'/m, L, and what their slopes by m and s2 are made of.

    Returns X, Y = dV'/dpsi, L, dL/dy, dL/dpsi, 1/m.
    """
    low, high, floor, c0, c1, c2 = shape
    room = 1.0 - floor
    time_scale = 1.0 / (room * room)
    alive = m > _TINY
    inverse = 1.0 / m if alive else 0.0
    psi = s2 * inverse * inverse
    y = A * m

    width = 1.0 / (high - low)
    t = (high - psi) * width
    t = 0.0 if t < 0.0 else t
    t = 1.0 if t > 1.0 else t
    u = 1.0 - t
    w = t * t * fma(-2.0, t, 3.0)
    w_psi = -6.0 * t * u * width
    bump = fma(fma(c2, t, c1), t, c0)
    near = t * u
    extra = near * near * bump
    extra_psi = -width * near * fma(2.0 * (u - t), bump, near * fma(2.0 * c2, t, c1))
    raised = psi + extra

    # quadratic: X = r + (1 - r) z^2 + 2 sqrt(r (1 - r)) z
    capped = high if raised > high else raised
    r = sqrt(fma(-0.5, capped, 1.0))
    q = 1.0 - r
    q = fma(0.5 * q, q, 0.25 * capped)
    e = sqrt(r * q)
    smooth = fma(2.0 * e, z, fma(q * z, z, r))
    smooth = 0.0 if smooth < 0.0 else smooth
    d = fma(-2.0 * y, q, 1.0)

    # exponential
    outside = psi < low
    held = low if outside else raised
    g = fma(0.5 * time_scale, held, 0.5)
    ye = 0.0 if outside else y * room
    dn = fma(-ye, g, 1.0)
    nn = dn + ye
    excess = hazard - log_unguarded(g)
    jumped = excess > 0.0
    excess_at = excess if jumped else 0.0
    abrupt = fma(room * g, excess_at, floor)

    # all over one division
    second = e * r if e > 0.0 else r
    every = 1.0 / (d * (nn * dn) * second)
    d_inverse = every * ((nn * dn) * second)
    e_inverse = every * (d * second)
    second_inverse = every * (d * (nn * dn))
    log_q = fma(y * r, d_inverse, -0.5 * log_unguarded(d))
    log_e = fma(y, floor, log_unguarded(nn * nn * e_inverse))

    v = 1.0 - w
    x = fma(w, smooth, v * abrupt)
    log_mean = fma(w, log_q, fma(v, log_e, -0.5 * y * y * extra))

    # slopes
    turned = fma(-z, z, 1.0)
    smooth_psi = -0.25 * second_inverse * (fma(turned, e, z * fma(-2.0, r, 1.0)) if e > 0.0 else turned)
    abrupt_psi = 0.5 / room * (excess - 1.0 if jumped else 0.0)
    raised_psi = 1.0 + extra_psi
    x_psi = fma(fma(w, smooth_psi, v * abrupt_psi), raised_psi, w_psi * (smooth - abrupt))
    log_y = fma(w, fma(r * d_inverse, d_inverse, q * d_inverse), v * fma(room, e_inverse, floor)) - y * extra
    yd = y * d_inverse
    log_psi = fma(0.5 * fma(w * yd, yd, v * y * y * e_inverse), raised_psi, fma(w_psi, log_q - log_e, -0.5 * y * y * extra_psi))
    return x, m * x_psi, log_mean, log_y, log_psi, inverse


@device
def _calm(m, s2, A, z):
    """`_step` to the bit where psi is below the switch: the quadratic branch alone, at half the price."""
    inverse = 1.0 / m if m > _TINY else 0.0
    psi = s2 * inverse * inverse
    y = A * m
    r = sqrt(fma(-0.5, psi, 1.0))
    q = 1.0 - r
    q = fma(0.5 * q, q, 0.25 * psi)
    e = sqrt(r * q)
    x = fma(2.0 * e, z, fma(q * z, z, r))
    x = 0.0 if x < 0.0 else x
    d = fma(-2.0 * y, q, 1.0)
    second = e * r if e > 0.0 else r
    every = 1.0 / (d * second)
    d_inverse = every * second
    log_mean = fma(y * r, d_inverse, -0.5 * log_unguarded(d))
    turned = fma(-z, z, 1.0)
    x_psi = -0.25 * (every * d) * (fma(turned, e, z * fma(-2.0, r, 1.0)) if e > 0.0 else turned)
    log_y = fma(r * d_inverse, d_inverse, q * d_inverse)
    yd = y * d_inverse
    return x, m * x_psi, log_mean, log_y, 0.5 * (yd * yd), inverse, psi


_X, _X_PSI, _LOG, _LOG_Y, _LOG_PSI, _INVERSE, _PSI = range(7)
_FEW_Z, _FEW_M, _FEW_S2, _FEW_Y, _FEW_PSI = range(7, 12)
_VARIANCE, _WALKED, _INTEGRAL, _DRIFT = range(12, 16)
_PATH_ROWS = 16
_WHOLE = 8  # paths of a vector, at most


@device
def _stepped(step, z, shape, cost_ns, index, slopes):
    """`_step` of a chunk of paths, among the rows of work [row, path]; its slopes too, where these are wanted.

    Few paths are at or beyond the switch, with the variance near zero. Those are gathered and taken through the whole step together; the
    others need the quadratic branch only.
    """
    m1, m0, s1, s0, A, low = step[0], step[1], step[2], step[3], step[4], shape[0]
    rough = 0
    for path in range(z.size):
        v = cost_ns[_VARIANCE, path]
        x, x_psi, log_mean, log_y, log_psi, inverse, psi = _calm(fma(m1, v, m0), fma(s1, v, s0), A, z[path])
        cost_ns[_X, path], cost_ns[_LOG, path], cost_ns[_PSI, path] = x, log_mean, psi
        if slopes:
            cost_ns[_X_PSI, path], cost_ns[_LOG_Y, path], cost_ns[_LOG_PSI, path], cost_ns[_INVERSE, path] = (
                x_psi,
                log_y,
                log_psi,
                inverse,
            )
        rough += 1 if psi >= low else 0
    if rough == 0:
        return
    count = 0
    for path in range(z.size):
        index[count] = path
        count += 1 if cost_ns[_PSI, path] >= low else 0
    whole = (rough + _WHOLE - 1) // _WHOLE * _WHOLE  # whole vectors, filled up with the first again
    for k in range(rough, whole):
        index[k] = index[0]
    for k in range(whole):
        path = index[k]
        v = cost_ns[_VARIANCE, path]
        cost_ns[_FEW_Z, k], cost_ns[_FEW_M, k], cost_ns[_FEW_S2, k] = z[path], fma(m1, v, m0), fma(s1, v, s0)
    for k in range(whole):
        z_k = cost_ns[_FEW_Z, k]
        x, x_psi, log_mean, log_y, log_psi, _ = _step(cost_ns[_FEW_M, k], cost_ns[_FEW_S2, k], A, z_k, _hazard(z_k), shape)
        cost_ns[_FEW_Z, k], cost_ns[_FEW_M, k] = x, log_mean
        if slopes:
            cost_ns[_FEW_S2, k], cost_ns[_FEW_Y, k], cost_ns[_FEW_PSI, k] = x_psi, log_y, log_psi
    for k in range(rough):
        path = index[k]
        cost_ns[_X, path], cost_ns[_LOG, path] = cost_ns[_FEW_Z, k], cost_ns[_FEW_M, k]
        if slopes:
            cost_ns[_X_PSI, path] = cost_ns[_FEW_S2, k]
            cost_ns[_LOG_Y, path], cost_ns[_LOG_PSI, path] = cost_ns[_FEW_Y, k], cost_ns[_FEW_PSI, k]


@kernel
def _evolve(
    v0, shape, steps, kept_points, shocks, normals, walk, integral, drift, share, starts, items, ends, levels, places, out
):
    r"""Variance paths of a block, as the sums that spots are made of, or what is seen of the spots.

    steps is [grid point, 6]: slope and constant of m, of s2 (both linear in V), A, and h/2. shocks and normals are [grid point, path].
    At the grid points ``kept_points``, into walk, integral and drift [row, path] go the sums of :math:`\sqrt{I}\,z`, of
    :math:`I = h (V + V')/2` and of :math:`A V' - L`; or, if those have no rows, into ``out`` what a program makes of them (see
    `pricers.models.heston.one_pass`; share is 1 - rho^2).
    """
    keep, root, less = walk.shape[0] > 0, math.sqrt(share), -0.5 * share
    cost_ns, index = np.empty((_PATH_ROWS, CHUNK)), np.empty(CHUNK + 1, np.int64)
    begin(places, out)
    for first in range(0, normals.shape[1], CHUNK):
        width = min(CHUNK, normals.shape[1] - first)
        cost_ns[:] = 0.0
        cost_ns[_VARIANCE] = v0
        row = 0
        for t in range(kept_points[-1] + 1):
            z, b = normals[t, first : first + width], shocks[t, first : first + width]
            _stepped(steps[t], z, shape, cost_ns, index, False)
            m1, m0, A, half = steps[t, 0], steps[t, 1], steps[t, 4], steps[t, 5]
            for path in range(width):
                v = cost_ns[_VARIANCE, path]
                after = fma(m1, v, m0) * cost_ns[_X, path]
                area = half * (v + after)
                cost_ns[_VARIANCE, path] = after
                cost_ns[_WALKED, path] += math.sqrt(area) * b[path]
                cost_ns[_INTEGRAL, path] += area
                cost_ns[_DRIFT, path] += fma(A, after, -cost_ns[_LOG, path])
            if t != kept_points[row]:
                continue
            if keep:
                copy(cost_ns[_WALKED, :width], walk[row, first : first + width])
                copy(cost_ns[_INTEGRAL, :width], integral[row, first : first + width])
                copy(cost_ns[_DRIFT, :width], drift[row, first : first + width])
            else:
                for path in range(width):
                    cost_ns[_X, path] = fma(
                        root, cost_ns[_WALKED, path], fma(less, cost_ns[_INTEGRAL, path], cost_ns[_DRIFT, path])
                    )
                x, power, rows = cost_ns[_X, :width], cost_ns[_LOG, :width], out[:, first : first + width]
                observe(x, power, starts[row], starts[row + 1], items, ends, levels, places, rows)
            row += 1


# Rows of the one array that a chunk's slopes live in: at constant distances, so that the compiler sees that they do not overlap.
_V, _BOTH, _BY_M, _BY_S, _DRIFT_BY_M, _DRIFT_BY_S, _DRIFT_BY_A = range(16, 23)
_U, _SPREAD, _WIDENED, _WALKED_THEN, _INTEGRAL_THEN = range(23, 28)
_MOVED, _SPENT, _DRIFTED = 28, 34, 40  # of V, of the integral and of the drift by each of `SLOPES`
_SPENT_THEN, _DRIFTED_THEN, _TOTAL = 46, 52, 58  # those at the last watched grid point, and scores
_ROWS = 64
_V0, _KAPPA, _THETA, _XI, _RHO, _TIME = range(6)


@device
def _advance(cost_ns, p, path, on, off, half, push, drift_push, scored):
    """One step of the slopes by parameter p, which itself moves V' by ``push`` and the drift by ``drift_push``."""
    was, i, q = cost_ns[_MOVED + p, path], cost_ns[_SPENT + p, path], cost_ns[_DRIFTED + p, path]
    now = fma(on, was, push)
    ends = was + now + cost_ns[_BOTH, path] if p == _TIME else was + now
    i_now, q_now = fma(half, ends, i), fma(off, was, q + drift_push)
    cost_ns[_MOVED + p, path], cost_ns[_SPENT + p, path], cost_ns[_DRIFTED + p, path] = now, i_now, q_now
    if scored:
        cost_ns[_TOTAL + p, path] = score_term(
            q_now - q, i_now - i, cost_ns[_U, path], cost_ns[_SPREAD, path], cost_ns[_TOTAL + p, path]
        )


@device
def _move(cost_ns, width, step, k, alone, scored):
    """One step of all slopes, or of that by v0 ``alone``; ``scored``: with it ends an interval that it is the whole of."""
    m1, s1, s0, half = step[0], step[2], step[3], step[5]
    if alone:
        for path in range(width):
            on = fma(cost_ns[_BY_M, path], m1, cost_ns[_BY_S, path] * s1)
            off = fma(cost_ns[_DRIFT_BY_M, path], m1, cost_ns[_DRIFT_BY_S, path] * s1)
            _advance(cost_ns, _V0, path, on, off, half, 0.0, 0.0, scored)
        return
    for path in range(width):
        v, a, b = cost_ns[_V, path], cost_ns[_BY_M, path], cost_ns[_BY_S, path]
        c, d, e = cost_ns[_DRIFT_BY_M, path], cost_ns[_DRIFT_BY_S, path], cost_ns[_DRIFT_BY_A, path]
        on, off = fma(a, m1, b * s1), fma(c, m1, d * s1)
        _advance(cost_ns, _V0, path, on, off, half, 0.0, 0.0, scored)
        dm, ds = fma(k[0], v, k[1]), fma(k[2], v, k[3])
        _advance(cost_ns, _KAPPA, path, on, off, half, fma(a, dm, b * ds), fma(c, dm, fma(d, ds, e * k[4])), scored)
        _advance(cost_ns, _THETA, path, on, off, half, fma(a, k[5], b * k[6]), fma(c, k[5], d * k[6]), scored)
        ds = k[7] * fma(s1, v, s0)
        _advance(cost_ns, _XI, path, on, off, half, b * ds, fma(d, ds, e * k[8]), scored)
        dm, ds = fma(k[10], v, k[11]), fma(k[12], v, k[13])
        _advance(cost_ns, _TIME, path, on, off, half, fma(a, dm, b * ds), fma(c, dm, fma(d, ds, e * k[14])), scored)
        q = cost_ns[_DRIFTED + _RHO, path]  # rho moves no variance
        q_now = fma(e, k[9], q)
        cost_ns[_DRIFTED + _RHO, path] = q_now
        if scored:
            total = score_term(q_now - q, 0.0, cost_ns[_U, path], cost_ns[_SPREAD, path], cost_ns[_TOTAL + _RHO, path])
            cost_ns[_TOTAL + _RHO, path] = total + cost_ns[_WIDENED, path]


@kernel
def _evolve_moved(
    v0,
    shape,
    steps,
    slopes,
    kept_points,
    shocks,
    normals,
    walk,
    integral,
    drift,
    places,
    share,
    widening,
    scores,
    drifts,
    integrals,
):
    r"""The same, and how the path moves with every one of `SLOPES`; what stands at ``places`` among them is handed out.

    slopes is [grid point, 15], how the steps move (see `steps_and_slopes`); share is 1 - rho^2 and widening its slope by rho. If drifts and
    integrals [place, row, path] have rows, the derivatives of drift and integral at the watched grid points go there; if not, scores
    [place, path] of returns between these grid points are added up.
    """
    keep, alone = drifts.shape[1] > 0, len(places) == 1 and places[0] == _V0
    scale, inverse_share = 1.0 / math.sqrt(share), 1.0 / share
    cost_ns, index = np.empty((_ROWS, CHUNK)), np.empty(CHUNK + 1, np.int64)
    for first in range(0, normals.shape[1], CHUNK):
        last = min(first + CHUNK, normals.shape[1])
        width = last - first
        cost_ns[:] = 0.0
        cost_ns[_VARIANCE], cost_ns[_MOVED] = v0, 1.0
        row, then = 0, -1
        for t in range(kept_points[-1] + 1):
            m1, m0, s1, s0, A, half = steps[t, 0], steps[t, 1], steps[t, 2], steps[t, 3], steps[t, 4], steps[t, 5]
            z, b = normals[t, first:last], shocks[t, first:last]
            _stepped(steps[t], z, shape, cost_ns, index, True)
            for path in range(width):
                v = cost_ns[_VARIANCE, path]
                m, s2 = fma(m1, v, m0), fma(s1, v, s0)
                x, x_psi, inverse = cost_ns[_X, path], cost_ns[_X_PSI, path], cost_ns[_INVERSE, path]
                log_y, log_psi = cost_ns[_LOG_Y, path], cost_ns[_LOG_PSI, path]
                after = m * x
                area = half * (v + after)
                psi_s = inverse * inverse
                psi_m = -2.0 * s2 * inverse * psi_s
                v_m, v_s = fma(x_psi, psi_m, x), x_psi * psi_s
                cost_ns[_V, path] = v
                cost_ns[_BOTH, path] = v + after
                cost_ns[_BY_M, path] = v_m
                cost_ns[_BY_S, path] = v_s
                cost_ns[_DRIFT_BY_M, path] = fma(A, v_m - log_y, -log_psi * psi_m)
                cost_ns[_DRIFT_BY_S, path] = fma(A, v_s, -log_psi * psi_s)
                cost_ns[_DRIFT_BY_A, path] = fma(-m, log_y, after)
                cost_ns[_VARIANCE, path] = after
                cost_ns[_WALKED, path] += math.sqrt(area) * b[path]
                cost_ns[_INTEGRAL, path] += area
                cost_ns[_DRIFT, path] += fma(A, after, -cost_ns[_LOG, path])
            seen = t == kept_points[row]
            if seen and not keep:
                for path in range(width):
                    area = cost_ns[_INTEGRAL, path] - cost_ns[_INTEGRAL_THEN, path]
                    walked = cost_ns[_WALKED, path] - cost_ns[_WALKED_THEN, path]
                    u, spread = score_factors(walked, area, scale, inverse_share)
                    cost_ns[_U, path], cost_ns[_SPREAD, path], cost_ns[_WIDENED, path] = (
                        u,
                        share * spread,
                        widening * area * spread,
                    )
                    cost_ns[_WALKED_THEN, path], cost_ns[_INTEGRAL_THEN, path] = cost_ns[_WALKED, path], cost_ns[_INTEGRAL, path]
            if seen and not keep and then == t - 1:
                _move(cost_ns, width, steps[t], slopes[t], alone, True)
            else:
                _move(cost_ns, width, steps[t], slopes[t], alone, False)
            if not seen:
                continue
            w, i, q = walk[row, first:last], integral[row, first:last], drift[row, first:last]
            for path in range(width):
                w[path], i[path], q[path] = cost_ns[_WALKED, path], cost_ns[_INTEGRAL, path], cost_ns[_DRIFT, path]
            if keep:
                for p in range(len(places)):
                    i, i_now = integrals[p, row, first:last], cost_ns[_SPENT + places[p]]
                    for path in range(width):
                        i[path] = i_now[path]
                    q, q_now = drifts[p, row, first:last], cost_ns[_DRIFTED + places[p]]
                    for path in range(width):
                        q[path] = q_now[path]
            elif then < t - 1:
                for p in range(1 if alone else len(SLOPES)):
                    for path in range(width):
                        dq = cost_ns[_DRIFTED + p, path] - cost_ns[_DRIFTED_THEN + p, path]
                        di = cost_ns[_SPENT + p, path] - cost_ns[_SPENT_THEN + p, path]
                        total = score_term(dq, di, cost_ns[_U, path], cost_ns[_SPREAD, path], cost_ns[_TOTAL + p, path])
                        cost_ns[_TOTAL + p, path] = total + cost_ns[_WIDENED, path] if p == _RHO else total
            row += 1
            then = t
            if not keep and row < len(kept_points) and kept_points[row] > t + 1:
                for p in range(_SPENT, _SPENT_THEN):
                    copy(cost_ns[p], cost_ns[p + _SPENT_THEN - _SPENT])
        if not keep:
            for p in range(len(places)):
                copy(cost_ns[_TOTAL + places[p], :width], scores[p, first:last])


@dataclass(frozen=True, slots=True)
class QE(Scheme):
    """Andersen's quadratic-exponential scheme with the martingale correction; see the module for what is different here.

    Attributes
    ----------
    switch : {"smooth", "hard"}
        How the two branches are joined. "hard" is Andersen's scheme to the letter, with a switch at psi = 1.5 and a variance that can
        stand at zero: kept for comparison. Its derivatives by v0, kappa, theta, xi and time miss the jump at the switch, and differences
        across it are noisy.
    """

    switch: str = "smooth"

    def __post_init__(self) -> None:
        one_of("switch", self.switch, ("smooth", "hard"))

    def evolve(self, model: HestonParameters, drivers: Drivers, *, parameters: tuple[str, ...], slopes: bool) -> VariancePath:
        """See `Scheme.evolve`."""
        _require_resolved(model)
        steps, moves = steps_and_slopes(model.kappa, model.theta, model.xi, model.rho, drivers.time_grid, drivers.time_scale)
        slopes = slopes or self.switch == "hard"  # only slopes can say of an interval without variance that it does not matter
        path = VariancePath.blank(len(drivers.grid_points), drivers.n_paths, parameters, slopes=slopes)
        sums = path.walk, path.integral, path.drift
        if parameters:
            places = np.array([SLOPES.index(name) for name in parameters])
            share = 1.0 - model.rho**2, -2.0 * model.rho
            outs = path.scores, path.drifts, path.integrals
            _evolve_moved(model.v0, self._shape, steps, moves, drivers.grid_points, *drivers.noise, *sums, places, *share, *outs)
        else:
            _evolve(model.v0, self._shape, steps, drivers.grid_points, *drivers.noise, *sums, *_NO_PROGRAM)
        return path

    def summarise(self, model: HestonParameters, drivers: Drivers, program: Program) -> FloatArray:
        """See `Scheme.summarise`: in the pass that makes the paths, which are not kept."""
        _require_resolved(model)
        steps, _ = steps_and_slopes(model.kappa, model.theta, model.xi, model.rho, drivers.time_grid, drivers.time_scale)
        rows, seen = program.entries[0], program.entries[1:]
        grid_points, kept, out = drivers.grid_points[rows], np.empty((3, 0, 0)), empty((len(program.outs), drivers.n_paths))
        _evolve(
            model.v0, self._shape, steps, grid_points, *drivers.noise, kept[0], kept[1], kept[2], 1.0 - model.rho**2, *seen, out
        )
        return out

    def require_slope_by_xi(self, model: HestonParameters) -> None:
        """See `Scheme.require_slope_by_xi`."""
        if _rounding(model) > _ROUNDED_SLOPE * model.xi:
            raise NotApplicable(
                f"QE divides by xi squared in d_xi, and at xi {model.xi:g} rounding is all that would be left; use Exact() or "
                "scheme=FullTruncationEuler()"
            )

    @property
    def _shape(self) -> tuple[float, ...]:
        return _SMOOTH if self.switch == "smooth" else _HARD


def _rounding(model: HestonParameters) -> float:
    """What rounding leaves of :math:`A V'` in the log-return of a step."""
    return 2.0**-52 * abs(model.rho) * max(model.v0, model.theta) / model.xi


def _require_resolved(model: HestonParameters) -> None:
    if _rounding(model) > _ROUNDED:
        raise NotApplicable(
            f"QE divides by xi, and at xi {model.xi:g} rounding is left in the place of the spot's correlation with the variance; use "
            "Exact(), scheme=FullTruncationEuler(), or GBM(): the variance is not random"
        )


_NO_PROGRAM = 1.0, *NOTHING.entries[1:], np.empty((0, 0))
