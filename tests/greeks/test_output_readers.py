"""Who reads a report while another takes its place, and what is left of a run that ends while it tries the folder out."""

import json
import os
import signal
from pathlib import Path

import output
import pytest

from greeks.report import folder, manifest, marks

SWITCHES = 15


def _child(run):
    """A process that does ``run``; its number, and where it writes what ``run`` returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    code = 1
    try:
        os.write(writing, json.dumps(run()).encode())
        code = 0
    finally:
        os._exit(code)


def _result(child, reading):
    with os.fdopen(reading, "rb") as pipe:
        printed = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(printed)


def _opened_until(out, stop):
    """Open every name of a report again and again; how often, and what was not found or was no single report's file."""
    opened, faults = 0, []
    while not stop.exists():
        for name in (*output.KINDS["risk"], manifest.NAME):
            opened += 1
            try:
                content = (out / name).read_text()
            except OSError as error:
                faults.append(f"{name}: {error}")
                continue
            if name != manifest.NAME and (len(set(content.split("\n"))), content.count("\n")) != (2, 50):
                faults.append(f"{name}: {content[:100]}")
    return opened, faults[:5]


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
def test_name_that_is_opened_in_the_instant_of_a_switch_is_always_there_and_whole(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no hard links")))
    monkeypatch.setattr(folder, "_GRACE", 0.4)  # readers may wait long for a processor where tests run side by side
    out, stop = tmp_path / "out", tmp_path / "stop"
    output.write(out, "first")
    readers = [_child(lambda: _opened_until(out, stop)) for _ in range(2)]
    for turn in range(SWITCHES):
        output.write(out, f"{turn}")
    stop.touch()
    for opened, faults in [_result(*reader) for reader in readers]:
        assert faults == []
        assert opened > 10 * SWITCHES


def test_all_that_a_reader_may_be_on_its_way_through_stays_until_the_grace_is_over(tmp_path, monkeypatch):
    output.write(tmp_path, "old")
    found, waited = {}, []

    def waiting(seconds):
        waited.append(seconds)
        for name in filter(marks.is_ours, output.names(tmp_path)):
            if (tmp_path / name / "risk.csv").exists():
                found[marks.purpose(name)] = (tmp_path / name / "risk.csv").read_text().split()[0]
        assert not (tmp_path / "risk.csv").is_symlink()

    monkeypatch.setattr(folder.time, "sleep", waiting)
    output.write(tmp_path, "new")
    assert waited == [folder._GRACE]
    assert folder._GRACE >= 0.2
    assert found == {"link": "new", "old": "old", "new": "new"}
    assert output.whole(tmp_path) == "new"
    assert not any(marks.is_ours(name) for name in output.names(tmp_path))


def test_no_room_for_a_copy_of_a_new_file_moves_it(tmp_path, monkeypatch):
    output.write(tmp_path, "old")
    keep, left = folder._keep, [len(output.KINDS["risk"]) + 3]

    def limited(file, copy):
        left[0] -= 1
        if left[0] < 0:
            copy.write_text("half")
            raise OSError(28, "No space left on device")
        keep(file, copy)

    monkeypatch.setattr(folder, "_keep", limited)
    output.write(tmp_path, "new")
    assert left[0] < 0
    assert output.whole(tmp_path) == "new"
    assert output.names(tmp_path) == sorted([manifest.NAME, *output.KINDS["risk"]])


# The trial


@pytest.mark.parametrize("out", ["out", "deep/er/out", "there"])
def test_killed_while_the_folder_is_tried_the_next_run_leaves_nothing_of_it(tmp_path, out):
    step, leftovers, status = 0, 0, 1
    while status != 0:
        place = tmp_path / str(step)
        (place / "there").mkdir(parents=True)
        (place / "mine.txt").write_text("mine")
        (place / ".scoregreeks-tmp-probe-1-thesis").mkdir()
        before = output.snapshot(place)
        status = output.ended_at_step(step, lambda place=place: folder.prepare(place / out))
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        left = set(output.snapshot(place)) - set(before)
        assert all(any(map(marks.is_ours, Path(name).parts)) for name in left)
        leftovers += bool(left)
        if step % 2 and out == "out":
            (place / out).mkdir()  # by hand, meanwhile
        output.write(place / out, "new")
        assert output.whole(place / out) == "new"
        assert output.snapshot(place, without=(out.split("/")[0],)) == {
            name: what for name, what in before.items() if name.split("/")[0] != out.split("/")[0]
        }
        assert not any(marks.is_ours(path.name) for path in place.rglob("*"))
        step += 1
    assert leftovers > 2


def test_trial_of_another_run_takes_nothing_of_a_report_that_is_just_put_in_place(tmp_path, monkeypatch):
    """A run that has found the folder in order tries it out while another one is between its steps."""
    output.write(tmp_path, "old")
    flush, tried = folder._flush, []

    def trying(path):
        flush(path)
        if len(tried) < 20:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    folder._flush = flush
                    folder._try(tmp_path)
                    folder._try(tmp_path / "of its own")
                    code = 0
                finally:
                    os._exit(code)
            tried.append(os.waitpid(child, 0)[1])
            assert output.whole(tmp_path) in ("old", "new")

    monkeypatch.setattr(folder, "_flush", trying)
    output.write(tmp_path, "new")
    assert len(tried) > 5
    assert set(tried) == {0}
    assert output.whole(tmp_path) == "new"
    assert output.names(tmp_path) == sorted([manifest.NAME, *output.KINDS["risk"]])
