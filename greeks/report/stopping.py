"""SIGINT and SIGTERM: both end a run in order, and neither interrupts a step that must be whole."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

__all__ = ["Stops", "Terminated", "stoppable", "uninterrupted"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


class Stops:
    """What asked the process to end, in the order of arrival.

    An exception that a handler raises inside a callback of the interpreter is lost; `check` raises it again.
    """

    def __init__(self) -> None:
        self._came: list[int] = []

    def __call__(self, number: int, _frame: object) -> None:
        """Record a signal and raise its exception: the handler of both signals."""
        self._came.append(number)
        self.check()

    def check(self) -> None:
        """Raise `Terminated` after SIGTERM, `KeyboardInterrupt` after SIGINT, nothing where neither came."""
        if self._came:
            raise Terminated if self._came[0] == signal.SIGTERM else KeyboardInterrupt


@contextlib.contextmanager
def stoppable() -> Iterator[Stops]:
    """Both signals raise in the main thread until the end of the block.

    A signal that is ignored stays ignored (a shell's background job ignores SIGINT), and so does a handler that a caller installed. An
    exception of theirs that is lost in a callback of the interpreter is not printed: the run ends with its own message.
    """
    stops = Stops()
    defaults: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    taken = [number for number in _SIGNALS if _in_main_thread() and signal.getsignal(number) is defaults[number]]
    for number in taken:
        signal.signal(number, stops)
    print_lost, sys.unraisablehook = sys.unraisablehook, partial(_print_unless_stopping, sys.unraisablehook)
    try:
        yield stops
    finally:
        sys.unraisablehook = print_lost
        for number in taken:
            signal.signal(number, defaults[number])


def _print_unless_stopping(print_lost: Callable[[Any], Any], lost: sys.UnraisableHookArgs) -> None:
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        print_lost(lost)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Both signals wait until the end of the block, and are then delivered to the handlers that were there before."""
    if not _in_main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for late in dict.fromkeys(came):
            signal.raise_signal(late)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
