"""Claims of known worth as controls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from greeks.estimators.estimator import PathEstimator, Recipe, Scene
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.errors import InvalidInput, NotApplicable
from pricers.exact import exact_greeks
from pricers.paths import Paths
from pricers.plan import Plan

__all__ = ["Controlled"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Controlled(PathEstimator):
    r"""An estimator, less what claims of known Greeks explain of it: :math:`Y - \sum_c \beta_c\,(Y_c - \theta_c)`.

    :math:`Y_c` is the same estimator's number for a claim c on the same path and :math:`\theta_c` the claim's Greek by formula, so that
    every control has mean zero. The coefficients are fitted on one half of the paths and applied to the other, which keeps the
    estimate unbiased and its error honest.

    The claims are the contract's `Contract.relatives`: vanillas and digitals at its own strike and barrier, and the geometric Asian
    on the same fixings for an Asian.

    Sources: Glasserman (2004), section 4.1; Kemna and Vorst (1990) for the geometric Asian.

    Parameters
    ----------
    estimator : PathEstimator
        What to control; `LikelihoodRatio` by default.
    by : PathEstimator, optional
        The estimator that differentiates the claims, by default the same. It must look at the same scene.
    claims : tuple of Contract, optional
        To use instead of the relatives. Their dates must be among the contract's: claims on the last date, or on all of them.
    """

    estimator: PathEstimator = field(default_factory=LikelihoodRatio)
    by: PathEstimator | None = None
    claims: tuple[Contract, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.estimator, PathEstimator) or not self.estimator.unbiased:
            raise InvalidInput("estimator", self.estimator, "must be an unbiased estimator on paths, such as LikelihoodRatio()")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The inner estimator's, with what is added to it."""
        return f"{self.estimator.name} with controls" + (f" by {self.by.name}" if self.by is not None else "")

    @property
    def cost(self) -> float:
        """See `PathEstimator.cost`."""
        return self.estimator.cost + 0.5

    def recipe(self, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> Recipe:
        """See `PathEstimator.recipe`; refuses where no claim has a formula."""
        inner = self.estimator.recipe(greek, contract, scene, plan)
        known = [found for claim in self._claims(contract) if (found := self._known(greek, claim, scene, plan))]
        if not known:
            raise NotApplicable(
                f"no control is known for {greek.name} of {contract.family}; use {type(self.estimator).__name__}()"
            )

        def samples(paths: tuple[Paths, ...]) -> tuple[FloatArray, ...]:
            controls = (recipe.samples(paths)[0] - worth for recipe, worth in known)
            return (*inner.samples(paths), *controls)

        return Recipe(
            scenes=inner.scenes,
            samples=samples,
            controls=inner.controls + len(known),
            note=inner.note,
            slopes=inner.slopes or any(recipe.slopes for recipe, _ in known),
        )

    def _claims(self, contract: Contract) -> tuple[Contract, ...]:
        claims = self.claims if self.claims is not None else contract.relatives
        for claim in claims:
            if claim.times not in (contract.times, contract.times[-1:]):
                raise InvalidInput("claims", claim, "must look at the contract's last date or at all of its dates")
        return claims

    def _known(self, greek: Greek, claim: Contract, scene: Scene, plan: Plan) -> tuple[Recipe, float] | None:
        by = self.by if self.by is not None else self.estimator
        try:
            recipe, worth = by.recipe(greek, claim, scene, plan), exact_greeks(claim, scene.model, scene.market)
        except NotApplicable:
            return None
        return (recipe, worth[greek.name]) if greek.name in worth else None
