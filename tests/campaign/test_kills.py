"""Runs of the command that are killed, terminated or interrupted at random moments: a report is whole, and nothing foreign is gone."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import books
import output
import pytest
from campaign import budget

from greeks.report import manifest, marks

MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
MOST_STEPS = 170


@pytest.fixture(scope="module")
def killer():
    """Ask for a run that is ended; see `killed`."""
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(tests)}
    command = [sys.executable, str(tests / "campaign" / "killed.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "ready\n"

        def ask(**what):
            process.stdin.write(json.dumps(what) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture
def there(tmp_path):
    """Inputs, an output folder with things of others in it, and siblings with names that older versions took for theirs."""
    (tmp_path / "market.toml").write_text(MARKET, encoding="utf-8")
    books.book(books.trade("1"), books.trade("2", strike=-1.0)).to_csv(tmp_path / "book.csv", index=False)
    for sibling in (".out.old-thesis", ".out.new-thesis", ".scoregreeks-tmp-new-1-thesis"):
        (tmp_path / sibling).mkdir()
        (tmp_path / sibling / "thesis.tex").write_text(sibling)
    (tmp_path / "out").mkdir()
    return tmp_path


def _foreign(out):
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (out / ".env").write_text("A=1\n")
    (out / "lost+found").mkdir()


def _arguments(there, seed, command):
    common = ["book.csv", "--market", "market.toml"]
    paths = [str(there / name) if "." in name else name for name in common]
    return [command, *paths, "--out", str(there / "out"), "--paths", "2000", "--seed", str(seed), "--threads", "1"]


def _state(out):
    """The seed of the whole report in a folder; None for none."""
    if not (out / manifest.NAME).exists():
        return None
    output.whole(out)
    return manifest.read(out)["plan"]["seed"]


def _of_reports(out):
    found = manifest.read(out)
    return {manifest.NAME, *(manifest.listed(found) if found else ())}


def _campaign(killer, there, kills, seed):
    """Kill so many runs, and look at the folder after each; what happened, by signal and outcome."""
    chance, out = random.Random(seed), there / "out"
    _foreign(out)
    foreign, inputs = output.snapshot(out), output.snapshot(there, without=("out", "errors.txt"))
    usual = max(killer(arguments=_arguments(there, 1, "report"), errors=os.devnull, signal=0)["seconds"] for _ in range(2))
    counts, state = Counter(), _state(out)
    assert state == 1
    for trial in range(kills):
        sign, command = SIGNALS[trial % 3], chance.choice(("report", "report", "crosscheck"))
        moment = {"seconds": chance.uniform(0.0, 1.1 * usual)} if trial % 2 else {"step": chance.randrange(MOST_STEPS)}
        (there / "errors.txt").write_text("")
        arguments = _arguments(there, 1000 + trial, command)
        status = killer(arguments=arguments, errors=str(there / "errors.txt"), signal=int(sign), **moment)["status"]
        printed = (there / "errors.txt").read_text()
        now = _state(out)
        note = (trial, sign, moment, status, printed)
        assert now in (state, 1000 + trial), note
        left = [name for name in output.names(out) if marks.is_ours(name)]
        assert output.snapshot(there, without=("out", "errors.txt")) == inputs, note
        assert output.snapshot(out, without=(*_of_reports(out), *left, *_dangling(out))) == foreign, note
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            assert code in (3, 99, CODES.get(sign)), note
            assert not left or code == 99, note
            assert "Traceback" not in printed, note
            assert code != CODES.get(sign) or printed.count("greeks: ") == 1, note
            assert code != 3 or now == 1000 + trial, note
        else:
            assert os.WTERMSIG(status) == sign, note
        counts[sign.name, "new" if now == 1000 + trial else "old", "leftovers" if left else "clean"] += 1
        state = now
    status = killer(arguments=_arguments(there, 5, "report"), errors=os.devnull, signal=0)["status"]
    assert os.WEXITSTATUS(status) == 3
    assert _state(out) == 5
    assert not any(marks.is_ours(name) for name in output.names(out))
    assert output.snapshot(out, without=_of_reports(out)) == foreign
    return counts


def _dangling(out):
    """Links of a run that was killed before anybody could see through them; the next run removes them."""
    return [name for name in output.names(out) if (out / name).is_symlink() and not (out / name).exists() and name != ".link"]


@pytest.mark.parametrize("kills", budget.sizes("GREEKS_CAMPAIGN_KILLS", fast=15, slow=200))
def test_killed_runs_leave_a_whole_report_and_everything_foreign(killer, there, kills):
    counts = _campaign(killer, there, kills, seed=7)
    print(dict(counts))
    assert sum(counts.values()) == kills
    if kills >= 100:  # every signal came both before and after the switch, and SIGKILL left something to clean
        assert {(sign.name, state) for sign, state, _ in [(signal.Signals[s], n, c) for s, n, c in counts]} >= {
            (sign.name, state) for sign in SIGNALS for state in ("old", "new")
        }
        assert any(left == "leftovers" for _, _, left in counts)


@pytest.mark.parametrize("kills", budget.sizes("GREEKS_CAMPAIGN_KILLS", fast=9, slow=200))
def test_killed_runs_on_a_mount_point_leave_a_whole_report_and_everything_foreign(killer, there, kills):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(there / "out")], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted")
    try:
        counts = _campaign(killer, there, kills, seed=11)
    finally:
        subprocess.run(["umount", str(there / "out")], check=True)
    print(dict(counts))
    assert sum(counts.values()) == kills
