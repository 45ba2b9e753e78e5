"""The choice between estimators, made by a pilot run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from greeks.estimators.base import Estimator, PathEstimator, SampleSpec
from greeks.estimators.conditional import Conditional
from greeks.estimators.controlled import Controlled
from greeks.estimators.exact import Exact
from greeks.estimators.importance import ImportanceSampling
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.pathwise import Pathwise
from greeks.estimators.preintegrated import Preintegrated
from greeks.estimators.survival import OneStepSurvival
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, NotApplicable
from pricers.models.scenario import Scenario

__all__ = ["Auto", "Best", "Chosen", "Ranked"]


def _candidates() -> tuple[PathEstimator, ...]:
    return (
        LikelihoodRatio(),
        Controlled(LikelihoodRatio()),
        Pathwise(),
        Controlled(Pathwise()),
        OneStepSurvival(),
        Controlled(OneStepSurvival(), by=Conditional()),
        Conditional(),
        Preintegrated(),
        Controlled(Preintegrated()),
    )


@dataclass(frozen=True, slots=True)
class Auto(Estimator):
    """Whichever unbiased estimator has the least variance times cost for this contract, model and Greek.

    A pilot run on paths of its own (stream "pilot", so that the choice is independent of what is then estimated) gives every
    candidate's variance; its cost is nominal (`PathEstimator.cost_ns`, measured once and written down), not a time of this run, so that the
    same seed makes the same choice. All candidates are tried on so few paths that it takes a twentieth of the cheapest run (1,024 at
    least). Where that leaves unclear which is best, by more than a tenth in variance times cost, those that may be (within four times the
    best) run again on so many that it takes a tenth of the cheapest of theirs.
    A candidate whose error the pilot cannot tell comes behind all whose error it can; where it can tell none, the pilot grows, to a
    quarter of the paths at most, and in the end those that integrate part of the path in closed form come first. The choice and what
    was behind it are in the estimate's note. Where the run does not tell the chosen one's error, the first of the others whose error
    the same paths do tell makes the number, and the note says so. What has a formula is not asked: see `Best`.

    Attributes
    ----------
    pilot : int
        Most paths of a pilot run.
    candidates : tuple of PathEstimator
        Unbiased ones; those that refuse are passed over.
    rare : PathEstimator, optional
        Tried as well where by all of them a few hundred paths of the run at most would carry a Greek: its search takes longer than a pilot.
    """

    name: ClassVar[str] = "auto"
    pilot: int = 2**13
    candidates: tuple[PathEstimator, ...] = field(default_factory=_candidates)
    rare: PathEstimator | None = field(default_factory=ImportanceSampling)

    @property
    def methods(self) -> frozenset[str]:
        """See `Estimator.methods`."""
        return frozenset({self.name}).union(*(candidate.methods for candidate in self.candidates))

    def __post_init__(self) -> None:
        if not self.candidates or not all(isinstance(c, PathEstimator) and c.unbiased for c in self.candidates):
            raise InvalidInput("candidates", self.candidates, "must be unbiased estimators on paths")


@dataclass(frozen=True, slots=True)
class Best(Estimator):
    """The formula where there is one, else what the pilot of `Auto` chooses.

    Attributes
    ----------
    auto : Auto
    """

    name: ClassVar[str] = "best"
    auto: Auto = field(default_factory=Auto)


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a pilot says of one candidate for one Greek.

    Attributes
    ----------
    estimator : PathEstimator
    score : float
        Variance of a path's number times cost.
    known : bool
        Whether the run will know that variance.
    effective : float
        How many paths of the run will carry the number, about.
    doubt : float
        Relative standard error of the score, by what the pilot saw.
    even : bool
        Whether it is the score on Sobol points.
    """

    estimator: PathEstimator
    score: float
    known: bool = True
    effective: float = math.inf
    doubt: float = 0.0
    even: bool = False


@dataclass(frozen=True, slots=True)
class Chosen(PathEstimator):
    """What `Auto` or `Best` became: for each Greek the formula's number, or the candidates, best first, or what stopped the pilot.

    Attributes
    ----------
    name : str
        Of what was asked for.
    ranking : mapping of str to tuple of Ranked
    formulas : mapping of str to float
    failed : Exception, optional
    sampling : str
        What a pilot found of Sobol points, where they were chosen.
    """

    second_order: ClassVar[None] = None
    name: str  # type: ignore[misc]
    ranking: Mapping[str, tuple[Ranked, ...]]
    formulas: Mapping[str, float] = field(default_factory=dict)
    failed: Exception | None = None
    sampling: str = ""

    def method(self, greek: str) -> Estimator | None:
        """The estimator of a Greek, or None where none answers."""
        if greek in self.formulas:
            return Exact()
        ranking = self.ranking.get(greek)
        return ranking[0].estimator if ranking else None

    @property
    def prepares(self) -> int:  # type: ignore[override]
        """See `PathEstimator.prepares`: of those chosen."""
        return max((ranked[0].estimator.prepares for ranked in self.ranking.values() if ranked), default=0)

    def prepared(
        self, contract: Contract, scenario: Scenario, plan: Plan, *, stream: str, time_grid: tuple[float, ...]
    ) -> PathEstimator:
        """See `PathEstimator.prepared`: those chosen are prepared, each once for all Greeks."""
        ready: dict[str, PathEstimator] = {}
        ranking = {}
        for greek, ranked in self.ranking.items():
            if ranked:
                best = ranked[0].estimator
                if best.name not in ready:
                    ready[best.name] = best.prepared(contract, scenario, plan, stream=stream, time_grid=time_grid)
                ranked = (replace(ranked[0], estimator=ready[best.name]), *ranked[1:])
            ranking[greek] = ranked
        return replace(self, ranking=ranking)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """The best candidate's; what stopped the pilot stops this too."""
        if self.failed is not None:
            raise self.failed
        if not self.ranking.get(greek.name):
            raise NotApplicable(f"no unbiased estimator answers for {greek.name} of {contract.family}; use FiniteDifference()")
        best, *others = self.ranking[greek.name]
        sample_spec = best.estimator.checked_spec(greek, contract, scenario, plan)
        compared = [o for o in others if o.known and best.known and best.score > 0.0 and o.even == best.even]
        behind = ", ".join(f"{other.estimator.name} x{other.score / best.score:.3g}" for other in compared)
        note = f"chosen over {behind} in variance times cost" if behind else "chosen"
        unknown = ", ".join(other.estimator.name for other in others if not other.known)
        if unknown:
            note += f"; the pilot could not tell the error of {unknown}"
        if self.sampling:
            note += f"; {self.sampling}"
        return replace(sample_spec, note=f"{note}; {sample_spec.note}" if sample_spec.note else note)
