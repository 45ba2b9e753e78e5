"""Files about the project agree with the project: version, licence, hooks, changelog."""

import re
import tomllib
from pathlib import Path

import pytest

from greeks.portfolio.columns import columns
from pricers.version import __version__

ROOT = Path(__file__).parents[1]
FORM = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_citation_names_this_version_and_licence():
    said = dict(re.findall(r"^([a-z-]+): +(.+)$", text("CITATION.cff"), re.M))
    assert said["cff-version"] == "1.2.0"
    assert said["title"] == PROJECT["project"]["name"]
    assert said["version"] == __version__
    assert said["license"] == PROJECT["project"]["license"]
    assert {"message", "type"} <= said.keys()
    assert re.search(r"^authors:\n  - name: .+", text("CITATION.cff"), re.M)


def test_hooks_before_a_commit_are_local_and_run_what_ci_runs():
    hooks = text(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert "://" not in hooks
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
    entries = {" ".join(entry.split()[:2]) for entry in re.findall(r"entry: (.+)", hooks)}
    assert entries == {"ruff check", "ruff format", "mypy"}
    assert all(entry.split()[0] in text(".ci/run") for entry in entries)


def test_changelog_keeps_its_form():
    headings = re.findall(r"^(#+) (.+)$", text("CHANGELOG.md"), re.M)
    versions = [name for level, name in headings if level == "##"]
    assert versions[0] == "[Unreleased]"
    assert versions[1].startswith(f"[{__version__}]")
    kinds = [name for level, name in headings if level == "###"]
    assert set(kinds) <= set(FORM)
    assert {level for level, _ in headings} <= {"#", "##", "###"}
    for part in re.split(r"^## ", text("CHANGELOG.md"), flags=re.M)[1:]:
        of_one = re.findall(r"^### (.+)$", part, re.M)
        assert of_one == [kind for kind in FORM if kind in of_one]
        assert len(of_one) == len(set(of_one)) > 0


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/extending.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page):
    lines = [line for line in text(page).splitlines() if not line.startswith("# ")]  # a page's own files begin with their name
    named = re.findall(r"\b(?:pricers|greeks|tests|docs|data|benchmarks)/[\w/]+\.(?:py|md|json)\b", "\n".join(lines))
    links = [str((ROOT / page).parent / name) for name in re.findall(r"\]\(([^)#:]+)\)", text(page))]
    assert len(named) > 3
    missing = [name for name in (*named, *links) if not (ROOT / name).exists()]
    assert not missing


def test_every_column_of_a_report_is_explained():
    named = set(re.findall(r"`([a-z_]+)`", text("data/README.md")))
    assert not set(columns()) - named
