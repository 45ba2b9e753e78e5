"""Control variates around an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.domain import FloatArray, real
from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.integrand import Draws, Function, evaluated
from pricers.errors import InvalidInput

__all__ = ["Control", "Controlled"]

_LIMIT, _ENOUGH = 6.0, 1000
"""Standard errors by which a control may miss the mean that it claims, and samples from which on that is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Control:
    r"""A function h whose expectation is known, or that expectation's gradient.

    A known gradient makes :math:`h s - \nabla E[h]` a control, s the score: of one kind with fs, so it takes off much
    where h is close to f. A known mean makes :math:`h - E[h]` one.

    Attributes
    ----------
    function : callable
        h, from draws to numbers [sample].
    mean : float, optional
        E[h].
    gradient : mapping, optional
        The gradient of E[h], for each parameter of the distribution in its shape.
    """

    function: Function
    mean: float | None = None
    gradient: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidInput("function", self.function, "must be a function of draws")
        if self.mean is None and self.gradient is None:
            raise InvalidInput("mean", None, "or gradient of a control must be known")

    def rows(self, draws: Draws) -> dict[str, tuple[FloatArray, ...]]:
        """Controls for each parameter, [sample, *shape]."""
        values = evaluated(self.function, draws.x, "control")
        out: dict[str, tuple[FloatArray, ...]] = {}
        for name, score in draws.score.items():
            column = values.reshape(-1, *[1] * (score.ndim - 1))
            rows = []
            if self.gradient is not None:
                rows.append(column * score - self._known(name, score.shape[1:]))
            if self.mean is not None:
                rows.append(np.broadcast_to(column - self.mean, score.shape))
            for row in rows:
                self._believed(name, row)
            out[name] = tuple(rows)
        return out

    def _known(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        if self.gradient is None or name not in self.gradient:
            raise InvalidInput("gradient", sorted(self.gradient or ()), f"of a control must know the parameter {name}")
        known = real(f"gradient of a control by {name}", self.gradient[name])
        if known.shape != shape:
            raise InvalidInput(f"gradient of a control by {name}", known.shape, f"must have the parameter's shape {shape}")
        return known

    @staticmethod
    def _believed(name: str, row: FloatArray) -> None:
        error = row.std(axis=0) / np.sqrt(len(row))
        if len(row) >= _ENOUGH and (np.abs(row.mean(axis=0)) > _LIMIT * error + 1e-9 * (1.0 + np.abs(row).max())).any():
            raise InvalidInput(
                "control",
                row.mean(axis=0),
                f"has not the expectation that it claims, by {name}; what should be zero has the mean",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled(Estimator):
    """Another estimator's numbers less their regression on controls, each number of each parameter with its own coefficients.

    The regression is joint with the estimator's own controls (`Optimal` baseline, `Rebar`), fitted for each sample on
    the others, and so without bias. Controls vary with the draws, as score function, pathwise and REBAR do.

    Attributes
    ----------
    estimator : Estimator
    controls : sequence of Control
    """

    name: ClassVar[str] = "controlled"
    estimator: Estimator
    controls: Sequence[Control]

    def __post_init__(self) -> None:
        if not isinstance(self.estimator, Estimator):
            raise InvalidInput("estimator", self.estimator, "must be an estimator, such as ScoreFunction()")
        object.__setattr__(self, "controls", tuple(self.controls))
        if not self.controls or not all(isinstance(control, Control) for control in self.controls):
            raise InvalidInput("controls", self.controls, "must be a sequence of Control")

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        rows = [control.rows(draws) for control in self.controls]
        return {
            name: Numbers(own.target, own.controls + tuple(row for of in rows for row in of[name]))
            for name, own in self.estimator.numbers(draws).items()
        }

    def reference(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.reference`."""
        return self.estimator.reference(draws)
