"""The folders of the house: imports run downwards in one order, without circles, and each folder says its rule."""

import ast
import importlib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = (
    *("pricers.errors", "pricers.lazy", "pricers.version", "pricers.numerics", "pricers.market", "pricers.random_numbers"),
    *("pricers.paths", "pricers.contracts", "pricers.models", "pricers.exact", "pricers.calibration", "pricers.engine"),
    *("greeks.greek", "greeks.estimators", "greeks.engine", "greeks.validation", "greeks.portfolio", "greeks.report"),
    *("greeks.commands", "greeks.expectation", "pricers", "greeks", "greeks.__main__"),
)
"""From the lowest to the highest. The two packages' own modules only name what users import."""

MOST = 13
"""Entries of `pricers` and of `greeks`."""


def modules():
    found = {}
    for package in ("pricers", "greeks"):
        for file in (ROOT / package).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


def imports(file, known):
    """Modules of the house that a file imports, wherever in it, and also for type checkers."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in known else node.module
                if found in known:
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def folder(module):
    return ".".join(module.split(".")[:2])


KNOWN = modules()
ARROWS = {module: set(imports(file, KNOWN)) - {module} for module, file in KNOWN.items()}


def test_every_folder_has_its_place():
    assert {folder(module) for module in KNOWN} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_downwards(name):
    above = set(ORDER[ORDER.index(name) + 1 :])
    back = [(m, i) for m, found in ARROWS.items() if folder(m) == name for i in found if folder(i) in above]
    assert not back


def test_no_circles():
    """Kahn's algorithm: what can never be taken off lies on a circle."""
    left = {module: set(found) for module, found in ARROWS.items()}
    while free := [module for module, found in left.items() if not found]:
        for module in free:
            del left[module]
        for found in left.values():
            found.difference_update(free)
    assert not left


def test_no_import_goes_through_a_package_that_runs_back_up():
    """Inside the house names are imported from the module that defines them."""
    inside = {module: found for module, found in ARROWS.items() if folder(module) not in ("pricers", "greeks", "greeks.__main__")}
    assert not {module for module, found in inside.items() if found & {"pricers", "greeks"}}


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name].name == "__init__.py"])
def test_every_folder_says_its_rule(name):
    rule = importlib.import_module(name).__doc__
    assert rule
    assert rule.split("\n")[0].endswith(".")


@pytest.mark.parametrize("package", ["pricers", "greeks"])
def test_a_package_can_be_taken_in_at_a_glance(package):
    entries = [p for p in (ROOT / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert len(entries) <= MOST


ENGINE_ROOM = ("pricers.numerics.workspace", "pricers.random_numbers", "pricers.engine.simulation", "pricers.engine.path_plan")


def test_contracts_never_see_the_engine_room():
    seen = defaultdict(set)
    for module, found in ARROWS.items():
        if folder(module) == "pricers.contracts":
            seen[module] |= {
                i for i in found if i.startswith((*ENGINE_ROOM, "pricers.engine", "pricers.models", "pricers.market"))
            }
    assert not {module: found for module, found in seen.items() if found}


def test_estimators_never_see_the_engine_room():
    """Importance sampling is the exception: it draws paths from laws of its own."""
    allowed = {"greeks.estimators.importance", "greeks.estimators.cross_entropy", "greeks.estimators.base"}
    for module, found in ARROWS.items():
        if folder(module) == "greeks.estimators" and module not in allowed:
            assert not {i for i in found if i.startswith(ENGINE_ROOM)}, module


def test_report_code_computes_no_number():
    for module, found in ARROWS.items():
        if folder(module) == "greeks.report":
            assert not {
                i for i in found if i.startswith(("pricers.engine", "pricers.models", "greeks.estimators", "greeks.engine"))
            }


def test_no_key_is_made_of_an_address():
    """`id()` is told nowhere: an address is used again once its owner is gone."""
    for module, file in KNOWN.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "id", module
