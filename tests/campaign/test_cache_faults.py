"""Flipped bits and truncations in cached kernels: no crash, no wrong number, and the entry is made anew.

CAMPAIGN_CACHE_FAULTS is the number of damages, by default 1,000 in the slow suite.
"""

import os
import subprocess
import sys

import kernel_faults
import pytest
from kernel_package import Package

BUDGET = int(os.environ.get("CAMPAIGN_CACHE_FAULTS", "1000"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each damage is tried in a forked process")


def hurt(package, count, seed):
    folder = package.run()["folder"]
    environment = {**package.environment, "PYTHONPATH": str(package.sources.parent)}
    damage = kernel_faults.mutations(count, seed=seed)
    timeout = 60 + 20 * count
    return kernel_faults.faults(folder, kernel_faults.PACKAGE, damage, environment=environment, timeout=timeout, cwd=package.root)


def test_damaged_kernels_neither_crash_nor_change_a_number(tmp_path):
    found, noise = hurt(Package(tmp_path), 16, seed=1)
    assert found == []
    assert noise == ""


@pytest.mark.slow
def test_a_thousand_damaged_kernels_neither_crash_nor_change_a_number(tmp_path):
    found, noise = hurt(Package(tmp_path), BUDGET, seed=2)
    assert found == []
    assert noise == ""


@pytest.mark.slow
def test_damaged_kernels_of_a_real_greek_neither_crash_nor_change_a_number(tmp_path):
    environment = {"SCOREGREEKS_CACHE_DIR": str(tmp_path / "kernels")}
    expected = subprocess.run(
        [sys.executable, "-c", kernel_faults.GREEKS.format(expected=None) + "print(run())"],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (folder,) = (tmp_path / "kernels").iterdir()
    assert len(list(folder.iterdir())) > 10
    count = max(BUDGET // 20, 1)
    setup = kernel_faults.GREEKS.format(expected=expected.strip())
    damage = kernel_faults.mutations(count, seed=4)
    found, noise = kernel_faults.faults(folder, setup, damage, environment=environment, timeout=120 + 120 * count)
    assert found == []
    assert noise == ""
