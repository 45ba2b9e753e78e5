"""What every estimator can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Moments
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.requests import Wanted
from pricers.random_numbers.path_block import Block
from pricers.random_numbers.tilted import Tilted

__all__ = [
    "GAMMA",
    "LIKELIHOOD_RATIO",
    "Estimator",
    "PathEstimator",
    "Reweighting",
    "SampleSpec",
    "common_second_order",
    "needs_initial_spot_term",
]

FloatArray = npt.NDArray[np.float64]


def needs_initial_spot_term(greek: Greek, contract: Contract) -> bool:
    r"""Whether payoff times score lacks the payoff's own derivative by today's spot, for :math:`f(S, S_0)`.

    The score is of the path's density. Whoever weighs a payoff by it asks this first, and adds `Contract.initial_spot_derivative`
    times the score by the Greek's other parameter, if it has one.

    Raises
    ------
    NotApplicable
        Where that derivative is not enough: for a payoff that may jump, for payments before the last date, and for gamma, which would
        differentiate the payoff twice.
    """
    if not contract.uses_initial_spot or "spot" not in greek.parameters:
        return False
    if contract.pays_early:
        raise NotApplicable(
            f"{greek.name} of payments before the last date that depend on today's spot itself has no score: use FiniteDifference(), or "
            "give the reference spot as a term, which then stays as it is"
        )
    if greek.parameters == ("spot", "spot"):
        raise NotApplicable(
            f"{greek.name} of a payoff that depends on today's spot itself has no score: use FiniteDifference(), or give the reference "
            "spot as a term, which then stays as it is"
        )
    if contract.discontinuous:
        raise NotApplicable(
            f"{greek.name} of a payoff that depends on today's spot itself is more than payoff times score: use FiniteDifference(), "
            "say continuous=True if it does not jump, or give the reference spot as a term, which then stays as it is"
        )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reweighting:
    """What paths count for that are drawn from another law than the scenario's.

    Attributes
    ----------
    sampling : Tilted, optional
        The law that they are drawn from; None before a search has found it.
    rows : int
        Rows that ``apply`` adds after all others.
    apply : callable
        From the paths, those of ``still``, the block of the former (`pricers.random_numbers.path_block.Block.weights` are what both count
        for) and the sample specification's rows, which it changes: those that the sample specification has filled are weighed, the added
        ones filled.
    verdict : callable
        From the moments of the sample specification's group and the first of the added rows to the reason why the error is not known; ""
        where it is.
    still : Tilted, optional
        The same law with a part of the noise left out (see `Tilted`), where ``apply`` compares the paths with those; else it is given
        none.
    wanted, still_wanted : Wanted
        What ``apply`` asks of the paths and of those of ``still``; it takes a block and is not traced.
    """

    sampling: Tilted | None
    rows: int
    apply: Callable[[tuple[Paths, ...], tuple[Paths, ...], Block, FloatArray], None]
    verdict: Callable[[Moments, int], str]
    still: Tilted | None = None
    wanted: Wanted = field(default_factory=Wanted)
    still_wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """How one Greek of one contract is sampled.

    Attributes
    ----------
    scenarios : tuple of Scenario
        What to simulate, on the same normals.
    samples : callable
        From the paths of each scenario to rows [1 + controls, path], which it fills: one number per path, whose mean is the Greek, then the
        control rows, then the rows that measure the bias.
    controls : int
        Number of control rows, whose mean is known to be zero, for the variance to be reduced by.
    note : str
        What a reader should know about the number besides its error.
    heavy_tails : bool
        Whether paths carry weights without a bound, so that more of them must carry a number for its error to be known.
    exact_if_constant : bool
        Whether a number that is the same on all paths is the Greek itself, because the method integrates out all that is random.
    relative_bias : float
        Order of magnitude of the bias, as a share of the Greek.
    bias_rows : tuple of int
        How many of the last rows measure each bias that the method has. The mean of a row is a size of the bias: of the rows of one bias
        the largest counts, and biases add up. They are reported, and not taken off.
    reweighting : Reweighting, optional
        Where the scenarios' paths are not drawn from the scenarios' own law.
    """

    scenarios: tuple[Scenario, ...]
    samples: Callable[[tuple[Paths, ...], FloatArray], None]
    controls: int = 0
    note: str = ""
    heavy_tails: bool = False
    exact_if_constant: bool = False
    relative_bias: float = 0.0
    bias_rows: tuple[int, ...] = ()
    reweighting: Reweighting | None = None

    def traced(self, paths: tuple[Paths, ...]) -> None:
        """`samples` into rows of its own."""
        self.samples(paths, np.empty((self.rows, paths[0].n_paths)))

    @property
    def rows(self) -> int:
        """How many are filled."""
        return 1 + self.controls + sum(self.bias_rows) + (self.reweighting.rows if self.reweighting is not None else 0)


class Estimator(ABC):
    """A way to a Greek. Frozen; its name says the method."""

    name: ClassVar[str]
    keyword: ClassVar[str] = ""
    """What tables and the command line call it, where that is shorter than its name."""

    unbiased: ClassVar[bool] = True
    """Whether the estimate's mean is the Greek, so that other methods may be held against it."""

    @property
    def methods(self) -> frozenset[str]:
        """The names of all methods that it is made of or may choose among, its own included."""
        return frozenset({self.name})

    def refusal(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> str | None:
        """Why it does not answer, or None where it does or cannot say before a run."""
        return None


class PathEstimator(Estimator):
    """An estimator that gives one number per path, whose mean is the Greek.

    It never averages: standard errors, controls and paired comparisons are made once, for all of them.
    """

    second_order: ClassVar[frozenset[tuple[str, ...]] | None] = frozenset()
    """The second derivatives that it has, by the parameters in their order; None for any."""

    structural: ClassVar[bool] = False
    """Whether it integrates part of the path in closed form, so that its number needs no rare path."""

    prepares: ClassVar[int] = 0
    """Paths that `prepared` simulates, about: a choice counts them with those of the run."""

    def cost_ns(self, contract: Contract) -> float:
        """Nominal nanoseconds for each path beyond its simulation. Nominal, so that the pilot's choice is the same on every machine."""
        return 0.0

    def prepared(
        self, contract: Contract, scenario: Scenario, plan: Plan, *, stream: str, time_grid: tuple[float, ...]
    ) -> PathEstimator:
        """The estimator to run for this contract, after whatever it has to find out first, on random numbers of its own.

        The result depends on these arguments alone: of the plan on its seed and sampling, of the time grid on what is not after the
        contract's last date.
        """
        return self

    @abstractmethod
    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """How to sample ``greek``, a derivative that the method has (`checked_spec` asks for no other).

        Raises
        ------
        NotApplicable
            Where this method would be wrong or cannot answer; the text names one that can.
        """

    def checked_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """`sample_spec`, where the method has this derivative: the one place that guards second order.

        Raises
        ------
        NotApplicable
            Where it has not, or as `sample_spec`.
        """
        if len(greek.parameters) > 1 and self.second_order is not None and greek.parameters not in self.second_order:
            instead = "FiniteDifference()" if LIKELIHOOD_RATIO in self.methods else "LikelihoodRatio() or FiniteDifference()"
            raise NotApplicable(f"{self.name.replace('_', ' ')} has no {greek.name}; use {instead}")
        return self.sample_spec(greek, contract, scenario, plan)

    def refusal(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> str | None:
        """See `Estimator.refusal`."""
        try:
            self.checked_spec(greek, contract, scenario, plan)
        except NotApplicable as reason:
            return str(reason)
        return None


def common_second_order(estimators: Iterable[PathEstimator]) -> frozenset[tuple[str, ...]] | None:
    """The second derivatives that all of them have; None for any."""
    found = [estimator.second_order for estimator in estimators if estimator.second_order is not None]
    return frozenset.intersection(*found) if found else None


LIKELIHOOD_RATIO = "likelihood_ratio"

GAMMA = frozenset({("spot", "spot")})
"""Second order by the spot alone."""
