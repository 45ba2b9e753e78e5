"""What a report does to the folder it is written into: its own files as a whole, and nothing else."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import books
import output
import pytest

from greeks.commands.cli import main
from greeks.report import folder, manifest, marks, space
from pricers import InvalidInput

MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"
ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def _no_long_grace(monkeypatch):
    """Nobody reads here while reports are put in place, but where a test says so; see `test_output_readers`."""
    monkeypatch.setattr(folder, "_GRACE", 0.001)


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with a market and a book of one row, as the current one."""
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    return tmp_path


def _report(out, *more):
    return main(["report", "book.csv", "--market", "market.toml", "--out", str(out), "--paths", "200", "--threads", "1", *more])


# Nothing foreign is touched


def _foreign(where):
    """What a second report used to delete."""
    (where / ".git" / "objects").mkdir(parents=True)
    (where / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (where / ".env").write_text("SECRET=1\n")
    (where / ".link").symlink_to("/nowhere")


def test_second_report_leaves_every_dot_name_alone(tmp_path):
    out = tmp_path / "neu"
    output.write(out, "old")
    _foreign(out)
    before = output.snapshot(out, without=("manifest.json", *output.KINDS["risk"]))
    output.write(out, "new")
    assert output.whole(out) == "new"
    assert output.snapshot(out, without=("manifest.json", *output.KINDS["risk"])) == before


def test_siblings_with_names_like_temporary_ones_are_left_alone(tmp_path):
    for name in (".neu.old-thesis", ".neu.new-thesis", ".neu.new-0123456789ab", ".scoregreeks-tmp-new-1-thesis", "neu.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text(name)
    before = output.snapshot(tmp_path)
    output.write(tmp_path / "neu", "old")
    output.write(tmp_path / "neu", "new")
    assert output.snapshot(tmp_path, without=("neu",)) == before


def test_names_without_the_full_mark_inside_are_left_alone(tmp_path):
    output.write(tmp_path, "old")
    near = [".scoregreeks-tmp-", ".scoregreeks-tmp-new-1", ".scoregreeks-tmp-new-1-" + "g" * 32, marks.fresh("new") + "x"]
    for name in near:
        (tmp_path / name).write_text("mine")
    output.write(tmp_path, "new")
    assert [(tmp_path / name).read_text() for name in near] == ["mine"] * len(near)


@pytest.mark.parametrize("listed", ["../thesis.tex", "/etc/hostname", "sub/thesis.tex", "..", ".git", "a\\b"])
def test_manifest_that_lists_paths_does_not_make_them_ours(tmp_path, listed):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / ".git").mkdir()
    for path in (tmp_path / "thesis.tex", out / "sub" / "thesis.tex"):
        path.write_text("mine")
    forged = {"program": manifest.PROGRAM, "files": {listed: "0" * 64}}
    (out / manifest.NAME).write_text(json.dumps(forged))
    before = output.snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="holds sub, which no report wrote"):
        output.write(out, "new")
    assert output.snapshot(tmp_path) == before


@pytest.mark.parametrize("purpose", ["link", "ready", "old", "new", "swap"])
def test_links_that_somebody_planted_under_marked_names_move_and_remove_nothing_elsewhere(tmp_path, purpose):
    mine, out = tmp_path / "mine", tmp_path / "out"
    output.write(mine, "mine")
    (mine / "thesis.tex").write_text("mine")
    output.write(out, "old")
    planted = marks.fresh(purpose).replace(f"-{os.getpid()}-", "-999999-")
    (out / planted).symlink_to(mine)
    for name in ("thesis.tex", "errors.txt"):
        (out / f".{name}").symlink_to(f"{planted}/.{name}")
    (out / "risk.csv").unlink()
    (out / "risk.csv").symlink_to(f"{planted}/risk.csv")
    before = output.snapshot(mine)
    with contextlib.suppress(InvalidInput):
        output.write(out, "new")
    assert output.snapshot(mine) == before


