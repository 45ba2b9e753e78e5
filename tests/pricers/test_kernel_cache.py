"""The disk cache, in processes of their own: with a small package that is called pricers, made of the real kernel.py."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kernel_package import Package, finish

from pricers.numerics.kernel import kernel


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


def test_a_second_process_compiles_nothing(package):
    first, second = package.run(), package.run()
    assert (first["value"], first["hits"], first["misses"]) == (55.0, 0, 1)
    assert (second["value"], second["hits"], second["misses"]) == (55.0, 1, 0)
    assert first["folder"] == second["folder"]
    assert second["unkept_hits"] == 0


def test_a_change_in_a_callee_in_another_module_is_noticed(package):
    old = package.run()
    package.write(shift=2.0)
    new = package.run()
    assert (old["value"], new["value"], new["hits"]) == (55.0, 65.0, 0)
    assert old["folder"] != new["folder"]
    package.write(shift=1.0)
    back = package.run()
    assert (back["value"], back["hits"], back["folder"]) == (55.0, 1, old["folder"])


def test_a_change_in_the_other_package_is_noticed(package):
    folder = package.run()["folder"]
    (package.sources.parent / "greeks").mkdir()
    (package.sources.parent / "greeks" / "new.py").write_text("x = 1\n")
    assert package.run()["folder"] != folder


def test_sources_that_change_under_a_running_process_are_not_stored(package):
    late = (
        "import pathlib; from pricers.numerics import kernel; "
        "p = pathlib.Path(kernel.__file__).parents[1] / 'callee.py'; kernel.cache_place(); "
    )
    edit = late + "p.write_text(p.read_text().replace('SHIFT = 1.0', 'SHIFT = 3.0'))"
    mixed = package.run(before=edit)
    assert mixed["value"] == 75.0
    assert not list(Path(mixed["folder"]).iterdir())
    package.write(shift=1.0)
    assert package.run()["value"] == 55.0


def test_processes_that_compile_at_once_do_no_harm(package):
    for process in [package.start() for _ in range(4)]:
        assert finish(process)["value"] == 55.0
    assert package.run()["hits"] == 1
    folder = Path(package.run()["folder"])
    assert len(list(folder.iterdir())) == 3  # outer, middle, inner; no leftovers


def test_a_damaged_file_is_compiled_anew(package):
    folder = Path(package.run()["folder"])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    repaired = package.run()
    assert (repaired["value"], repaired["hits"]) == (55.0, 0)
    assert package.run()["hits"] == 1


def test_the_environment_chooses_the_folder(package):
    chosen = package.root / "chosen" / "deep"
    for expected_hits in (0, 1):
        result = package.run(SCOREGREEKS_CACHE_DIR=str(chosen))
        assert Path(result["folder"]).parent == chosen
        assert result["hits"] == expected_hits
    assert not list(package.home.iterdir())


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have one place for caches")
def test_xdg_cache_home_is_respected(package):
    result = package.run(XDG_CACHE_HOME=str(package.root / "xdg"))
    assert Path(result["folder"]).parent == package.root / "xdg" / "scoregreeks"


def unusable(package):
    """A path that no user, root included, can make a folder of."""
    blocked = package.root / "file"
    blocked.touch()
    return {"HOME": str(blocked), "LOCALAPPDATA": str(blocked), "USERPROFILE": str(blocked)}


def test_without_a_usable_home_the_temporary_folder_serves(package):
    for expected_hits in (0, 1):
        result = package.run(**unusable(package))
        assert (result["value"], result["hits"]) == (55.0, expected_hits)
        assert Path(result["folder"]).parent.parent == package.root / "tmp"


def test_without_any_usable_folder_nothing_is_kept_and_nothing_fails(package):
    blocked = unusable(package)
    before = f"import tempfile; tempfile.tempdir = {blocked['HOME']!r}"
    for _ in range(2):
        result = package.run(before=before, **blocked)
        assert (result["value"], result["folder"], result["hits"]) == (55.0, None, 0)


def test_a_chosen_folder_that_cannot_be_written_is_no_error(package):
    result = package.run(SCOREGREEKS_CACHE_DIR=unusable(package)["HOME"])
    assert (result["value"], result["hits"]) == (55.0, 0)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_belongs_to_someone_else_is_not_trusted(package):
    root = Path(package.run()["folder"]).parent
    os.chown(root, 12345, -1)
    result = package.run()
    assert Path(result["folder"]).parent != root
    assert result["hits"] == 0


def test_folders_unused_for_a_month_are_deleted(package):
    folder = Path(package.run()["folder"])
    stale, fresh, other = folder.with_name("kernels-stale"), folder.with_name("kernels-fresh"), folder.with_name("other")
    for path in (stale, fresh, other):
        path.mkdir()
    month_ago = time.time() - 31 * 86400
    os.utime(stale, (month_ago, month_ago))
    os.utime(other, (month_ago, month_ago))
    package.write(shift=2.0)
    package.run()
    assert [path.exists() for path in (folder, stale, fresh, other)] == [True, False, True, True]


def test_functions_from_elsewhere_and_closures_are_not_kept():
    scale = 3.0

    @kernel
    def closure(x):
        return x * scale

    @kernel
    def plain(x):
        return x + 1.0

    assert (closure(2.0), plain(2.0)) == (6.0, 3.0)
    assert closure.stats.cache_path is None
    assert plain.stats.cache_path is None


def test_sums_are_in_order_unless_they_may_be_reordered():
    def total(x):
        result = 0.0
        for path in range(x.size):
            result += x[path]
        return result

    x = np.array([2.0**53, *126 * [1.0], -(2.0**53)])
    assert kernel(total)(x) == 0.0  # every 1 in turn is rounded away
    assert kernel(sums=True)(total)(x) > 50.0  # vector paths that hold ones alone


def test_division_by_zero_is_ieee():
    @kernel
    def quotient(x, y):
        return x / y

    assert quotient(1.0, 0.0) == np.inf
    assert np.isnan(quotient(0.0, 0.0))
