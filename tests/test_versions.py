"""The oldest versions that are tested are the lower bounds that a user's installer goes by."""

import importlib.metadata
import importlib.util
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
noxfile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(noxfile)


def test_each_dependency_is_tested_at_its_lower_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = {name: version for name, _, version in (line.partition("==") for line in noxfile.oldest_versions())}
    for line in (
        *project["dependencies"],
        *project["optional-dependencies"]["parquet"],
        *project["optional-dependencies"]["notebooks"],
    ):
        requirement = Requirement(line)
        assert str(requirement.specifier) == f">={constraints[requirement.name]}"


def test_a_requirement_without_a_lower_bound_is_an_error(monkeypatch):
    monkeypatch.setitem(noxfile.PROJECT, "dependencies", ["numpy"])
    with pytest.raises(ValueError, match="numpy needs one lower bound"):
        noxfile.oldest_versions()


@pytest.mark.parametrize("requirement", list(noxfile.requirements()), ids=str)
def test_what_is_installed_is_allowed(requirement):
    assert importlib.metadata.version(requirement.name) in requirement.specifier
