"""The fast tests with the oldest allowed and with the newest dependencies: ``nox -s oldest newest``; their coverage: ``nox -s coverage``.

What is oldest is read from the lower bounds in ``pyproject.toml`` and stands nowhere else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = PROJECT["requires-python"].removeprefix(">=")
NOT_RUN = {"mypy", "nox", "pandas-stubs", "ruff", "scipy-stubs"}
"""Tools for types and style, which say nothing about how the library runs."""

nox.options.sessions = ["oldest", "newest"]


def requirements(extra: str | None = None) -> Iterator[Requirement]:
    """What the project, or one of its extras, requires; an extra that names another extra of the project has that one's, too."""
    for line in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == canonicalize_name(PROJECT["name"]):
            for other in sorted(requirement.extras):
                yield from requirements(other)
        else:
            yield requirement


def oldest_versions() -> list[str]:
    """A constraint for each requirement of the tests: its lower bound, exactly."""
    constraints = {}
    for requirement in (*requirements(), *requirements("test")):
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"{requirement} needs one lower bound in pyproject.toml")
        if requirement.name not in NOT_RUN:
            constraints[requirement.name] = f"{requirement.name}=={bounds[0]}"
    return sorted(constraints.values())


def fast_tests(session: nox.Session) -> None:
    """The tests that every change must pass, or those that the command line names behind ``--``."""
    session.run("pip", "list", "--format", "freeze")
    session.run("pytest", *(session.posargs or ["-q", "-n", "auto"]))


@nox.session(python=PYTHON)
def oldest(session: nox.Session) -> None:
    """Every dependency at its lower bound, on the oldest Python."""
    constraints = Path(session.create_tmp()) / "oldest.txt"
    constraints.write_text("\n".join(oldest_versions()) + "\n", encoding="utf-8")
    session.install("-e", ".[test]", "--constraint", str(constraints))
    fast_tests(session)


@nox.session
def newest(session: nox.Session) -> None:
    """Every dependency, and theirs, as new as there is."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
    fast_tests(session)


@nox.session
def coverage(session: nox.Session) -> None:
    """The fast tests with line and branch coverage of Python code; compiled kernels are left out."""
    session.install("-e", ".[test]")
    session.run("pytest", "--cov", "--cov-report", "term", *(session.posargs or ["-q", "-n", "auto"]))
