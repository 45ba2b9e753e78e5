"""Gradients and Hessians of expectations."""

from __future__ import annotations

import numpy as np

from greeks.expectation.distributions.distribution import Distribution
from greeks.expectation.estimators.estimator import Estimator
from greeks.expectation.estimators.score_function import ScoreFunction
from greeks.expectation.integrand import Draws, Function
from greeks.expectation.results import Gradient, Hessian, averaged
from pricers.errors import InvalidInput, NotApplicable

__all__ = ["gradient", "hessian"]


def gradient(
    f: Function,
    distribution: Distribution,
    *,
    estimator: Estimator | None = None,
    samples: int,
    rng: int | np.random.Generator,
) -> Gradient:
    r"""Gradient of :math:`E[f(X)]`, X from p(x; theta), by theta, with standard errors.

    Parameters
    ----------
    f : callable
        From draws [sample, *event] (a dict of them for a product) to numbers [sample]. Where f itself depends on the
        parameters, the mean of its own derivative is to be added (it is zero for :math:`f = \ln p`).
    distribution : Distribution
    estimator : Estimator, optional
        `ScoreFunction` by default.
    samples : int
        Draws, at least 3.
    rng : numpy.random.Generator or int
        A generator, or a seed for one. The same seed gives the same draws to every estimator.

    Returns
    -------
    Gradient
        A mapping from parameters' names to values and standard errors in their shape; ``.mean`` is that of f.

    Raises
    ------
    InvalidInput
        Where f returns the wrong shape or something that is not finite.
    NotApplicable
        Where the estimator would be wrong; the text names one that is right.
    """
    method = estimator if estimator is not None else ScoreFunction()
    if not isinstance(method, Estimator):
        raise InvalidInput("estimator", method, "must be an estimator, such as ScoreFunction()")
    draws = Draws(f, distribution, samples, rng)
    numbers = {name: found.adjusted() for name, found in method.numbers(draws).items()}
    reference = {name: found.adjusted() for name, found in method.reference(draws).items()}
    return Gradient(
        {name: averaged(found) for name, found in numbers.items()},
        samples=draws.samples,
        mean=averaged(draws.values),
        estimator=method.name,
        bias={name: averaged(numbers[name] - unbiased) for name, unbiased in reference.items()},
    )


def hessian(
    f: Function,
    distribution: Distribution,
    *,
    estimator: ScoreFunction | None = None,
    samples: int,
    rng: int | np.random.Generator,
) -> Hessian:
    r"""Second derivatives of :math:`E[f(X)]` by the second-order score :math:`\nabla^2 p/p = s s^\top + \nabla^2 \ln p`.

    Its mean is zero too. Parameters are as for `gradient`; the estimator is a `ScoreFunction`, whose baseline applies as it is.

    Returns
    -------
    Hessian
        A mapping from pairs of names: ``found["mean", "std"]``, [*shape of the first, *shape of the second].
    """
    method = estimator if estimator is not None else ScoreFunction()
    if not isinstance(method, ScoreFunction):
        raise NotApplicable(f"second derivatives are by the score only, not by {method!r}; use ScoreFunction()")
    draws = Draws(f, distribution, samples, rng)
    estimates = {}
    for (one, other), curvature in distribution.curvature(draws.x).items():
        a, b = draws.score[one], draws.score[other]
        outer = a.reshape(*a.shape, *[1] * (b.ndim - 1)) * b.reshape(len(b), *[1] * (a.ndim - 1), *b.shape[1:])
        estimates[one, other] = averaged(method.baseline.numbers(draws.values, outer + curvature).adjusted())
    return Hessian(estimates, samples=draws.samples, mean=averaged(draws.values), estimator=method.name, bias={})
