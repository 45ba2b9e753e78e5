"""What is known ahead of a run: which paths will be looked at, and for what."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pricers.draws import Observation
    from pricers.market import Market
    from pricers.models.model import Model
    from pricers.sampling.tilted import Tilted

__all__ = ["Foreseen", "Look", "Needs"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What of some paths will be asked for, so that a model can make it all in one pass. A hint, which changes no number.

    Attributes
    ----------
    summaries : frozenset of str
        Of `pricers.paths.Paths`, such as ``mean``; ``spot`` for the spots of every date.
    scores : frozenset of str
        Parameters that scores are taken by.
    slopes : frozenset of (str, str)
        Summaries and the parameters that they are differentiated by along the path.
    steps : frozenset of str
        Parameters that the tangents or steps of every date are taken by.
    second_order : bool
        Whether what is made of the steps is differentiated twice by the spot.
    """

    summaries: frozenset[str] = frozenset()
    scores: frozenset[str] = frozenset()
    slopes: frozenset[tuple[str, str]] = frozenset()
    steps: frozenset[str] = frozenset()
    second_order: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            summaries=self.summaries | other.summaries,
            scores=self.scores | other.scores,
            slopes=self.slopes | other.slopes,
            steps=self.steps | other.steps,
            second_order=self.second_order or other.second_order,
        )

    @property
    def along(self) -> frozenset[str]:
        """Parameters that paths are differentiated by."""
        return self.steps | {parameter for _, parameter in self.slopes}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One world's paths at one contract's dates, and what they are needed for; see `pricers.models.model.Model.paths`.

    Its ``key`` is what the paths are known by, as long as the look is. ``sampling`` is the law their normals come from, where it is
    not the plan's: what is foreseen of each law is kept apart.
    """

    model: Model
    market: Market
    stretch: float
    observed: Observation
    needs: Needs
    sampling: Tilted | None = None

    key: tuple[int, int, float, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.model, self.market, self.stretch, self.observed))


def _key(model: Model, market: Market, stretch: float, observed: Observation) -> tuple[int, int, float, int]:
    return id(model), id(market), stretch, id(observed)


class Foreseen:
    """The looks at one lattice of a run, those at the same paths taken together.

    Paths are the same where model, market and observation are the same objects: a run interns them.
    """

    __slots__ = ("_looks", "_made")

    def __init__(self, looks: Iterable[Look] = ()):
        self._looks: dict[tuple[int, int, float, int], Look] = {}
        self._made: dict[Hashable, Any] = {}
        for look in looks:
            known = self._looks.get(look.key)
            self._looks[look.key] = look if known is None else replace(known, needs=known.needs | look.needs)

    def __iter__(self) -> Iterator[Look]:
        return iter(self._looks.values())

    def look(self, model: Model, market: Market, stretch: float, observed: Observation) -> Look:
        """The look at these paths; where it was not foreseen, one that needs nothing."""
        found = self._looks.get(_key(model, market, stretch, observed))
        if found is not None:
            return found
        return Look(model=model, market=market, stretch=stretch, observed=observed, needs=Needs())

    def of(self, model: Model, stretch: float) -> Needs:
        """What is needed of all worlds of a model."""
        return reduce(or_, (look.needs for look in self if look.model == model and look.stretch == stretch), Needs())

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, kept for all blocks of the run."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found
