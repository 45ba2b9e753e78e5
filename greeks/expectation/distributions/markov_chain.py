"""Paths of a Markov chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from greeks.expectation.consistency import consistent
from greeks.expectation.distributions.from_density import FromDensity
from greeks.expectation.domain import whole
from pricers.errors import InvalidInput

__all__ = ["MarkovChain"]


class MarkovChain(FromDensity):
    r"""Paths :math:`x_1, \dots, x_T` of a chain: :math:`\ln p(x) = \sum_t \ln p(x_t \mid x_{t-1})`, and the score is such a sum.

    A draw is [sample, time, *state], the start left out; see `FromDensity` for its score.

    Parameters
    ----------
    start : array or callable
        :math:`x_0`, or ``start(**parameters)``: what it depends on is differentiated by through the first step.
    sample : callable
        ``sample(rng, state, time, **parameters)`` gives the next state of each path, [sample, *state]; time counts from 0.
    log_prob : callable
        ``log_prob(following, state, time, **parameters)`` gives the log-density of that step, [sample].
    steps : int
        T.
    parameters : mapping
        Names and values, numbers or arrays.

    Raises
    ------
    InvalidInput
        Where the two do not belong together, as far as `consistent` can see.
    """

    def __init__(
        self,
        *,
        start: Any,
        sample: Callable[..., Any],
        log_prob: Callable[..., Any],
        steps: int,
        parameters: Mapping[str, Any],
    ):
        self._start, self._step, self._log_step = start, sample, log_prob
        self._steps = whole("steps", steps, least=1)
        self._learn(parameters, seed=0)
        consistent(self)

    def sample(self, rng: np.random.Generator, samples: int) -> Any:
        """See `Distribution.sample`."""
        state = self._first(samples, self._parameters)
        path = []
        for time in range(self._steps):
            state = np.asarray(self._step(rng, state, time, **self._parameters))
            if state.ndim < 1 or len(state) != samples:
                raise InvalidInput("sample", state.shape, f"must give the next state of each of {samples} paths")
            path.append(state)
        return np.stack(path, axis=1)

    def _first(self, samples: int, parameters: Mapping[str, Any]) -> Any:
        start = np.asarray(self._start(**parameters) if callable(self._start) else self._start)
        return np.broadcast_to(start, (samples, *start.shape))

    def _density(self, x: Any, parameters: Mapping[str, Any]) -> Any:
        state: Any = self._first(len(x), parameters)
        total: Any = 0.0
        for time in range(self._steps):
            total = total + np.asarray(self._log_step(x[:, time], state, time, **parameters))
            state = x[:, time]
        return total
