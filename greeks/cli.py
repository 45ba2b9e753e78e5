"""The command ``greeks``: a book of trades in, a folder with Greeks out; a surface of quotes in, a model's parameters out.

Exit codes: 0 every row has its numbers, 3 some rows have none, 1 nothing could be done, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greeks.book_run import BookRun
    from greeks.calibrate import Calibration
    from greeks.markets import MarketData

__all__ = ["main"]

DONE, FATAL, USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

Progress = Callable[[int, int], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (the process's own by default) and return its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return USAGE
    try:
        return (
            _calibrate(given)
            if given.command == "calibrate"
            else _run(given, tuple(sys.argv[1:] if arguments is None else arguments))
        )
    except KeyboardInterrupt:
        return _stopped(f"interrupted; what was in {given.out} is as it was", INTERRUPTED)
    except _Usage as error:
        return _stopped(str(error), USAGE)
    except Exception as error:
        told = " ".join(str(error).split()) or "no further word"
        return _stopped(told if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {told}", FATAL)


class _Usage(Exception):
    """The command line asks for what does not exist."""


def _stopped(message: str, code: int) -> int:
    print(f"greeks: {message}", file=sys.stderr)
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


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text)
        if number < least or (most is not None and number > most):
            raise ValueError(text)
        return number

    whole.__name__ = f"whole number of at least {least}" if most is None else f"whole number from {least} to {most}"
    return whole


class _Version(argparse.Action):
    """Prints the version; read only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pricers.version import __version__

        print(f"scoregreeks {__version__}")
        parser.exit()


def _run(given: argparse.Namespace, command: tuple[str, ...]) -> int:
    start = time.perf_counter()
    names = tuple(name.strip() for name in given.greeks.split(",") if name.strip()) if given.greeks is not None else None
    if names == ():
        raise _Usage("--greeks must name at least one Greek")
    _present(given.book, given.market)

    from greeks.markets import load_market, market_files
    from greeks.report.facts import Facts
    from greeks.report.folder import prepare
    from greeks.report.manifest import digest
    from greeks.report.writer import write_report

    prepare(given.out)
    market = load_market(given.market)
    inputs = {str(path): digest(path) for path in (given.book, *market_files(given.market))}
    title = "Risk report" if given.command == "report" else "Cross-check"
    facts = Facts(title=f"{title}: {given.book.name}", inputs=inputs, command=("greeks", *command))
    facts.seconds["start"] = time.perf_counter() - start
    with _progress() as progress:
        run = _computed(given, names, market, progress)
    write_report(run, facts, given.out)
    with _reader_may_leave():
        _summary(run, given.out, time.perf_counter() - start)
    return SOME_FAILED if run.failed else DONE


def _present(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")


def _calibrate(given: argparse.Namespace) -> int:
    _present(given.surface, given.market)

    from greeks.calibrate import calibrate, prepare, quotes_file
    from pricers.errors import InvalidInput

    prepare(given.out)
    try:
        found = calibrate(
            given.surface,
            given.market,
            underlying=given.underlying,
            skip_days=given.skip_days,
            whole_weeks=given.whole_weeks,
        )
    except InvalidInput as error:
        if error.field in ("underlying", "skip-days"):
            raise _Usage(f"--{error}") from None
        raise
    found.write(given.out)
    with _reader_may_leave():
        _fitted(found)
        print(f"{given.out} and {quotes_file(given.out)}")
    if found.fit.warning:
        print(f"greeks: warning: {found.fit.warning}", file=sys.stderr)
    return DONE


def _fitted(found: Calibration) -> None:
    fit = found.fit
    left = f", {found.left_out} of up to {found.skip_days} days left out" if found.skip_days else ""
    weeks = ", maturities in whole weeks" if found.whole_weeks else ""
    print(f"Heston for {found.underlying} on {found.valuation}, {len(fit.error)} quotes{left}{weeks}")
    print("  ".join(f"{name} {value:.6g}" for name, value in fit.parameters.items()))
    print(f"rmse {fit.rmse:.4f} volatility points, sum of squared errors {fit.sum_squared_error:.2f}")
    print("  days  quotes    rmse    mean   worst  at strike")
    for row in found.by_expiry().itertuples():
        errors = f"{row.rmse:8.3f}{row.mean:+8.3f}{row.worst:+8.3f}"
        print(f"{row.days:6d}{row.quotes:8d}{errors}{row.at_strike:11g}")


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Whoever reads our standard output may have left; what was to be written is written all the same."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _computed(
    given: argparse.Namespace, greeks: tuple[str, ...] | None, market: MarketData, progress: Progress | None
) -> BookRun:
    from greeks.crosschecks import crosscheck_run
    from greeks.methods import estimators
    from greeks.portfolio import read_book
    from greeks.risk import risk_run
    from pricers.errors import InvalidInput
    from pricers.plan import Plan

    book, plan = read_book(given.book), Plan(paths=given.paths, seed=given.seed)
    try:
        if given.command == "crosscheck":
            return crosscheck_run(book, market, greeks=greeks, plan=plan, threads=given.threads, progress=progress)
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
        )
    except InvalidInput as error:
        if error.field == "greeks":
            raise _Usage(f"--{error}") from None
        raise


@contextlib.contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(unit=" paths", unit_scale=True, dynamic_ncols=True, leave=False, file=sys.stderr) as bar:

        def progress(done: int, paths: int) -> None:
            bar.total = paths
            bar.update(done - bar.n)

        yield progress


_LEVELS = {"good": "good", "mild": "with care", "bad": "unproven"}
"""What the printed summary calls the levels of a judgement."""


def _summary(run: BookRun, out: Path, seconds: float) -> None:
    from greeks.report.judgement import judged

    counts = run.verdicts
    print(f"{run.rows} trades: {run.priced} priced, {run.failed} failed")
    told = {name: counts.get(name, 0) for name in ("agree", "differ", "too weak to tell")}
    if compared := sum(told.values()):
        against = "the reference" if run.kind == "crosscheck" else "an independent method"
        print(f"{compared} comparisons with {against}: {', '.join(f'{number} {name}' for name, number in told.items())}")
    judgement = judged(run)
    print(f"{_LEVELS[judgement.level]}: {' '.join(judgement.sentences)}")
    print(f"{out / f'{run.kind}.html'} and the files beside it, in {seconds:.1f} s")
    if run.failed:
        print(f"greeks: {run.failed} of {run.rows} trades have no number; see {out / 'errors.csv'}", file=sys.stderr)
    if differ := counts.get("differ", 0):
        print(f"greeks: {differ} numbers differ from their check; they stand first in {run.kind}.html", file=sys.stderr)
    if run.ignored:
        print(f"greeks: columns not read: {', '.join(run.ignored)}", file=sys.stderr)
