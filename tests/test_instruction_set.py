"""Same bits hold for one instruction set; which one it was is on record, and another one changes no more than rounding."""

import json

import numpy as np
import pytest
from small_session import SESSION, run

from pricers.numerics.kernel import instruction_set

SAID = "import json; from pricers.numerics.kernel import instruction_set; print(json.dumps(instruction_set()))"


def test_the_instruction_set_is_that_of_the_process_and_changes_with_it():
    here, again, generic = (json.loads(run("-c", SAID, **choice)) for choice in ({}, {}, {"NUMBA_CPU_NAME": "generic"}))
    assert here == again == instruction_set()
    assert here["cpu"]
    assert len(here["features"]) == 16
    assert generic["cpu"] == "generic"
    fewer = json.loads(run("-c", SAID, NUMBA_CPU_FEATURES=""))
    assert fewer["features"] != here["features"]


@pytest.mark.slow
def test_another_instruction_set_changes_no_more_than_rounding():
    here, generic = (
        json.loads(run("-c", SESSION, **choice)) for choice in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""})
    )
    np.testing.assert_allclose(np.array(generic), np.array(here), rtol=3e-11, atol=1e-13)