def test_file_of_the_old_report_that_was_changed_and_is_not_replaced_is_kept(tmp_path):
    output.write(tmp_path / "out", "old", "risk")
    (tmp_path / "out" / "totals.csv").write_text("my notes\n")
    output.write(tmp_path / "out", "new", "crosscheck")
    assert output.names(tmp_path / "out") == ["crosscheck.csv", "errors.csv", "manifest.json", "totals.csv"]
    assert (tmp_path / "out" / "totals.csv").read_text() == "my notes\n"


def test_file_that_came_while_computing_is_neither_lost_nor_replaced(tmp_path):
    output.write(tmp_path / "out", "old", "crosscheck")
    before = output.snapshot(tmp_path / "out")

    def write():
        with folder.replaced(tmp_path / "out") as new:
            (new / "risk.csv").write_text("new")
            (tmp_path / "out" / "risk.csv").write_text("mine")

    with pytest.raises(InvalidInput, match=r"holds risk\.csv, which no report wrote"):
        write()
    assert (tmp_path / "out" / "risk.csv").read_text() == "mine"
    assert output.snapshot(tmp_path / "out", without=("risk.csv",)) == before


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "", "\x00", '{"program": 3}'])
def test_manifest_that_nobody_can_read_is_foreign(tmp_path, content):
    (tmp_path / manifest.NAME).write_text(content)
    with pytest.raises(InvalidInput, match="other things than a report"):
        folder.prepare(tmp_path)


def test_pipe_in_the_place_of_the_manifest_stops_nobody(tmp_path):
    os.mkfifo(tmp_path / manifest.NAME)
    with pytest.raises(InvalidInput, match="other things than a report"):
        folder.prepare(tmp_path)


# As a whole or not at all, wherever the process ends


@pytest.fixture(params=["links", "copies"])
def kept(request, monkeypatch):
    """The old report is kept by hard links, or by copies where there are none."""
    if request.param == "copies":
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no hard links")))


@pytest.mark.parametrize(("before", "after"), [("risk", "risk"), ("risk", "crosscheck"), (None, "risk")])
def test_killed_at_every_single_step_the_old_or_the_new_report_is_whole(tmp_path, kept, before, after):
    steps = seen = 0
    while True:
        out = tmp_path / f"{steps}" / "out"
        out.mkdir(parents=True)
        _foreign(out)
        foreign = output.snapshot(out)
        if before:
            output.write(out, "old", before)
        old = "old" if before else None
        status = output.ended_at_step(steps, lambda out=out: output.write(out, "new", after))
        found = output.whole(out)
        assert found in (old, "new")
        seen += found != "new"
        assert output.names(out.parent) == ["out"]
        folder.prepare(out)  # the next run
        assert output.whole(out) == found
        files = {"manifest.json", *output.KINDS[after if found == "new" else before]} if found else set()
        assert set(output.names(out)) == files | set(output.names(tmp_path / f"{steps}" / "out")) & set(foreign)
        assert output.snapshot(out, without=files) == foreign
        assert not any((out / name).is_symlink() for name in files)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        steps += 1
    assert steps > 30
    assert 10 < seen < steps


