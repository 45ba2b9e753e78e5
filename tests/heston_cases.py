"""Parameters under which time steps matter: expiry in years, and points that the measured rule asks for."""

from pricers import Heston, Market

MARKET = Market(spot=100.0, rate=0.03)
DAX = Heston(v0=0.1454, kappa=5.8235, theta=0.0711, xi=1.5416, rho=-0.5716)

SEVEN = {
    "xi 1.5, a week": (Heston(v0=0.015, kappa=2.0, theta=0.04, xi=1.5, rho=-0.7), 1 / 52, 21),
    "xi 2, a month": (Heston(v0=0.02, kappa=2.0, theta=0.04, xi=2.0, rho=-0.7), 1 / 12, 49),
    "xi 3, three months": (Heston(v0=0.04, kappa=2.0, theta=0.04, xi=3.0, rho=-0.7), 0.25, 90),
    "kappa 0.1, a year": (Heston(v0=0.04, kappa=0.1, theta=0.01, xi=2.0, rho=-0.7), 1.0, 120),
    "rho -0.9, a year": (Heston(v0=0.04, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9), 1.0, 60),
    "DAX, a month": (DAX, 1 / 12, 16),
    "DAX, a year": (DAX, 1.0, 49),
}
"""`12 xi sqrt(T / v0)` between 16 and 256, rounded up."""

OTHERS = {
    "v0 0": (Heston(v0=0.0, kappa=2.0, theta=0.05, xi=0.5, rho=-0.3), 1.0),
    "v0 tiny": (Heston(v0=0.0004, kappa=2.0, theta=0.05, xi=0.5, rho=-0.3), 0.5),
    "kappa 20": (Heston(v0=0.16, kappa=20.0, theta=0.04, xi=1.0, rho=-0.7), 1.0),
    "ten years": (Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.3, rho=-0.7), 10.0),
}


def strikes(model: Heston, expiry: float) -> tuple[float, ...]:
    """Near the forward, and 0.8 standard deviations to either side."""
    width = 0.8 * (max(model.v0, model.theta) * expiry) ** 0.5
    forward = 100.0 * 2.718281828459045 ** (0.03 * expiry)
    return forward * (1.0 - 0.8 * width), forward, forward * (1.0 + width)
