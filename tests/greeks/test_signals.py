"""SIGINT and SIGTERM end a run in order: a message, an exit code of its own, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import books
import output
import pytest

from greeks.commands.cli import main
from greeks.report import marks
from greeks.report.stopping import Terminated, stoppable, uninterrupted

MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


@pytest.fixture(autouse=True)
def _as_in_the_foreground():
    """SIGINT is heeded, also where the tests run as a shell's background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    return tmp_path


def _report(*more):
    return main(["report", "book.csv", "--market", "market.toml", "--out", "out", "--paths", "200", "--threads", "1", *more])


@pytest.mark.parametrize("sign", CODES)
def test_process_that_is_asked_to_end_says_so_and_leaves_nothing(there, sign):
    heeding = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # which a shell's background job does not
    program = f"import signal, greeks.commands.cli; {heeding}; raise SystemExit(greeks.commands.cli.main())"
    command = ["report", "book.csv", "--market", "market.toml", "--out", "a/b/out", "--paths", str(2**34), "--threads", "2"]
    before = output.snapshot(there)
    with subprocess.Popen(
        [sys.executable, "-c", program, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            time.sleep(0.3)
            while run.poll() is None and len(list(Path(f"/proc/{run.pid}/task").iterdir())) < 3:
                time.sleep(0.05)
            run.send_signal(sign)
            out, error = run.communicate(timeout=60)
        finally:
            run.kill()
    code, word = CODES[sign]
    assert (run.returncode, out) == (code, "")
    assert error == f"greeks: {word}; what was in a/b/out is as it was\n"
    assert output.snapshot(there) == before


@pytest.mark.parametrize("sign", CODES)
@pytest.mark.parametrize("stage", ["greeks.report.tables._csv", "greeks.report.folder._pin", "greeks.report.folder._keep"])
def test_signal_while_the_report_is_written_leaves_the_old_or_the_new_one(there, sign, stage, monkeypatch, capsys):
    """While tables are written the run ends there; while files are put in place it ends after that."""
    assert _report("--seed", "1") == 0
    capsys.readouterr()
    module, name = stage.rsplit(".", 1)
    step = getattr(sys.modules[module], name)
    sent = []

    def signalled(*arguments):
        if not sent:
            sent.append(True)
            signal.raise_signal(sign)
        return step(*arguments)

    monkeypatch.setattr(stage, signalled)
    before = output.whole("out"), Path("out/manifest.json").read_bytes()
    code, word = CODES[sign]
    assert _report("--seed", "2") == code
    printed = capsys.readouterr()
    assert printed.out == ""
    changed = Path("out/manifest.json").read_bytes() != before[1]
    assert changed == (stage != "greeks.report.tables._csv")
    what = "out had been written by then" if changed else "what was in out is as it was"
    assert printed.err == f"greeks: {word}; {what}\n"
    output.whole("out")
    assert not any(marks.is_ours(name) for name in output.names("out"))
    assert output.names(there) == ["book.csv", "market.toml", "out"]


def test_signal_whose_exception_was_lost_ends_the_run_all_the_same(there, monkeypatch):
    """An exception inside a callback of the interpreter is printed and forgotten; the next block of paths raises it again."""
    import greeks.portfolio.risk

    each_answer = greeks.portfolio.risk.each_answer

    def losing(*arguments, **options):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        return each_answer(*arguments, **options)

    monkeypatch.setattr("greeks.portfolio.risk.each_answer", losing)
    assert _report() == 143
    assert not Path("out").exists()


def test_exception_that_is_lost_in_a_callback_is_not_printed(there, capfd, monkeypatch):
    """Python calls `__del__` without a caller that could take an exception: a traceback of it would stand beside the message."""
    import greeks.portfolio.risk

    each_answer = greeks.portfolio.risk.each_answer

    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def losing(*arguments, **options):
        Dying()
        return each_answer(*arguments, **options)

    monkeypatch.setattr("greeks.portfolio.risk.each_answer", losing)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    assert _report() == 143
    assert capfd.readouterr().err.count("\n") == 1
    assert sys.unraisablehook is sys.__unraisablehook__


def test_leftovers_of_a_killed_run_are_removed_by_the_next(there):
    Path("out").mkdir()
    status = output.ended_at_step(20, lambda: output.write(there / "out", "new"))
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert any(marks.is_ours(name) for name in output.names("out"))
    assert _report() == 0
    assert not any(marks.is_ours(name) for name in output.names("out"))


def test_handlers_are_those_of_before_afterwards(there):
    def own(*_):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        assert _report() == 0
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert _report() == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_wait_for_a_step_that_must_be_whole():
    done = []

    def steps():
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("whole")
        done.append("never")

    with stoppable() as stops, pytest.raises(Terminated):
        steps()
    assert done == ["whole"]
    with pytest.raises(Terminated):
        stops.check()


def test_in_another_thread_signals_are_left_alone():
    found = []

    def inside():
        with stoppable() as stops, uninterrupted():
            stops.check()
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
