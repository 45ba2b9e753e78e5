"""How long a campaign may be: few examples in the fast suite, more in the slow one, as many as are asked for."""

import os

import pytest


def sizes(variable, *, fast, slow):
    """Parameters for a test: a number of examples for the fast suite, and one for the slow suite, which ``variable`` overrides."""
    asked = int(os.environ.get(variable, slow))
    return [pytest.param(fast, id="fast"), pytest.param(asked, id="slow", marks=pytest.mark.slow)]
