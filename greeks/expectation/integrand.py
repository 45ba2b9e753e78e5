"""The function whose mean is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from greeks.expectation.distributions.distribution import Distribution
from greeks.expectation.domain import FloatArray, whole
from greeks.expectation.tree import leaves, mapped
from pricers.errors import InvalidInput

__all__ = ["Draws", "Function", "evaluated"]

Function = Callable[[Any], npt.ArrayLike]
T = TypeVar("T")


def evaluated(f: Function, x: Any, field: str = "f") -> FloatArray:
    """``f(x)``, [sample], or `InvalidInput` where it is not one finite number for each draw."""
    samples = len(next(leaves(x))[1])
    values = np.asarray(f(x))
    if values.shape != (samples,):
        raise InvalidInput(field, values.shape, f"must return one number for each draw, shape ({samples},); its shape is wrong")
    if values.dtype.kind not in "biuf":
        raise InvalidInput(field, str(values.dtype), "must return real numbers")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        draw = mapped(lambda leaf: leaf[bad[0]], x)
        reason = f"must be finite at every draw; {bad.size} of {samples} are not, the first at x = {draw}"
        raise InvalidInput(field, float(values[bad[0]]), reason)
    return values.astype(float)


class Draws:
    """Draws from a distribution, f of them, and scores; each made once, when first asked for.

    Attributes
    ----------
    distribution : Distribution
    rng : numpy.random.Generator
        Where further random numbers come from.
    x : draws
        [sample, *event], or a dict of them.
    """

    def __init__(self, f: Function, distribution: Distribution, samples: int, rng: int | np.random.Generator):
        if not callable(f):
            raise InvalidInput("f", f, "must be a function of draws")
        if not isinstance(distribution, Distribution):
            raise InvalidInput("distribution", distribution, "must be a distribution, such as Normal(mean=0.0, std=1.0)")
        if isinstance(rng, bool) or not isinstance(rng, (int, np.integer, np.random.Generator)):
            raise InvalidInput("rng", rng, "must be a numpy.random.Generator or a whole number to seed one")
        self.f, self.distribution, self.samples = f, distribution, whole("samples", samples, least=3)
        self.rng = np.random.default_rng(rng)
        self.x = distribution.sample(self.rng, self.samples)
        self._made: dict[Hashable, Any] = {}

    @property
    def values(self) -> FloatArray:
        """F of each draw, [sample]."""
        return self.once("values", lambda: evaluated(self.f, self.x))

    @property
    def score(self) -> dict[str, FloatArray]:
        """The score, by parameter, [sample, *shape]."""
        return self.once("score", lambda: self.distribution.score(self.x))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, made once."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found
