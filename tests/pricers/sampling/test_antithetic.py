import numpy as np
import pytest

from pricers import Antithetic, InvalidInput, Plan
from pricers.random_numbers.path_block import Block


def test_half_of_the_paths_mirrors_the_other():
    block = Block(seed=3, stream="", time_grid=(0.5, 1.0), first=64, n_paths=128, sampling=Antithetic())
    plain = Block(seed=3, stream="", time_grid=(0.5, 1.0), first=64, n_paths=64)
    assert np.array_equal(block.normals()[:, :64], plain.normals())
    assert np.array_equal(block.normals()[:, 64:], -plain.normals())


def test_pairs_need_an_even_number_of_paths():
    assert Plan(paths=100, sampling=Antithetic()).samples == 50
    with pytest.raises(InvalidInput, match="^paths must be even"):
        Plan(paths=101, sampling=Antithetic())


def test_a_sampling_must_be_one():
    with pytest.raises(InvalidInput, match=r"^sampling must be a way of sampling, such as Sobol\(\)"):
        Plan(sampling="sobol")
