"""The Bernoulli distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logit

from greeks.expectation.distributions.distribution import Relaxation
from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, inside_unit

__all__ = ["Bernoulli"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bernoulli(Elementwise):
    r"""Variables that are 1.0 with probability p and else 0.0. Weak derivative: 1 less 0, which has no variance for one variable.

    Relaxation (Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017): :math:`x = 1\{z > 0\}` with
    :math:`z = \operatorname{logit} p + \operatorname{logit} u`, and :math:`y = \operatorname{expit}(z/\tau)`. Given x,
    u is uniform on the part of the unit interval that leads to x, and moves with p (Tucker et al. 2017, appendix). The
    derivative by the logit of p is p(1 - p) times that by p.

    Attributes
    ----------
    probability : float or ndarray
        p, strictly between 0 and 1.
    """

    domains: ClassVar = {"probability": inside_unit}
    probability: Any = 0.5

    def _support(self, x: FloatArray) -> Any:
        return (x == 0.0) | (x == 1.0)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        (p,) = values
        return rng.random(shape) < p

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        (p,) = values
        return np.where(x == 1.0, np.log(p), np.log1p(-p))

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        (p,) = values
        return ((x - p) / (p * (1.0 - p)),)

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        (p,) = values
        return {(0, 0): 1.0 / (p * (1.0 - p))}

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        return {"probability": (1.0, 1.0, 0.0)}

    def relaxation(self, rng: np.random.Generator, x: Any, temperature: float) -> Relaxation:
        """See `Distribution.relaxation`."""
        x, p = self._known(x), self.probability
        v = 1.0 - rng.random(x.shape)  # in (0, 1]
        share = np.where(x == 1.0, p, 1.0 - p)  # of the unit interval that leads to x
        near = v * share  # distance of u from the interval's outer end
        z = logit(p) + np.where(x == 1.0, -logit(near), logit(near))
        y = expit(z / temperature)
        bend = y * (1.0 - y) / temperature
        free = 1.0 / (p * (1.0 - p))
        held = free - 1.0 / (share * (1.0 - near))

        def pull(rate: Any, slope: Any) -> dict[str, FloatArray]:
            return {"probability": self._gathered("probability", slope * bend * rate)}

        return Relaxation(point=y, freely=lambda slope: pull(free, slope), given=lambda slope: pull(held, slope))
