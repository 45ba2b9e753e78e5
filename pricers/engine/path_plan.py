"""Which paths a run looks at on one time grid, and the paths of each block of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pricers.models.model import Model, PathSimulator
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.requests import PathRequest, Wanted
from pricers.random_numbers.path_block import Block, ObservationDates
from pricers.random_numbers.tilted import Tilted

__all__ = ["Asked", "BlockPaths", "PathPlan", "View", "plans_by_law"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One scenario's paths at one contract's dates; a run makes one view for all that are alike, and finds its paths by it."""

    scenario: Scenario
    dates: ObservationDates


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sampler asks of a view; ``law`` is the one that its normals come from, where it is not the plan's."""

    view: View
    wanted: Wanted
    law: Tilted | None = None


def _same(dates: ObservationDates) -> ObservationDates:
    return dates


class PathPlan:
    """The simulators of all views on one time grid, each planned with everything that is asked of it.

    Parameters
    ----------
    asked : iterable of Asked
        All under one law.
    dates : callable, optional
        Where a view's dates stand on this grid; by default as the view says.
    """

    __slots__ = ("_planned",)

    def __init__(self, asked: Iterable[Asked], dates: Callable[[ObservationDates], ObservationDates] = _same):
        wanted: dict[View, Wanted] = {}
        for one in asked:
            wanted[one.view] = wanted.get(one.view, Wanted()) | one.wanted
        requests = {
            view: PathRequest(
                market=view.scenario.market, time_scale=view.scenario.time_scale, dates=dates(view.dates), wanted=wants
            )
            for view, wants in wanted.items()
        }
        together: dict[type[Model], dict[Model, list[PathRequest]]] = {}
        for view, request in requests.items():
            model = view.scenario.model
            together.setdefault(type(model), {}).setdefault(model, []).append(request)
        simulators = {kind: kind.simulator(of_kind) for kind, of_kind in together.items()}
        self._planned: dict[View, tuple[PathSimulator, PathRequest]] = {
            view: (simulators[type(view.scenario.model)], request) for view, request in requests.items()
        }

    def paths(self, block: Block, view: View) -> Paths:
        """A view's paths of a block."""
        simulator, request = self._planned[view]
        return simulator.paths(block, request)


def plans_by_law(
    asked: Iterable[Asked], dates: Callable[[ObservationDates], ObservationDates] = _same
) -> dict[Tilted | None, PathPlan]:
    """A plan for each law of the normals."""
    by_law: dict[Tilted | None, list[Asked]] = {None: []}
    for one in asked:
        by_law.setdefault(one.law, []).append(one)
    return {law: PathPlan(together, dates) for law, together in by_law.items()}


class BlockPaths:
    """The paths of one block of random numbers, made when they are asked for.

    Parameters
    ----------
    block : Block
    plans : mapping
        For each law of the normals what is planned; None is the plan's own law.
    """

    __slots__ = ("_law", "_plans", "block")

    def __init__(self, block: Block, plans: Mapping[Tilted | None, PathPlan], law: Tilted | None = None):
        self.block, self._plans, self._law = block, plans, law

    def of(self, view: View) -> Paths:
        """A view's paths; those of neighbours in a book are kept for a while."""
        return self.block.recent(view, lambda: self._plans[self._law].paths(self.block, view))

    def under(self, law: Tilted) -> BlockPaths:
        """The same paths, numbered alike, with normals from another law."""
        return BlockPaths(self.block.under(law), self._plans, law)
