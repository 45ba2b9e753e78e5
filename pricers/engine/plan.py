"""All that fixes the random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pricers.errors import InvalidInput, positive
from pricers.random_numbers.pseudo_random import Automatic
from pricers.random_numbers.sampling import ATOM, Sampling

__all__ = ["ATOM", "Plan"]

_BATCHES = 256
"""Batches wanted for totals: their error is then known to 4.4 % (one over the square root of twice the batches)."""

_SECTIONS = 64
"""Sections wanted: of each all second moments are kept, which tell how heavy the tails of a number are."""


def _whole(field: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(field, value, f"must be a whole number of at least {least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many paths, and which.

    Every normal has an address (seed, stream, path, step), so a plan says all there is to know about the random numbers:
    neither threads, nor blocks, nor the other trades of a book can change them.

    Results have the same bits, too, wherever Python, this package, NumPy, SciPy and numba have the same versions and the processor has
    the same instructions (`pricers.numerics.kernel.instruction_set`, which a report's manifest holds). On a processor with wider or
    narrower vectors, sums over paths are added in another order: of 171 values 59 changed when compiled for any x86-64
    (``NUMBA_CPU_NAME=generic``) rather than for AVX-512, by up to 3e-13 of their size.

    Attributes
    ----------
    paths : int
        Number of paths, at least 2.
    seed : int
        From 0 to 2**64 - 1.
    steps_per_year : int, optional
        For a model that needs steps between the contract's dates (Heston): equal steps of at most ``1 / steps_per_year`` year, instead of
        the model's own time grid, which is as fine as its parameters and the dates need. GBM needs no steps.
    refinement : int
        How many times as many steps, of either kind: what is left of the time steps' bias (`Estimate.bias`) falls with it.
    sampling : Sampling
        `PseudoRandom`, `Antithetic` or `Sobol`; by default `Automatic`: independent paths, or what a pilot chooses.
    stderr : mapping from str to float, optional
        Target precision: for each Greek named, the error wanted, standard error and measured bias together (the root of the sum of their
        squares). Paths are added and, where the bias of a model's time steps is too large, steps made finer until each is met,
        ``max_paths`` reached or the grid 32 times as fine.
    max_paths : int
        Most paths that a target may lead to.
    """

    paths: int = 2**16
    seed: int = 0
    steps_per_year: int | None = None
    refinement: int = 1
    sampling: Sampling = Automatic()  # noqa: RUF009
    stderr: Mapping[str, float] | None = field(default=None, hash=False)
    max_paths: int = 2**24

    def __post_init__(self) -> None:
        _whole("paths", self.paths, 2)
        _whole("seed", self.seed, 0)
        if self.steps_per_year is not None:
            _whole("steps_per_year", self.steps_per_year, 1)
        _whole("refinement", self.refinement, 1)
        if self.seed >= 2**64:
            raise InvalidInput("seed", self.seed, "must be below 2**64")
        if not isinstance(self.sampling, Sampling):
            raise InvalidInput("sampling", self.sampling, "must be a way of sampling, such as Sobol()")
        self.sampling.check(self.paths)
        _whole("max_paths", self.max_paths, 2)
        for greek, wanted in (self.stderr or {}).items():
            positive(f"stderr[{greek!r}]", wanted)

    @property
    def steps(self) -> tuple[int | None, int]:
        """Steps in a year and refinement, for `Model.time_grid`."""
        return self.steps_per_year, self.refinement

    @property
    def samples(self) -> int:
        """Numbers that moments are taken of: paths, or groups of dependent paths."""
        return self.paths // self.sampling.group

    @property
    def atom(self) -> int:
        """Samples whose moments are taken together: `ATOM`, or fewer where there would be too few of them to tell tails by."""
        most = max(self.samples // _SECTIONS, 1)
        return min(ATOM, 1 << (most.bit_length() - 1)) if self.sampling.batch(self.paths) is None else ATOM

    @property
    def atoms(self) -> int:
        """Number of atoms; the last may be short."""
        return -(-self.samples // self.atom)

    @property
    def atoms_per_batch(self) -> int:
        """Atoms in a batch of paths; a batch is the unit of batch means."""
        batch = self.sampling.batch(self.paths)
        return batch // ATOM if batch is not None else -(-self.atoms // _BATCHES)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-self.atoms // self.atoms_per_batch)

    @property
    def batches_per_section(self) -> int:
        """Batches in a section of paths; a section is the unit of second moments."""
        return -(-self.batches // _SECTIONS)

    @property
    def sections(self) -> int:
        """Number of sections."""
        return -(-self.batches // self.batches_per_section)
