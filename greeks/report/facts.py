"""What a report says about itself besides the run's own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where a run came from.

    Attributes
    ----------
    title : str
    inputs : mapping of str to str
        SHA-256 of each file that was read, by its path as given.
    command : tuple of str
        The command line, or nothing.
    seconds : dict
        Wall time by stage: the run's, then that of each file format as it is written.
    """

    title: str = "Risk report"
    inputs: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
