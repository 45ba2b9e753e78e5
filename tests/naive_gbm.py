"""Geometric Brownian motion one path at a time, in plain Python: the twin of its kernels."""

import math
from itertools import accumulate


class GBMPath:
    """One path from its normals; densities are differentiated by central differences of their logarithm in long sums."""

    def __init__(self, *, spot, vol, times, growth, normals):
        self.spot, self.vol, self.normals = spot, vol, normals
        self.dt = [b - a for a, b in zip([0.0, *times], times, strict=False)]
        self.growth = [b - a for a, b in zip([0.0, *growth], growth, strict=False)]

    def _moments(self, spot=None, vol=None, rate=0.0, dividend=0.0, time=0.0):
        """Mean and variance of each log-return, the first one's mean with ln(spot)."""
        spot, vol = spot or self.spot, vol or self.vol
        last = sum(self.dt)
        scale = 1.0 + time / last
        means = [scale * (g + (rate - dividend) * dt - 0.5 * vol**2 * dt) for g, dt in zip(self.growth, self.dt, strict=True)]
        means[0] += math.log(spot)
        return means, [scale * vol**2 * dt for dt in self.dt]

    def spots(self):
        means, variances = self._moments()
        steps = [m + math.sqrt(v) * z for m, v, z in zip(means, variances, self.normals, strict=True)]
        return [math.exp(x) for x in accumulate(steps)]

    def score(self, parameter):
        """sum dM xi/s + ds2 (xi^2 - 1)/(2 s^2), the derivatives of M and s^2 by hand."""
        last = sum(self.dt)
        total = 0.0
        for j, (g, dt, z) in enumerate(zip(self.growth, self.dt, self.normals, strict=True)):
            s2, m = self.vol**2 * dt, g - 0.5 * self.vol**2 * dt
            dm, ds2 = {
                "spot": (1.0 / self.spot if j == 0 else 0.0, 0.0),
                "rate": (dt, 0.0),
                "dividend": (-dt, 0.0),
                "vol": (-self.vol * dt, 2.0 * self.vol * dt),
                "time": (m / last, s2 / last),
            }[parameter]
            total += dm * z / math.sqrt(s2) + ds2 * (z * z - 1.0) / (2.0 * s2)
        return total

    def second_score(self, one, other):
        """p'' / p = (ln p)'' + (ln p)' (ln p)', by central differences of the log-density at this path."""
        h = {"spot": 1e-3 * self.spot, "vol": 1e-3 * self.vol}
        x = [math.log(s) for s in self.spots()]
        returns = [b - a for a, b in zip([0.0, *x], x, strict=False)]

        def density(da, db):
            at = {"spot": self.spot, "vol": self.vol}
            at[one] += da
            at[other] += db
            means, variances = self._moments(**at)
            log = sum(-0.5 * math.log(v) - (r - m) ** 2 / (2 * v) for r, m, v in zip(returns, means, variances, strict=True))
            return math.exp(log - self._log0)

        self._log0 = 0.0
        self._log0 = math.log(density(0.0, 0.0))
        a, b = h[one], h[other]
        if one == other:
            fourth = -density(2 * a, 0) - density(-2 * a, 0) + 16 * (density(a, 0) + density(-a, 0)) - 30 * density(0, 0)
            return fourth / (12 * a * a)

        def mixed(k):
            corners = density(k * a, k * b) - density(k * a, -k * b) - density(-k * a, k * b) + density(-k * a, -k * b)
            return corners / (4 * k * k * a * b)

        return (4 * mixed(1) - mixed(2)) / 3

    def tangent(self, parameter):
        """Running sums of dM + ds2 xi / (2 s)."""
        last = sum(self.dt)
        out = []
        for j, (g, dt, z) in enumerate(zip(self.growth, self.dt, self.normals, strict=True)):
            root = math.sqrt(dt)
            out.append(
                {
                    "spot": 1.0 / self.spot if j == 0 else 0.0,
                    "rate": dt,
                    "dividend": -dt,
                    "vol": root * z - self.vol * dt,
                    "time": (g - 0.5 * self.vol**2 * dt) / last + 0.5 * self.vol * root * z / last,
                }[parameter]
            )
        return list(accumulate(out))
