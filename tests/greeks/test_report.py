import hashlib
import html.parser
import json
import math

import books
import numpy as np
import pandas as pd
import pytest

from greeks.portfolio.crosscheck import crosscheck_run
from greeks.portfolio.risk import risk_run
from greeks.report import folder, manifest
from greeks.report.facts import Facts
from greeks.report.numerals import count, measured, plain
from greeks.report.writer import write_report
from pricers import InvalidInput, Plan
from pricers.version import __version__

PLAN = Plan(paths=1000, seed=3)
HOSTILE = "<script>alert('x')</script>"
ROWS = (
    *books.MIXED,
    books.trade("R&D"),
    books.trade(HOSTILE),
    books.trade("=1+1", book="<b>"),
    books.trade("low", strike=-5.0),
    books.trade("lost", underlying="@Z"),
)


@pytest.fixture(scope="module")
def run():
    return risk_run(books.book(*ROWS), books.MARKET, plan=PLAN)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    write_report(run, Facts(title="Test", inputs={"book.csv": "ab" * 32}, command=("greeks", "report")), out)
    return out


def test_files_of_a_report(written):
    names = {"risk.csv", "risk.parquet", "totals.csv", "errors.csv", "risk.html", "manifest.json"}
    assert {path.name for path in written.iterdir()} == names


def test_csv_has_every_bit_and_parquet_every_row(run, written):
    exactly = dict.fromkeys(("value", "stderr", "desk_value"), lambda cell: float(cell or "nan"))  # pandas 2 rounds twice
    frame = pd.read_csv(written / "risk.csv", keep_default_na=False, converters=exactly, dtype={"z": str})
    np.testing.assert_array_equal(frame["value"], run.frame["value"])
    np.testing.assert_array_equal(frame["stderr"], run.frame["stderr"])
    pd.testing.assert_frame_equal(pd.read_parquet(written / "risk.parquet"), run.frame)
    totals = pd.read_csv(written / "totals.csv", converters=exactly)
    np.testing.assert_array_equal(totals["desk_value"], run.totals["desk_value"])


def test_no_text_in_a_csv_file_is_a_formula(written):
    for name in ("risk.csv", "errors.csv", "totals.csv"):
        frame = pd.read_csv(written / name, dtype=str, keep_default_na=False)
        texts = [column for column in frame if not pd.to_numeric(frame[column], errors="coerce").notna().any()]
        assert {"trade_id", "reason"} & set(texts) or name == "totals.csv"
        for column in texts:
            assert not frame[column].str.startswith(("=", "+", "-", "@", "\t", "\r")).any(), (name, column)
    errors = pd.read_csv(written / "errors.csv", dtype=str, keep_default_na=False)
    assert list(errors["trade_id"]) == [HOSTILE, "'=1+1", "low", "lost"]
    assert list(errors["value"]) == [HOSTILE, "'=1+1", "'-5", "'@Z"]


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text, self._in = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._in.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "data", "action")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "script"} & set(self._in):
            self.text.append(data)


@pytest.fixture(scope="module")
def page(written):
    parsed = _Page()
    parsed.feed((written / "risk.html").read_text(encoding="utf-8"))
    return parsed


def test_page_needs_nothing_else_and_runs_nothing_of_the_book_s(page):
    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("script") == 1
    assert "b" not in page.text
    text = " ".join(page.text)
    assert HOSTILE in text
    assert "R&D" in text
    assert not {"img", "link", "iframe", "object"} & set(page.tags)


def test_page_says_totals_failures_and_reasons(run, page):
    text = " ".join(" ".join(page.text).split())
    assert "4 of 15 trades have no number" in text
    assert "must not hold < or >" in text
    whole = run.totals[(run.totals["level"] == "all") & (run.totals["greek"] == "delta")].iloc[0]
    value, stderr = measured(whole["desk_value"], whole["desk_stderr"])
    assert f"{value} {stderr}" in text
    assert "delta_cash" in text
    assert f"{run.verdicts['agree']} numbers agree" in text


def test_page_lists_what_differs_up_front(run, tmp_path):
    frame = run.frame.copy()
    frame.loc[7, ["verdict", "z"]] = ["differ", 9.5]
    changed = {name: getattr(run, name) for name in run.__slots__} | {"frame": frame, "verdicts": {"agree": 60, "differ": 1}}
    write_report(type(run)(**changed), Facts(), tmp_path / "out")
    text = " ".join((tmp_path / "out" / "risk.html").read_text(encoding="utf-8").split())
    assert "1 of 61 comparisons differ" in text
    assert text.index("Where two methods differ") < text.index("<h2>Totals")


