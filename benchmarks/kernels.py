"""Nanoseconds per number of the shared kernels on one core, and whether their loops became vector instructions.

python benchmarks/kernels.py [--repeats N]

The time is the least of many calls on arrays that stay in the cache. The instructions are those of the innermost loop
with the most vector registers in it, as compiled for this processor; "calls" should be zero there. They are read from
x86-64 assembly and left out on other processors.
"""

import argparse
import platform
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pricers.engine import moments
from pricers.numerics import elementary as special
from pricers.numerics.kernel import kernel
from pricers.random_numbers import philox

TIMES, LANES, ROWS, ATOM = 64, 512, 8, 64


def over_paths(function: Callable[..., Any]) -> Any:
    """The function of one number as a kernel over arrays."""

    @kernel
    def loop(x, out):
        for row in range(x.shape[0]):
            for path in range(x.shape[1]):
                out[row, path] = function(x[row, path])

    return loop


@kernel
def sincos_turn(u, sine, cosine):
    """Both functions, into two arrays."""
    for row in range(u.shape[0]):
        for path in range(u.shape[1]):
            sine[row, path], cosine[row, path] = special.sincos_turn(u[row, path])


def vector_loop(function: Any) -> dict[str, int]:
    """How many lines name what, in the innermost loop with the most vector registers; nothing on other processors."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {}
    lines = [line.split("#")[0].strip() for line in next(iter(function.inspect_asm().values())).splitlines()]
    labels: dict[str, int] = {}
    best = {"zmm": 0, "ymm": 0, "xmm": 0, "calls": 0}
    for end, line in enumerate(lines):
        if label := re.match(r"(\.L\w+):", line):
            labels = {**labels, label[1]: end}
        elif (discontinuity := re.match(r"j\w+\s+(\.L\w+)", line)) and discontinuity[1] in labels:
            body = lines[labels.pop(discontinuity[1]) : end]
            labels = {name: start for name, start in labels.items() if start > end}  # what encloses it is not innermost
            found = {word: sum(word in line for line in body) for word in ("zmm", "ymm", "xmm")}
            found["calls"] = sum(line.startswith("call") for line in body)
            best = max(best, found, key=lambda counts: (counts["zmm"], counts["ymm"]))
    return best


def nanoseconds(function: Callable[..., Any], arguments: tuple[Any, ...], count: int, repeats: int) -> float:
    """Least time of a call, for each of ``count`` numbers."""
    function(*arguments)
    least = float("inf")
    for _ in range(repeats):
        start = time.perf_counter_ns()
        function(*arguments)
        least = min(least, time.perf_counter_ns() - start)
    return least / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    u = np.random.default_rng(1).uniform(size=(TIMES, LANES))
    out, other = np.empty_like(u), np.empty_like(u)
    rows, means = np.random.default_rng(2).normal(size=(1, ROWS, LANES)), np.empty((1, LANES // ATOM, ROWS))
    address = (1, 2, 0, 0, 0)
    fresh = kernel(cached=False)  # compiled here: numba does not show the assembly of what came from the disk
    cases = {
        "uniform": (fresh(philox.uniforms.py_func), (out, *address), u.size),
        "normal": (fresh(philox.normals.py_func), (out, *address), u.size),
        "exp": (over_paths(special.exp), (u, out), u.size),
        "exp2_normal": (over_paths(special.exp2_normal), (u, out), u.size),
        "log": (over_paths(special.log), (u, out), u.size),
        "sincos_turn": (sincos_turn, (u, out, other), u.size),
        "ndtr": (over_paths(special.ndtr), (u, out), u.size),
        "ndtri": (over_paths(special.ndtri), (u, out), u.size),
        f"co-moments of {ROWS} rows, per path": (
            kernel(sums=True, cached=False)(moments.comoments.py_func),
            (rows, means, np.empty((*means.shape, ROWS)), ATOM),
            LANES,
        ),
    }
    for name, (function, arguments, count) in cases.items():
        time_each = nanoseconds(function, arguments, count, repeats)
        print(f"{name:32} {time_each:6.2f} ns  ", *(f"{count} {word} " for word, count in vector_loop(function).items()))


if __name__ == "__main__":
    main()
