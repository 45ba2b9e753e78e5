import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import books
import pandas as pd
import pytest

from greeks.commands.cli import main
from pricers.version import __version__

MARKET = """
valuation = 2024-01-05
[underlyings.X]
spot = 100.0
rate = 0.03
vol = 0.2
[underlyings.Y]
spot = 50.0
rate = 0.02
vol = 0.3
"""
GOOD = tuple(row for row in books.MIXED if row["trade_id"] != "geometric")


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with a market and a book of good rows, as the current one."""
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    books.book(*GOOD).to_csv("book.csv", index=False)
    return tmp_path


def _greeks(*arguments, **options):
    command = [sys.executable, "-m", "greeks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


COMMON = ("book.csv", "--market", "market.toml", "--out", "out", "--paths", "500", "--threads", "2")


def test_process_writes_a_report_and_leaves_with_zero(there):
    done = _greeks("report", *COMMON, "--seed", "9")
    assert (done.returncode, done.stderr) == (0, "")
    assert "9 trades: 9 priced, 0 failed" in done.stdout
    assert str(Path("out/risk.html")) in done.stdout
    content = json.loads(Path("out/manifest.json").read_text(encoding="utf-8"))
    assert content["plan"].items() >= {"paths": 500, "seed": 9, "steps_per_year": None, "refinement": 1}.items()
    assert set(content["inputs"]) == {"book.csv", "market.toml"}
    assert content["command"][:2] == ["greeks", "report"]
    assert len(pd.read_csv("out/risk.csv")) == 9 * 6


def test_bad_rows_are_told_and_leave_with_three(there, capsys):
    books.book(*GOOD, books.trade("bad", strike=-1.0)).to_csv("book.csv", index=False)
    assert main(["report", *COMMON, "--greeks", "delta, vega"]) == 3
    printed = capsys.readouterr()
    assert "10 trades: 9 priced, 1 failed" in printed.out
    assert "1 of 10 trades have no number" in printed.err
    assert list(pd.read_csv("out/errors.csv")["trade_id"]) == ["bad"]
    assert len(pd.read_csv("out/risk.csv")) == 10 * 2


def test_same_bytes_for_any_number_of_threads(there):
    assert main(["report", *COMMON]) == 0
    first = Path("out/risk.csv").read_bytes()
    assert main(["report", *COMMON[:-1], "1"]) == 0
    assert Path("out/risk.csv").read_bytes() == first


def test_cross_check(there, capsys):
    assert main(["crosscheck", *COMMON, "--greeks", "delta"]) == 0
    assert "comparisons with the reference" in capsys.readouterr().out
    assert {"exact", "finite_difference", "likelihood_ratio", "pathwise"} <= set(pd.read_csv("out/crosscheck.csv")["estimator"])


def test_estimator_and_no_check(there):
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    assert main(["report", *COMMON, "--estimator", "pathwise", "--no-check"]) == 0
    frame = pd.read_csv("out/risk.csv")
    assert set(frame["estimator"]) == {"pathwise"}
    assert set(frame["verdict"]) == {"not checked"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["reprot"],
        ["report"],
        ["report", *COMMON, "--paths", "1"],
        ["report", *COMMON, "--paths", "many"],
        ["report", *COMMON, "--seed", "-1"],
        ["report", *COMMON, "--threads", "0"],
        ["report", *COMMON, "--greeks", "detla"],
        ["report", *COMMON, "--greeks", ","],
        ["report", *COMMON, "--estimator", "clairvoyance"],
        ["crosscheck", *COMMON, "--estimator", "exact"],
    ],
)
def test_wrong_usage_leaves_with_two_and_writes_nothing(there, arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert not Path("out").exists()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err or not arguments


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda: Path("book.csv").unlink(), "there is no file book.csv"),
        (lambda: Path("market.toml").unlink(), "there is no file market.toml"),
        (
            lambda: Path("market.toml").write_text(MARKET.replace("spot = 100.0", "spot = -1")),
            "underlyings.X spot must be positive",
        ),
        (lambda: Path("book.csv").write_text("trade_id,book\n1,2\n"), "must include underlying"),
        (lambda: Path("book.csv").write_text("trade_id;book\n1;2\n"), "must include"),
        (lambda: Path("book.csv").write_bytes(b"\xff\xfe\x00"), "UTF-8"),
        (lambda: Path("out").write_text("mine"), "is a file"),
        (lambda: (Path("out").mkdir(), Path("out/thesis.tex").write_text("mine")), "other things than a report"),
    ],
)
def test_fatal_error_is_one_line_and_leaves_with_one(there, prepare, words, capsys):
    prepare()
    assert main(["report", *COMMON]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("greeks: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    if Path("out").is_dir():
        assert [path.name for path in Path("out").iterdir()] == ["thesis.tex"]


def test_version(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"scoregreeks {__version__}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from greeks.commands import cli; cli._parser().format_help(); "
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    for heavy in ("numpy", "numba", "pandas", "scipy", "jinja2", "tqdm"):
        assert f"'{heavy}'" not in done.stdout


def test_reader_that_leaves_early_does_no_harm(there):
    command = [sys.executable, "-m", "greeks", "report", *COMMON]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert Path("out/risk.html").exists()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_run_that_is_stopped_leaves_the_report_before_it(there, sign, code):
    assert main(["report", *COMMON]) == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    endless = [*COMMON[:5], "--paths", str(2**30), "--threads", "2"]
    heeding = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # which a shell's background job does not
    program = f"import signal, greeks.commands.cli; {heeding}; raise SystemExit(greeks.commands.cli.main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, "report", *endless],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _until_it_computes(process.pid)
            process.send_signal(sign)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    assert sorted(path.name for path in there.iterdir()) == ["book.csv", "market.toml", "out"]
    if sign == signal.SIGINT:
        assert (out, error.count("\n")) == ("", 1), error
        assert "interrupted" in error


def _until_it_computes(pid):
    """Wait until the process has its worker threads."""
    for _ in range(600):
        if Path(f"/proc/{pid}/task").exists():
            names = [Path(task, "comm").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
            if len(names) >= 3 and _busy(pid) > 1.0:
                return
        else:  # no such file system: time will do
            time.sleep(5.0)
            return
        time.sleep(0.1)
    raise AssertionError("the run did not start")


def _busy(pid):
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("--paths", "1e5", "of at least 2"), ("--threads", "0", "of at least 1"), ("--seed", "-1", "from 0 to")],
)
def test_option_that_is_no_whole_number_is_told_what_is(there, capsys, option, value, wanted):
    with pytest.raises(SystemExit) as stopped:
        main(["report", *COMMON, f"{option}={value}"])
    assert stopped.value.code == 2
    assert f"argument {option}: must be a whole number {wanted}" in capsys.readouterr().err
