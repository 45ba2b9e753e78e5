"""What lies in a cache folder is run: only what this user put there, and only as it was put there."""

import os
import pickle
import stat
import tempfile
from pathlib import Path

import pytest
from kernel_package import Package, finish

import pricers.numerics.kernel
from pricers.numerics import kernel_entry, trusted_folder

NAME = "kernels-0123"

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes and owners are POSIX's")
root_only = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")


class Trap:
    """What runs when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


@pytest.fixture
def entry(tmp_path):
    file = tmp_path / "entry"
    kernel_entry.write(file, "kernels-a/entry", bytes(range(256)) * 20)
    return file


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Nothing but folders of the test's own: a home, a temporary folder; no choice."""
    for name in ("SCOREGREEKS_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def usable():
    refused = []
    return pricers.numerics.kernel._usable(NAME, refused), refused


def test_an_entry_is_read_as_it_was_written(entry):
    assert kernel_entry.read(entry, "kernels-a/entry") == bytes(range(256)) * 20
    assert list(entry.parent.iterdir()) == [entry]


def test_every_flipped_bit_and_every_truncation_is_noticed(entry):
    original = entry.read_bytes()
    for bit in range(0, 8 * len(original), 1 if len(original) < 300 else 7):
        damaged = bytearray(original)
        damaged[bit // 8] ^= 1 << bit % 8
        entry.write_bytes(damaged)
        with pytest.raises(kernel_entry.Unusable):
            kernel_entry.read(entry, "kernels-a/entry")
    for length in range(0, len(original), 13):
        entry.write_bytes(original[:length])
        with pytest.raises(kernel_entry.Unusable, match=r"cut off|not as it was written"):
            kernel_entry.read(entry, "kernels-a/entry")
    entry.write_bytes(original + b"\0")
    with pytest.raises(kernel_entry.Unusable):
        kernel_entry.read(entry, "kernels-a/entry")


def test_an_entry_under_another_name_is_refused(entry):
    with pytest.raises(kernel_entry.Unusable, match="not as it was written"):
        kernel_entry.read(entry, "kernels-b/entry")


@posix
def test_only_plain_files_that_nobody_else_can_write_are_read(entry, tmp_path):
    kernel_entry.read(entry, "kernels-a/entry")
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(entry)
    os.mkfifo(pipe)
    folder.mkdir()
    for file in (link, pipe, folder):  # a pipe that nobody writes to must not hang
        with pytest.raises(kernel_entry.Unusable, match="not a plain file"):
            kernel_entry.read(file, "kernels-a/entry")
    entry.chmod(0o646)
    with pytest.raises(kernel_entry.Unusable, match="written by others"):
        kernel_entry.read(entry, "kernels-a/entry")


@root_only
def test_an_entry_that_belongs_to_someone_else_is_refused(entry):
    os.chown(entry, 12345, -1)
    with pytest.raises(kernel_entry.Unusable, match="written by others"):
        kernel_entry.read(entry, "kernels-a/entry")


@posix
def test_a_huge_file_is_refused_before_it_is_read(entry):
    with entry.open("r+b") as file:
        file.truncate(2**40)  # a hole: a terabyte that takes no room
    with pytest.raises(kernel_entry.Unusable, match="not as it was written"):
        kernel_entry.read(entry, "kernels-a/entry")


@posix
def test_entries_are_for_this_user_to_write_whatever_the_mask(tmp_path):
    before = os.umask(0)
    try:
        kernel_entry.write(tmp_path / "entry", "name", b"content")
        trusted_folder.make(tmp_path / "a" / "b", 0o700)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "entry").stat().st_mode) == 0o644
    assert [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("a", "a/b")] == [0o700, 0o700]


