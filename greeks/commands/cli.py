"""The command ``greeks``: a book of trades in, a folder with Greeks out; a surface of quotes in, a model's parameters out.

Exit codes: 0 every row has its numbers, 3 some rows have none, 1 nothing could be done, 2 wrong usage, 130 interrupted, 143 terminated.
What becomes of standard output and standard error has no say in them.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from greeks.report.stopping import Stops, Terminated, stoppable, uninterrupted

if TYPE_CHECKING:
    from greeks.commands.calibrate import Calibration
    from greeks.portfolio.batch import BookRun
    from greeks.portfolio.market_data import MarketData
    from pricers.calibration.heston import HestonFit

__all__ = ["main"]

DONE, FATAL, USAGE, SOME_FAILED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

Progress = Callable[[int, int], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (the process's own by default) and return its exit code."""
    _open_standard_streams()
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return USAGE
    command = tuple(sys.argv[1:] if arguments is None else arguments)
    with stoppable() as stops:
        place = _Place(given)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's: a number that is not finite is a reason in errors.csv
                return _calibrate(given) if given.command == "calibrate" else _run(given, command, stops)
        except KeyboardInterrupt as stop:
            code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
            with uninterrupted():
                return _stopped(f"{'terminated' if code == TERMINATED else 'interrupted'}; {place.left()}", code)
        except _Usage as error:
            return _stopped(str(error), USAGE)
        except Exception as error:
            told = " ".join(str(error).split()) or "no further word"
            return _stopped(told if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {told}", FATAL)


class _Place:
    """What was at the place that ``--out`` names before the run."""

    def __init__(self, given: argparse.Namespace):
        from greeks.report.folder import missing

        self._out: Path = given.out
        self._whole: Path = given.out if given.command == "calibrate" else given.out / "manifest.json"
        self._made = missing(self._whole.parent)
        self._before = self._stamp()

    def left(self) -> str:
        """Remove what this process left that is no report, and say what is there."""
        from greeks.report.folder import tidy

        tidy(Path(os.path.realpath(self._whole.parent)), self._made, mine=True)
        if self._stamp() != self._before:
            return f"{self._out} had been written by then"
        return f"what was in {self._out} is as it was"

    def _stamp(self) -> tuple[int, int] | None:
        """Of the file that is written last."""
        try:
            found = self._whole.stat()
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_size


def _open_standard_streams() -> None:
    """Where a caller closed them, so that no file of ours gets their numbers and with them what is meant for a screen.

    Python has None for a closed stream, and NumPy 2.0 cannot be imported without ``sys.stderr``.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)


def _say(text: str, *, error: bool = False) -> None:
    """Print one line. Whoever reads it may have left, the disk behind it may be full: that changes nothing else."""
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is None:
        return
    try:
        encoding = stream.encoding or "utf-8"
        print(_printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):  # so that the interpreter's last flush does not fail, either
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _printable(text: str) -> str:
    """What a terminal would obey, and what would end the line, as an escape: names come from somebody's files."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Usage(Exception):
    """The command line asks for what does not exist."""


def _stopped(message: str, code: int) -> int:
    _say(f"greeks: {message}", error=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="greeks", description="Greeks with proof: every number with its standard error and an independent check beside it."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    report = commands.add_parser(
        "report",
        help="Greeks of a book of trades, with totals, checks and a web page",
        description="Greeks of every trade of a book, each with its standard error and the verdict of an independent method; "
        "totals by book and underlying. Writes risk.csv, totals.csv, errors.csv, risk.html, manifest.json (and risk.parquet).",
        epilog="Exit codes: 0 all rows, 3 some rows failed, 1 fatal, 2 usage.",
    )
    _common(report)
    report.add_argument("--estimator", metavar="NAME", help="for rows that name none (default: best)")
    report.add_argument("--no-check", action="store_true", help="compute no second method")
    report.add_argument(
        "--enough",
        metavar="SHARE",
        type=float,
        help="stop a trade's paths where its errors are below this share of natural sizes",
    )
    cross = commands.add_parser(
        "crosscheck",
        help="every Greek of a book by every method that applies",
        description="Every Greek of every trade by all methods on the same paths. Writes crosscheck.csv, errors.csv, "
        "crosscheck.html, manifest.json (and crosscheck.parquet).",
        epilog="Exit codes: 0 all rows, 3 some rows failed, 1 fatal, 2 usage.",
    )
    _common(cross)
    _fitting(commands)
    return parser


def _fitting(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = commands.add_parser(
        "calibrate",
        help="Heston's parameters from a surface of implied volatilities",
        description="Fits Heston to every quote by least squares in volatility. Writes HESTON.toml, which a market's key heston may "
        "name, and HESTON.quotes.csv with the error of each quote.",
        epilog="Exit codes: 0 fitted (a warning goes to standard error), 1 fatal, 2 usage.",
    )
    fit.add_argument(
        "surface",
        metavar="SURFACE.csv",
        type=Path,
        help="columns days_to_expiry, strike, implied_vol, and zero_rate where the market has no rates",
    )
    fit.add_argument("--market", metavar="MARKET.toml", type=Path, required=True, help="valuation date, spot, dividend, rates")
    fit.add_argument("--out", metavar="HESTON.toml", type=Path, required=True, help="file to write, or to replace if it is a fit")
    fit.add_argument("--underlying", metavar="NAME", help="of the market (default: its only one)")
    fit.add_argument(
        "--skip-days", metavar="N", type=_whole(0), default=0, help="leave out expiries of up to N days (default: 0)"
    )
    fit.add_argument("--whole-weeks", action="store_true", help="round maturities to whole weeks, as published fits do")
    _reading(fit)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("book", metavar="BOOK.csv", type=Path, help="trades, one a line")
    parser.add_argument("--market", metavar="MARKET.toml", type=Path, required=True, help="valuation date and underlyings")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder to write, or to replace if it holds a report"
    )
    parser.add_argument("--paths", metavar="N", type=_whole(2), default=2**16, help="number of paths (default: %(default)s)")
    parser.add_argument("--seed", metavar="S", type=_whole(0, 2**64 - 1), default=0, help="of the random numbers (default: 0)")
    parser.add_argument("--threads", metavar="K", type=_whole(1), help="does not change the numbers (default: all processors)")
    parser.add_argument(
        "--greeks", metavar="A,B", help="default: price,delta,gamma,vega,rho,theta and those of the models' own parameters"
    )
    parser.add_argument("--no-limits", action="store_true", help="run however long it may take and whatever memory it may need")
    _reading(parser)


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-outside", action="store_true", help="read files that the market names outside its own folder")
    parser.add_argument("--allow-large-files", action="store_true", help="read files of any size")


def _most_bytes(given: argparse.Namespace) -> int | None:
    from greeks.portfolio.inputs import MOST_BYTES

    return None if given.allow_large_files else MOST_BYTES


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {wanted}, got {text!r}")
        return number

    return whole


class _Version(argparse.Action):
    """Prints the version; read only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pricers.version import __version__

        print(f"scoregreeks {__version__}")
        parser.exit()


def _run(given: argparse.Namespace, command: tuple[str, ...], stops: Stops) -> int:
    start = time.perf_counter()
    names = tuple(name.strip() for name in given.greeks.split(",") if name.strip()) if given.greeks is not None else None
    if names == ():
        raise _Usage("--greeks must name at least one Greek")
    _present(given.book, given.market)

    from greeks.portfolio.market_data import load_market, market_files
    from greeks.report.facts import Facts
    from greeks.report.folder import prepare
    from greeks.report.manifest import digest
    from greeks.report.writer import write_report

    prepare(given.out)
    most = _most_bytes(given)
    market = load_market(given.market, allow_outside=given.allow_outside, most_bytes=most)
    inputs = {str(path): digest(path) for path in (given.book, *market_files(given.market, most_bytes=most))}
    title = "Risk report" if given.command == "report" else "Cross-check"
    facts = Facts(title=f"{title}: {given.book.name}", inputs=inputs, command=("greeks", *command))
    facts.seconds["start"] = time.perf_counter() - start
    with _progress(stops) as progress:
        run = _computed(given, names, market, progress)
    stops.check()
    write_report(run, facts, given.out)
    _summary(run, given.out, time.perf_counter() - start)
    return SOME_FAILED if run.failed else DONE


def _present(*paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")


def _calibrate(given: argparse.Namespace) -> int:
    _present(given.surface, given.market)

    from greeks.commands.calibrate import calibrate, prepare, quotes_file
    from pricers.errors import InvalidInput

    prepare(given.out)
    try:
        found = calibrate(
            given.surface,
            given.market,
            underlying=given.underlying,
            skip_days=given.skip_days,
            whole_weeks=given.whole_weeks,
            allow_outside=given.allow_outside,
            most_bytes=_most_bytes(given),
        )
    except InvalidInput as error:
        if error.field in ("underlying", "skip-days"):
            raise _Usage(f"--{error}") from None
        raise
    found.write(given.out)
    _fitted(found)
    _say(f"{given.out} and {quotes_file(given.out)}")
    if found.fit.warning:
        _say(f"greeks: warning: {found.fit.warning}", error=True)
    return DONE


def _fitted(found: Calibration) -> None:
    fit = found.fit
    left = f", {found.left_out} of up to {found.skip_days} days left out" if found.skip_days else ""
    weeks = ", maturities in whole weeks" if found.whole_weeks else ""
    _say(f"Heston for {found.underlying} on {found.valuation}, {len(fit.error)} quotes{left}{weeks}")
    _errors_of_parameters(fit)
    _say(f"rmse {fit.rmse:.4f} volatility points, sum of squared errors {fit.sum_squared_error:.2f}")
    _say("  days  quotes    rmse    mean   worst  at strike")
    for row in found.by_expiry().itertuples():
        errors = f"{row.rmse:8.3f}{row.mean:+8.3f}{row.worst:+8.3f}"
        _say(f"{row.days:6d}{row.quotes:8d}{errors}{row.at_strike:11g}")


def _errors_of_parameters(fit: HestonFit) -> None:
    """Parameters with their standard errors, and the correlation of the errors."""
    _say("           value    std error   correlation of the errors")
    for name, row in zip(fit.stderr, fit.correlation.tolist(), strict=True):
        error = "-" if math.isnan(fit.stderr[name]) else f"{fit.stderr[name]:.3g}"
        together = "".join(f"{'-' if math.isnan(value) else format(value, '+.2f'):>7}" for value in row)
        _say(f"{name:>6}{fit.parameters[name]:>10.5g}{error:>13}  {together}")
    if fit.stderr_note:
        _say(f"no standard error: {fit.stderr_note}")


def _computed(
    given: argparse.Namespace, greeks: tuple[str, ...] | None, market: MarketData, progress: Progress | None
) -> BookRun:
    from greeks.engine.registry import estimators
    from greeks.portfolio.crosscheck import crosscheck_run
    from greeks.portfolio.limits import LIMITS
    from greeks.portfolio.read_trades import read_book
    from greeks.portfolio.risk import risk_run
    from greeks.report.space import check_space
    from pricers.engine.plan import Plan
    from pricers.errors import InvalidInput

    book, plan = read_book(given.book, most_bytes=_most_bytes(given)), Plan(paths=given.paths, seed=given.seed)
    limits = None if given.no_limits else LIMITS
    check_space(given.out, given.command, rows=len(book), greeks=len(greeks) if greeks is not None else None)
    try:
        if given.command == "crosscheck":
            return crosscheck_run(book, market, greeks=greeks, plan=plan, threads=given.threads, progress=progress, limits=limits)
        if given.estimator is not None and given.estimator not in estimators():
            raise _Usage(f"--estimator must be one of {', '.join(estimators())}, got {given.estimator}")
        return risk_run(
            book,
            market,
            greeks=greeks,
            estimator=estimators()[given.estimator] if given.estimator is not None else None,
            plan=plan,
            threads=given.threads,
            progress=progress,
            check=not given.no_check,
            enough=given.enough,
            limits=limits,
        )
    except InvalidInput as error:
        if error.field == "greeks":
            raise _Usage(f"--{error}") from None
        raise


@contextlib.contextmanager
def _progress(stops: Stops) -> Iterator[Progress]:
    """A bar on a terminal, nothing in a pipe; a signal whose exception was lost ends the run at the next block."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, paths: stops.check()
        return
    from tqdm import tqdm

    with tqdm(unit=" paths", unit_scale=True, dynamic_ncols=True, leave=False, file=sys.stderr) as bar:

        def progress(done: int, paths: int) -> None:
            stops.check()
            with contextlib.suppress(OSError):  # a terminal that was closed
                bar.total = paths
                bar.update(done - bar.n)

        yield progress


_LEVELS = {"good": "good", "mild": "with care", "bad": "unproven"}
"""What the printed summary calls the levels of a judgement."""


def _summary(run: BookRun, out: Path, seconds: float) -> None:
    from greeks.report.judgement import judged

    counts = run.verdicts
    _say(f"{run.rows} trades: {run.priced} priced, {run.failed} failed")
    told = {name: counts.get(name, 0) for name in ("agree", "differ", "too weak to tell")}
    if compared := sum(told.values()):
        against = "the reference" if run.kind == "crosscheck" else "an independent method"
        _say(f"{compared} comparisons with {against}: {', '.join(f'{number} {name}' for name, number in told.items())}")
    judgement = judged(run)
    _say(f"{_LEVELS[judgement.level]}: {' '.join(judgement.sentences)}")
    _say(f"{out / f'{run.kind}.html'} and the files beside it, in {seconds:.1f} s")
    if run.failed:
        _say(f"greeks: {run.failed} of {run.rows} trades have no number; see {out / 'errors.csv'}", error=True)
    if differ := counts.get("differ", 0):
        _say(f"greeks: {differ} numbers differ from their check; they stand first in {run.kind}.html", error=True)
    if run.ignored:
        _say(f"greeks: columns not read: {', '.join(run.ignored)}", error=True)
