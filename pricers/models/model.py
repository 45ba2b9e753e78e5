"""What every model can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pricers.market.market import Market
from pricers.paths.paths import Paths
from pricers.paths.requests import PathRequest
from pricers.random_numbers.path_block import Block, ObservationDates

__all__ = ["Model", "PathSimulator"]


class PathSimulator(ABC):
    """Makes the paths that a run asked for. Blocks come from several threads: what belongs to a block is kept in the block."""

    @abstractmethod
    def paths(self, block: Block, request: PathRequest) -> Paths:
        """The paths of a block for one of the requests that were planned."""


class Model(ABC):
    """Dynamics of one underlying; it knows no contract.

    A model is a deterministic map from addressed normals to `Paths`; its values are frozen, and a bumped one is a new one.
    """

    kind: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]
    """Names of the model's own parameters, each with a Greek ``d_`` + name; GBM has none but vega."""

    factors: ClassVar[int] = 1
    """Independent normals it needs at each grid point."""

    discretised: ClassVar[bool] = False
    """Whether its paths have a bias that falls with the steps between the dates, so that it is measured."""

    cost_ns: ClassVar[tuple[float, float]]
    """Nominal nanoseconds that a path takes for each grid point of its time grid and for each observed date."""

    @abstractmethod
    def time_grid(self, times: tuple[float, ...], steps_per_year: int | None = None, refinement: int = 1) -> tuple[float, ...]:
        """Times at which the model needs random numbers to observe ``times``; they are among them.

        A point depends on no later date. With ``steps_per_year`` steps between dates are equal and at most that long; without, they are
        what the model takes for right. Either way there are ``refinement`` times as many.
        """

    @abstractmethod
    def paths(self, block: Block, dates: ObservationDates, market: Market, time_scale: float = 1.0) -> Paths:
        """Spots at the observed dates for one block, all times multiplied by ``time_scale`` at fixed normals."""

    @classmethod
    def simulator(cls, requests: Mapping[Any, Sequence[PathRequest]]) -> PathSimulator:
        """What makes the paths that a run asks of models of this class, by model; by default `paths`, one request after another."""
        return _OneByOne(requests)

    def require_score(self, parameters: tuple[str, ...]) -> None:  # noqa: B027
        """Raise `NotApplicable` where the law of the paths knows no score or tangent by these, before anything is simulated.

        A model whose laws know all that their docstring promises needs no more than this.
        """

    @abstractmethod
    def bumped(self, parameter: str, by: float) -> Model:
        """This model with ``vol`` or one of `parameters` moved by ``by``."""

    @abstractmethod
    def scale(self, parameter: str) -> float:
        """Natural size of a parameter, which a finite difference takes a small part of."""


class _OneByOne(PathSimulator):
    def __init__(self, requests: Mapping[Model, Sequence[PathRequest]]):
        self._models = {request: model for model, asked in requests.items() for request in asked}

    def paths(self, block: Block, request: PathRequest) -> Paths:
        """See `PathSimulator.paths`."""
        return self._models[request].paths(block, request.dates, request.market, request.time_scale)
