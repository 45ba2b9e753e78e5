"""Claims of known value as controls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, SampleSpec, common_second_order
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, NotApplicable
from pricers.exact import exact_greeks
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.row_operations import empty

__all__ = ["Controlled"]

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-10
"""What an estimator without noise and a formula may differ by, as a share of the value: no control, and not of mean zero."""


def _centre(numbers: FloatArray, value: float) -> None:
    numbers -= value
    numbers[np.abs(numbers) < _ROUNDING * abs(value)] = 0.0


@dataclass(frozen=True, slots=True)
class Controlled(PathEstimator):
    r"""An estimator, less what claims of known Greeks explain of it: :math:`Y - \sum_c \beta_c\,(Y_c - \theta_c)`.

    :math:`Y_c` is the same estimator's number for a claim c on the same path and :math:`\theta_c` the claim's Greek by formula, so that
    every control has mean zero. The coefficients are fitted on one half of the paths and applied to the other, which keeps the
    estimate unbiased and its error honest.

    The claims are the contract's `Contract.control_claims`: vanillas and digitals at its own strike and barrier, and the geometric Asian
    on the same fixings for an Asian.

    Sources: Glasserman (2004), section 4.1; Kemna and Vorst (1990) for the geometric Asian.

    Parameters
    ----------
    estimator : PathEstimator
        What to control; `LikelihoodRatio` by default.
    by : PathEstimator, optional
        The estimator that differentiates the claims, by default the same. It must look at the same scenario.
    claims : tuple of Contract, optional
        To use instead of the control claims. Their dates must be among the contract's: claims on the last date, or on all of them.
    """

    keyword: ClassVar[str] = "controlled"
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
    def methods(self) -> frozenset[str]:
        """See `Estimator.methods`."""
        return frozenset({self.name}).union(
            *(each.methods for each in (self.estimator, *((self.by,) if self.by is not None else ())))
        )

    @property
    def second_order(self) -> frozenset[tuple[str, ...]] | None:  # type: ignore[override]
        """What all that it is made of have."""
        return common_second_order((self.estimator, *((self.by,) if self.by is not None else ())))

    @property
    def structural(self) -> bool:  # type: ignore[override]
        """Whether the inner estimator is."""
        return self.estimator.structural

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: that of the contract and of its claims."""
        by = self.by if self.by is not None else self.estimator
        return self.estimator.cost_ns(contract) + sum(15.0 + by.cost_ns(claim) for claim in self._claims(contract))

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; refuses where no claim has a formula."""
        inner = self.estimator.sample_spec(greek, contract, scenario, plan)
        if inner.reweighting is not None:
            raise NotApplicable("controls are for paths of the nominal law; use ImportanceSampling(Controlled(...)) instead")
        known = [found for claim in self._claims(contract) if (found := self._known(greek, claim, scenario, plan))]
        if not known:
            raise NotApplicable(
                f"no control is known for {greek.name} of {contract.family}; use {type(self.estimator).__name__}()"
            )

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            inner.samples(paths, out[: 1 + inner.controls])
            for row, (sample_spec, value) in enumerate(known, start=1 + inner.controls):
                if sample_spec.controls:
                    scratch = empty((1 + sample_spec.controls, out.shape[1]))
                    sample_spec.samples(paths, scratch)
                    out[row] = scratch[0]
                else:
                    sample_spec.samples(paths, out[row : row + 1])
                _centre(out[row], value)

        return replace(inner, samples=samples, controls=inner.controls + len(known))

    def _claims(self, contract: Contract) -> tuple[Contract, ...]:
        claims = self.claims if self.claims is not None else _control_claims(contract)
        for claim in claims:
            if claim.times not in (contract.times, contract.times[-1:]):
                raise InvalidInput("claims", claim, "must look at the contract's last date or at all of its dates")
        return claims

    def _known(self, greek: Greek, claim: Contract, scenario: Scenario, plan: Plan) -> tuple[SampleSpec, float] | None:
        by = self.by if self.by is not None else self.estimator
        try:
            sample_spec, value = (
                by.sample_spec(greek, claim, scenario, plan),
                exact_greeks(claim, scenario.model, scenario.market),
            )
        except NotApplicable:
            return None
        return (sample_spec, value[greek.name]) if greek.name in value else None


@lru_cache(maxsize=1024)
def _control_claims(contract: Contract) -> tuple[Contract, ...]:
    """A contract's control claims, made once, so that Greeks share what paths say of each."""
    return contract.control_claims
