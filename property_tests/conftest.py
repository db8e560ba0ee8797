"""Hypothesis profiles and the array libraries."""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

from accbo._arrays import Array
from tests.leaks import nothing_is_left  # noqa: F401

os.environ.setdefault("JAX_PLATFORMS", "cpu")

# A shared machine makes the time of one example meaningless; sizes are bounded by the strategies.
_COMMON = settings(
    deadline=None, print_blob=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", _COMMON, derandomize=True, max_examples=20)
# tests.mutants asks whether, not where: nothing is shrunk
settings.register_profile(
    "mutants", _COMMON, derandomize=True, max_examples=20, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("nightly", _COMMON, derandomize=False, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

MODULES = {"strict": "array_api_strict", "torch": "torch", "jax": "jax"}


@pytest.fixture(scope="session", params=("numpy", *MODULES))
def backend(request: pytest.FixtureRequest) -> Array:
    """A float64 array of one library after the other; skipped where it is not installed."""
    name = request.param
    if name == "numpy":
        return np.zeros(1)
    module = pytest.importorskip(MODULES[name])
    if name == "jax":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
        return module.numpy.zeros(1)
    if name == "torch":
        module.set_num_threads(1)
        return module.zeros(1, dtype=module.float64)
    return module.zeros(1, dtype=module.float64)
