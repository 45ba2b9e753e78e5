"""Heston's schemes one path at a time, in plain Python and in the papers' own notation: twins of the kernels."""

import math


def _phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


class QEStep:
    """Andersen (2008): one step of the variance, and the log-return given both ends; hard switch, or blended with a floor."""

    LOW, HIGH, FLOOR, BUMP = 1.2, 1.8, 0.1, (0.4089949196840654, -0.7868546518954512, 0.4180837186334288)

    def __init__(self, p, h, smooth=True):
        self.p, self.h, self.smooth = p, h, smooth

    def moments(self, v):
        p, h = self.p, self.h
        e = math.exp(-p["kappa"] * h)
        j = (1.0 - e) / p["kappa"] if p["kappa"] > 0.0 else h
        m = p["theta"] + (v - p["theta"]) * e
        return m, v * p["xi"] ** 2 * e * j + p["theta"] * p["kappa"] * p["xi"] ** 2 / 2.0 * j * j

    def weight(self, psi):
        """Of the quadratic branch, and the psi at which both branches are taken."""
        if not self.smooth:
            return (1.0 if psi <= 1.5 else 0.0), psi
        t = min(max((self.HIGH - psi) / (self.HIGH - self.LOW), 0.0), 1.0)
        c0, c1, c2 = self.BUMP
        return t * t * (3.0 - 2.0 * t), psi + t**2 * (1.0 - t) ** 2 * (c0 + c1 * t + c2 * t**2)

    def quadratic(self, m, psi):
        """a and b, of a (b + Z)^2."""
        b2 = 2.0 / psi - 1.0 + math.sqrt(2.0 / psi) * math.sqrt(2.0 / psi - 1.0)
        return m / (1.0 + b2), math.sqrt(b2)

    def exponential(self, m, psi):
        """Floor, p and beta, of an atom at the floor and an exponential tail beyond it."""
        floor = self.FLOOR if self.smooth else 0.0
        psi = psi / (1.0 - floor) ** 2
        p = (psi - 1.0) / (psi + 1.0)
        return floor * m, p, (1.0 - p) / ((1.0 - floor) * m)

    def next(self, v, z):
        m, s2 = self.moments(v)
        w, psi = self.weight(s2 / m**2)
        value = 0.0
        if w > 0.0:
            a, b = self.quadratic(m, psi)
            value += w * a * (b + z) ** 2
        if w < 1.0:
            floor, p, beta = self.exponential(m, psi)
            value += (1.0 - w) * (floor + max(math.log((1.0 - p) / _phi(-z)) / beta, 0.0))
        return value

    def log_return(self, v, after):
        """Mean and variance of the log-return but for the market's growth, with Andersen's K0*, K1 to K4."""
        p, h = self.p, self.h
        rho, xi = p["rho"], p["xi"]
        k1 = 0.5 * h * (p["kappa"] * rho / xi - 0.5) - rho / xi
        k2 = 0.5 * h * (p["kappa"] * rho / xi - 0.5) + rho / xi
        k3 = k4 = 0.5 * h * (1.0 - rho**2)
        A = k2 + 0.5 * k4
        m, s2 = self.moments(v)
        w, psi = self.weight(s2 / m**2)
        log_mean = 0.5 * (A * m) ** 2 * (s2 / m**2 - psi)
        if w > 0.0:
            a, b = self.quadratic(m, psi)
            log_mean += w * (A * b**2 * a / (1.0 - 2.0 * A * a) - 0.5 * math.log(1.0 - 2.0 * A * a))
        if w < 1.0:
            floor, q, beta = self.exponential(m, psi)
            log_mean += (1.0 - w) * (A * floor + math.log(q + beta * (1.0 - q) / (beta - A)))
        k0 = -log_mean - (k1 + 0.5 * k3) * v
        return k0 + k1 * v + k2 * after, k3 * v + k4 * after


class EulerStep:
    """Lord, Koekkoek and van Dijk (2010)."""

    def __init__(self, p, h):
        self.p, self.h = p, h

    def next(self, v, z):
        p, h, alive = self.p, self.h, max(v, 0.0)
        self._z = z
        return v + p["kappa"] * (p["theta"] - alive) * h + p["xi"] * math.sqrt(alive * h) * z

    def log_return(self, v, after):
        rho, area = self.p["rho"], max(v, 0.0) * self.h
        return -0.5 * area + rho * math.sqrt(area) * self._z, (1.0 - rho**2) * area


def steps(step, p, time_grid, shocks, normals):
    """For each grid point: variance, mean, variance and normal of the log-return of the step that ends there."""
    v, last, out = p["v0"], 0.0, []
    for t, b, z in zip(time_grid, shocks, normals, strict=True):
        one = step(p, t - last)
        after = one.next(v, z)
        mean, variance = one.log_return(v, after)
        out.append((after, mean, variance, b))
        v, last = after, t
    return out


def between(path, index):
    """Mean and variance of the log-return between observed grid points, and the normal that stands for both."""
    out, start = [], 0
    for end in index:
        part = path[start : end + 1]
        variance = math.fsum(s2 for _, _, s2, _ in part)
        noise = math.fsum(math.sqrt(s2) * b for _, _, s2, b in part)
        out.append((math.fsum(m for _, m, _, _ in part), variance, noise / math.sqrt(variance)))
        start = end + 1
    return out


def spots(start, growth, returns):
    x, out, before = math.log(start), [], 0.0
    for g, (mean, variance, xi) in zip(growth, returns, strict=True):
        x += g - before + mean + math.sqrt(variance) * xi
        before = g
        out.append(math.exp(x))
    return out