def test_nothing_is_left_where_the_disk_is_full(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        kernel_entry.write(tmp_path / "entry", "name", b"content")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_removed_later(tmp_path):
    old, new, entry = tmp_path / ".part-old", tmp_path / ".part-new", tmp_path / "entry"
    for path in (old, new, entry):
        path.write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    os.utime(entry, (1e9, 1e9))
    kernel_entry.sweep(tmp_path)
    assert (old.exists(), new.exists(), entry.exists()) == (False, True, True)


@posix
def test_a_folder_of_ones_own_is_trusted_whether_or_not_it_exists(tmp_path):
    assert trusted_folder.untrusted(tmp_path) is None
    assert trusted_folder.untrusted(tmp_path / "new" / "deeper") is None
    (tmp_path / "file").touch()
    assert trusted_folder.untrusted(tmp_path / "file" / "deeper") is None


@posix
@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_not_trusted(tmp_path, mode):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    assert trusted_folder.untrusted(folder) == f"{folder} can be written by others"
    above = trusted_folder.untrusted(folder / "inner")
    assert above == (None if mode & stat.S_ISVTX else f"{folder} can be written by others")


@root_only
def test_a_group_with_other_members_is_others_and_ones_own_group_is_not(tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    folder.chmod(0o770)
    assert trusted_folder.untrusted(folder) is None  # root's group has no other members
    os.chown(folder, -1, 12345)
    assert trusted_folder.untrusted(folder) == f"{folder} can be written by others"


@root_only
def test_a_folder_or_parent_that_belongs_to_someone_else_is_not_trusted(tmp_path):
    parent = tmp_path / "parent"
    (parent / "folder").mkdir(parents=True)
    os.chown(parent, 12345, -1)
    for path in (parent, parent / "folder", parent / "new"):
        assert trusted_folder.untrusted(path) == f"{parent} belongs to the user with the number 12345"


@posix
def test_a_link_is_as_good_as_what_it_leads_to(tmp_path):
    bad, good, second, first = (tmp_path / name for name in ("bad", "good", "second", "first"))
    bad.mkdir()
    good.mkdir()
    bad.chmod(0o777)
    second.symlink_to("bad")  # relative, by way of another link
    first.symlink_to(second)
    assert trusted_folder.untrusted(first) == f"{bad} can be written by others"
    assert trusted_folder.untrusted(first / "inner") == f"{bad} can be written by others"
    (tmp_path / "fine").symlink_to(good)
    assert trusted_folder.untrusted(tmp_path / "fine" / "inner") is None
    (bad / "hop").symlink_to(good)  # others could turn it elsewhere
    assert trusted_folder.untrusted(bad / "hop" / "inner") == f"{bad} can be written by others"
    assert trusted_folder.untrusted(tmp_path / "fine" / ".." / "bad") == f"{bad} can be written by others"


@posix
def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "symbolic links" in trusted_folder.untrusted(tmp_path / "a" / "inner")


@root_only
def test_a_link_that_belongs_to_someone_else_is_not_trusted(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "link").symlink_to("good")
    os.chown(tmp_path / "link", 12345, -1, follow_symlinks=False)
    assert "symbolic link that belongs to the user with the number 12345" in trusted_folder.untrusted(tmp_path / "link")


@posix
@pytest.mark.parametrize("how", ["folder", "parent", "link"])
@pytest.mark.parametrize("variable", ["SCOREGREEKS_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_folder_from_the_environment_that_others_can_write_is_refused(places, monkeypatch, variable, how):
    bad = places / "bad"
    bad.mkdir()
    bad.chmod(0o777)
    named = {"folder": bad, "parent": bad / "inner", "link": places / "link"}[how]
    if how == "link":
        named.symlink_to(bad)
    monkeypatch.setenv(variable, str(named))
    folder, refused = usable()
    assert folder is not None
    assert not folder.is_relative_to(bad)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [fault for _, fault in refused] == [f"{bad} can be written by others"]


@posix
def test_a_temporary_folder_that_someone_prepared_is_not_used_and_a_fresh_one_is_found_again(places, monkeypatch):
    (places / "file").touch()
    monkeypatch.setenv("HOME", str(places / "file"))
    planted = places / "tmp" / f"scoregreeks-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    folder, refused = usable()
    assert folder.parent.name.startswith(f"{planted.name}-")
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert [root for root, _ in refused] == [planted]
    assert usable()[0] == folder
    foreign = places / "tmp" / f"{planted.name}-0"  # sorts first
    foreign.mkdir()
    foreign.chmod(0o777)
    assert usable()[0] == folder


@posix
def test_where_others_can_replace_everything_nothing_is_kept(places):
    (places / "home").chmod(0o777)
    (places / "tmp").chmod(0o777)
    folder, refused = usable()
    assert folder is None
    assert len(refused) == 2
    assert list((places / "tmp").iterdir()) == []


@posix
def test_planted_code_is_not_run(package):
    """A pickle with a valid digest, in every place where this process would look for a kernel."""
    marker = package.root / "run"
    folder = Path(package.run(SCOREGREEKS_CACHE_DIR=str(package.root / "chosen"))["folder"])
    for file in folder.iterdir():
        kernel_entry.write(file, f"{folder.name}/{file.name}", pickle.dumps(Trap(marker)))
    folder.parent.chmod(0o777)
    result = package.run(SCOREGREEKS_CACHE_DIR=str(folder.parent))
    assert (result["value"], result["hits"]) == (55.0, 0)
    assert not marker.exists()
    assert Path(result["folder"]).parent == package.home / ".cache" / "scoregreeks"
    assert f"Compiled kernels are not kept in {folder.parent}: {folder.parent} can be written by others" in result["stderr"]
    assert "chmod go-w" in result["stderr"]
    assert result["folder"].rsplit("/", 1)[0] in result["stderr"]
    again = package.run(SCOREGREEKS_CACHE_DIR=str(folder.parent))
    assert again["hits"] == 1

    folder.parent.chmod(0o755)  # only one who may write there could have done it; then it would run, which this test relies on
    assert package.run(SCOREGREEKS_CACHE_DIR=str(folder.parent))["value"] == 55.0
    assert marker.exists()


def test_old_entries_without_a_digest_are_not_run(package):
    marker = package.root / "run"
    folder = Path(package.run()["folder"])
    for file in folder.iterdir():
        file.write_bytes(pickle.dumps(Trap(marker)))
    assert package.run()["value"] == 55.0
    assert not marker.exists()
    assert package.run()["hits"] == 1


@posix
def test_a_cache_filled_beforehand_and_read_only_serves(package):
    chosen = package.root / "chosen"
    folder = Path(package.run(SCOREGREEKS_CACHE_DIR=str(chosen))["folder"])
    (broken, *_) = (file for file in folder.iterdir() if "outer" in file.name)
    assert package.run(SCOREGREEKS_CACHE_DIR=str(chosen))["hits"] == 1
    broken.write_bytes(b"damaged")
    folder.chmod(0o555)
    result = package.run(SCOREGREEKS_CACHE_DIR=str(chosen))
    assert (result["value"], result["hits"], result["stderr"]) == (55.0, 0, "")


def test_processes_that_find_the_same_damage_at_once_share_what_they_make(package):
    folder = Path(package.run()["folder"])
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    for process in [package.start() for _ in range(3)]:
        result = finish(process)
        assert (result["value"], result["stderr"]) == (55.0, "")
    assert package.run()["hits"] == 1
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]
