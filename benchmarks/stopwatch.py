"""Where a run spends its time: functions of interest, wrapped while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

__all__ = ["stopwatch"]


@contextmanager
def stopwatch(places: Iterable[tuple[Any, str, str]]) -> Iterator[dict[str, float]]:
    """Processor seconds of this thread by stage, each without those of the stages that it calls.

    Parameters
    ----------
    places : iterable of (owner, attribute, stage)
        A class and its method, or a module and a function in it; what is not there is left out.
    """
    seconds: dict[str, float] = {}
    inner = [0]

    def wrapped(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def measured(*arguments: Any, **named: Any) -> Any:
            inner.append(0)
            start = time.thread_time_ns()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.thread_time_ns() - start
                seconds[stage] = seconds.get(stage, 0.0) + 1e-9 * (taken - inner.pop())
                inner[-1] += taken

        return measured

    with ExitStack() as stack:
        for owner, attribute, stage in places:
            function = getattr(owner, attribute, None)
            if function is not None:
                stack.enter_context(patch.object(owner, attribute, wrapped(function, stage)))
        yield seconds