def test_manifest_states_the_run(run, written):
    content = json.loads((written / "manifest.json").read_text(encoding="utf-8"))
    assert (content["program"], content["version"], content["kind"]) == ("scoregreeks", __version__, "risk")
    assert content["rows"] == {"in": 15, "priced": 11, "failed": 4}
    assert content["plan"].items() >= {"paths": 1000, "seed": 3, "steps_per_year": None, "refinement": 1}.items()
    assert content["inputs"] == {"book.csv": "ab" * 32}
    assert content["estimators"]["delta"] == {"exact": 8, "pathwise": 2, "finite_difference": 1}
    assert sum(content["verdicts"].values()) == 11 * 6
    assert content["started"] < content["ended"]
    assert {"simulation", "totals", "write html", "write tables"} <= set(content["seconds"])
    assert set(content["software"]) >= {"python", "numpy", "numba"}
    for name, digest in content["files"].items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == digest
    assert set(content["files"]) == {path.name for path in written.iterdir()} - {"manifest.json"}


def test_report_of_a_cross_check(tmp_path):
    found = crosscheck_run(books.book(*ROWS[:4], ROWS[-2]), books.MARKET, plan=PLAN)
    write_report(found, Facts(), tmp_path / "out")
    names = {"crosscheck.csv", "crosscheck.parquet", "errors.csv", "crosscheck.html", "manifest.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "finite difference" in (tmp_path / "out" / "crosscheck.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("rows", [[books.trade("bad", strike=-1.0)], [books.trade("flat", quantity=0.0, estimator="exact")]])
def test_report_of_next_to_nothing_can_be_written(tmp_path, rows):
    write_report(risk_run(books.book(*rows), books.MARKET, plan=PLAN), Facts(), tmp_path / "out")
    assert (tmp_path / "out" / "risk.html").stat().st_size > 1000


# The folder is replaced as a whole or not at all


def _content(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def _fill(where, text):
    (where / "risk.csv").write_text(text)
    (where / manifest.NAME).write_text(json.dumps({"program": manifest.PROGRAM, "files": {"risk.csv": ""}}))


@pytest.fixture
def out(tmp_path):
    with folder.replaced(tmp_path / "deep" / "out") as new:
        _fill(new, "old")
    return tmp_path / "deep" / "out"


def test_report_takes_the_place_of_an_older_one(out):
    with folder.replaced(out) as new:
        _fill(new, "new")
    assert (out / "risk.csv").read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_failure_while_writing_leaves_the_old_report(out):
    def half_way():
        with folder.replaced(out) as new:
            (new / "risk.csv").write_text("half")
            raise RuntimeError("half-way")

    before = _content(out)
    with pytest.raises(RuntimeError, match="half-way"):
        half_way()
    assert _content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_no_report_wrote_is_never_removed(tmp_path, out):
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"notes\.txt"):
        folder.prepare(out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidInput, match="other things than a report"):
        folder.prepare(tmp_path / "mine")
    with pytest.raises(InvalidInput, match="other things"), folder.replaced(tmp_path / "mine"):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    (tmp_path / "mine" / "manifest.json").write_text('{"program": "another"}')
    with pytest.raises(InvalidInput, match="other things than a report"):
        folder.prepare(tmp_path / "mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="is a file"):
        folder.prepare(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert folder.prepare(tmp_path / "empty") == tmp_path / "empty"


def test_link_to_a_report_stays_a_link(tmp_path, out):
    (tmp_path / "latest").symlink_to(out)
    with folder.replaced(tmp_path / "latest") as new:
        _fill(new, "new")
    assert (tmp_path / "latest").is_symlink()
    assert (out / "risk.csv").read_text() == "new"


def test_folder_that_another_process_is_writing_is_left_alone(out):
    with folder.replaced(out) as new:
        _fill(new, "new")
        folder.prepare(out)
        assert (new / "risk.csv").exists()
    assert (out / "risk.csv").read_text() == "new"


# Numbers for people


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (4291326.1, 138234.4, ("4,290,000", "140,000")),
        (0.607143, 0.004054, ("0.6071", "0.0041")),
        (-12.3456, 0.0996, ("−12.35", "0.10")),
        (-0.0001, 0.02, ("0.000", "0.020")),
        (1.2342e-9, 2.1e-11, ("1.234e-09", "2.1e-11")),
        (5.0, 0.0, ("5.00000", "0")),
        (-1234567.8, 0.0, ("−1,234,570", "0")),
        (0.0, 0.0, ("0", "0")),
        (math.nan, math.nan, ("–", "")),
        (1.5, math.nan, ("1.50000", "not known")),
    ],
)
def test_value_and_error_are_rounded_together(value, stderr, text):
    assert measured(value, stderr) == text


def test_counts_and_plain_numbers():
    assert [count(number) for number in (1000.0, -2.5, math.nan)] == ["1,000", "−2.5", "–"]
    assert plain(0.0) == "0"
    assert plain(math.inf) == "–"