def test_killed_where_there_are_no_symbolic_links_the_next_run_finishes(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(95, "no symbolic links")

    monkeypatch.setattr(os, "symlink", refuse)
    seen, step, status = set(), 0, 1
    while status != 0:
        out = tmp_path / str(step)
        output.write(out, "old", "risk")
        status = output.ended_at_step(step, lambda out=out: output.write(out, "new", "crosscheck"))
        with contextlib.suppress(AssertionError, FileNotFoundError):  # the digests tell a mixture
            assert output.whole(out) in ("old", "new")
        folder.prepare(out)
        seen.add(output.whole(out))
        kind = "risk" if output.whole(out) == "old" else "crosscheck"
        assert output.names(out) == sorted(["manifest.json", *output.KINDS[kind]])
        step += 1
    assert seen == {"old", "new"}


def test_no_room_while_putting_in_place_leaves_the_old_report(tmp_path, monkeypatch):
    output.write(tmp_path / "out", "old")
    before = output.snapshot(tmp_path)
    link = os.symlink
    for allowed in range(6):
        left = [allowed]

        def limited(*arguments, left=left, **options):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            link(*arguments, **options)

        monkeypatch.setattr(os, "symlink", limited)
        with pytest.raises(OSError, match="No space"):
            output.write(tmp_path / "out", "new")
        assert output.snapshot(tmp_path) == before
    monkeypatch.setattr(os, "symlink", link)
    output.write(tmp_path / "out", "new")
    assert output.whole(tmp_path / "out") == "new"


def test_reader_finds_a_whole_report_while_others_write(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_GRACE", 0.05)
    out = tmp_path / "out"
    output.write(out, "0")
    children = []
    for writer in range(2):
        child = os.fork()
        if child == 0:
            try:
                for turn in range(20):
                    output.write(out, f"{writer}-{turn}", ("risk", "crosscheck")[turn % 2])
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = []
    versions = set()
    while len(codes) < 2:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            codes.append(status)
        content = manifest.read(out)
        assert content is not None
        versions.add(content["version"])
    assert codes == [0, 0]
    assert output.whole(out) in ("0-19", "1-19")
    assert len(versions) > 5
    assert set(output.names(out)) == {"manifest.json", *output.KINDS["crosscheck"]}


def test_first_reports_of_several_processes_at_once_are_all_written(tmp_path):
    for turn in range(15):
        out, children = tmp_path / f"{turn}" / "deep" / "out", []
        for writer in range(3):
            child = os.fork()
            if child == 0:
                try:
                    output.write(out, f"{writer}")
                except BaseException:
                    os._exit(1)
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert output.whole(out) in ("0", "1", "2")
        assert set(output.names(out)) == {"manifest.json", *output.KINDS["risk"]}


def test_folder_that_another_run_made_tried_and_removed_is_made_again(tmp_path, monkeypatch):
    make = folder._make

    def made_and_removed(folders):
        make(folders)
        for path in reversed(folders):
            path.rmdir()

    monkeypatch.setattr(folder, "_make", made_and_removed)
    output.write(tmp_path / "deep" / "out", "new")
    assert output.whole(tmp_path / "deep" / "out") == "new"


def test_leftovers_of_a_process_that_lives_stay_and_of_one_that_is_gone_go(tmp_path):
    output.write(tmp_path, "old")
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with marks.temporary_folder(tmp_path, "new"), marks.temporary_file(tmp_path):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    gone = tmp_path / marks.fresh("new")
    gone.mkdir()
    (gone / "risk.csv").write_text("half")
    (tmp_path / marks.fresh("file")).write_text("half")
    held = {name for name in output.names(tmp_path) if marks.is_ours(name)}
    folder.prepare(tmp_path)
    left = {name for name in output.names(tmp_path) if marks.is_ours(name)}
    leave.set()
    holder.join()
    assert len(held) == 4
    assert len(left) == 2
    assert gone.name not in left
    assert not any(marks.is_ours(name) for name in output.names(tmp_path))


# Where a report can be written


def test_current_folder_takes_a_report_and_stays_the_current_one(tmp_path, there, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    place = Path().stat().st_ino
    for seed in ("1", "2"):
        command = ["report", "../book.csv", "--market", "../market.toml", "--out", ".", "--paths", "200", "--seed", seed]
        assert main(command) == 0
        assert Path().stat().st_ino == place
        assert manifest.read(Path())["plan"]["seed"] == int(seed)


def test_mount_point_takes_a_report(there):
    out = there / "volume"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(out)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted")
    try:
        (out / "lost+found").mkdir()  # as in the root of many volumes
        for seed in ("1", "2"):
            assert _report(out, "--seed", seed) == 0
            assert manifest.read(out)["plan"]["seed"] == int(seed)
        with pytest.raises(OSError, match="busy"):
            out.rename(there / "elsewhere")
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_folder_itself_keeps_its_place_and_its_mode(tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    place = out.stat().st_ino
    output.write(out, "old")
    output.write(out, "new")
    assert (out.stat().st_ino, oct(out.stat().st_mode & 0o777)) == (place, "0o750")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, os.fsdecode(b"caf\xe9-\xff"), "a\nb", " "])
def test_long_and_odd_names_are_folders_as_any_other(there, name, capsys):
    try:
        (there / name).mkdir()
    except OSError:
        pytest.skip("no name of this file system")
    (there / name).rmdir()
    for _ in range(2):
        assert _report(there / name) == 0
    assert output.names(there) == sorted(["book.csv", "market.toml", name])
    assert "Traceback" not in capsys.readouterr().err


def test_book_and_market_may_have_names_that_are_no_text(there):
    odd = os.fsdecode(b"b\xff")
    Path("book.csv").rename(f"{odd}.csv")
    Path("market.toml").rename(f"{odd}.toml")
    command = ["report", f"{odd}.csv", "--market", f"{odd}.toml", "--out", "out", "--paths", "200"]
    assert main(command) == 0
    assert set(manifest.read(Path("out"))["inputs"]) == {f"{odd}.csv", f"{odd}.toml"}


def _computes(*_, **__):
    raise AssertionError("the run was computed before the output was tried")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: "n" * 256, "too long"),
        (lambda: Path("file").write_text("mine") and "file", "is a file"),
        (lambda: Path("file").write_text("mine") and "file/out", "cannot be written"),
        (lambda: Path("self").symlink_to("self") or "self", "output folder"),
        (lambda: "/proc/out", "cannot be written"),
        (lambda: "/".join(["d" * 200] * 19 + ["x" * 150]), "too long"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_computing(there, monkeypatch, capsys, make, words):
    out = make()
    before = output.snapshot(there)
    monkeypatch.setattr("greeks.commands.cli._computed", _computes)
    assert _report(out) == 1
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
    assert output.snapshot(there) == before


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_folder_without_the_right_to_write_is_refused_before_computing(there, monkeypatch, capsys):
    Path("out").mkdir(mode=0o500)
    monkeypatch.setattr("greeks.commands.cli._computed", _computes)
    assert _report("out") == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_full_disk_is_refused_before_computing(there, capsys, monkeypatch):
    out = there / "volume"
    out.mkdir()
    monkeypatch.setattr("greeks.portfolio.risk.risk_run", _computes)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(out)], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting is not permitted")
    try:
        assert _report(out) == 1
        assert "MB free, and a report of 1 trades needs about" in capsys.readouterr().err
        with contextlib.suppress(OSError), (out / ".filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert _report(out) == 1
        assert "cannot be written: No space left" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_space_that_a_report_takes_is_foreseen(there):
    books.book(*(books.trade(f"{n}", strike=90.0 + n / 10) for n in range(60))).to_csv("book.csv", index=False)
    assert _report("out") == 0
    taken = sum(path.stat().st_size for path in Path("out").iterdir())
    assert taken < space.expected_bytes("report", rows=60) < 8 * taken
    command = ["crosscheck", "book.csv", "--market", "market.toml", "--out", "cross", "--paths", "200"]
    assert main(command) == 0
    taken = sum(path.stat().st_size for path in Path("cross").iterdir())
    assert taken < space.expected_bytes("crosscheck", rows=60) < 8 * taken


# Standard output and standard error have no say


def _process(redirection, *more):
    command = (
        f"{sys.executable} -m greeks report book.csv --market market.toml --out out --paths 200 {' '.join(more)} {redirection}"
    )
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "redirection", [">&-", ">/dev/full", "2>&-", "2>/dev/full >/dev/full", "<&- >&- 2>&-", "| true; exit ${PIPESTATUS[0]}"]
)
def test_closed_or_full_output_changes_no_exit_code(there, redirection):
    books.book(books.trade("1"), books.trade("2", strike=-1.0)).to_csv("book.csv", index=False)
    done = _process(redirection)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert output.whole("out") is not None
    assert "priced" not in Path("out/risk.csv").read_text()


def test_name_that_the_output_s_encoding_lacks_changes_no_exit_code(there, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [
        sys.executable,
        "-m",
        "greeks",
        "report",
        "book.csv",
        "--market",
        "market.toml",
        "--out",
        "größe",
        "--paths",
        "200",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in done.stdout
