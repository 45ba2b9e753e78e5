"""Closed and semi-closed forms, as an estimator without error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greeks.estimators.base import Estimator
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.exact import exact_greeks
from pricers.models.scenario import Scenario

__all__ = ["Exact"]


@dataclass(frozen=True, slots=True)
class Exact(Estimator):
    """The formula for this contract under this model, where there is one; see `pricers.exact`."""

    name: ClassVar[str] = "exact"

    def value(self, greek: Greek, contract: Contract, scenario: Scenario) -> float:
        """The Greek.

        Raises
        ------
        NotApplicable
            Where no formula is known; the text names a method that can answer.
        """
        values = exact_greeks(contract, scenario.model, scenario.market)
        if greek.name not in values:
            raise NotApplicable(
                f"the exact {contract.family} under {scenario.model.kind} has no {greek.name}; use LikelihoodRatio()"
            )
        return values[greek.name]

    def refusal(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> str | None:
        """See `Estimator.refusal`."""
        try:
            self.value(greek, contract, scenario)
        except NotApplicable as reason:
            return str(reason)
        return None
