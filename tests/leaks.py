"""What a file of tests leaves behind for the next one: compared before and after each.

A module in ``sys.modules``, a folder in ``sys.path`` or a variable of the environment that stays
makes other tests fail or pass for a reason that nobody finds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = str(Path(__file__).parents[1])
OURS = ("tests", "property_tests", "accbo", "theory_checks", "benchmarks", "examples", "conftest")
INSTALLED = tuple({sys.prefix, sys.base_prefix, *(p for p in sys.path if "site-packages" in p)})
NO_FILE = ("_cython_", "cython_runtime", "_remote_module_non_scriptable")  # Cython's, PyTorch's
# set by what is imported or, Dask, by what it starts
PACKAGES_OWN = ("PYTEST_", "TF_", "TPU_", "XLA_", "KMP_", "CUDA_", "TORCH", "__DASK_", "MALLOC_")
DIGITS = (15, 50)  # mpmath's own, and those of the tests' 50-digit backend
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGALRM") if hasattr(signal, name)]


def state() -> dict[str, Any]:
    """All that is compared, by what it is called in the complaint."""
    mpmath = sys.modules.get("mpmath")
    digits = 15 if mpmath is None else mpmath.mp.dps
    return {
        "the current folder": os.getcwd(),
        "sys.path": list(sys.path),
        "modules of no package": {name for name in list(sys.modules) if _strange(name)},
        "the environment": {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(PACKAGES_OWN) and not name.endswith(("_NUM_THREADS", "HASHSEED"))
        },
        "NumPy's error state": np.geterr(),
        "mpmath's digits": DIGITS[0] if digits in DIGITS else digits,
        "handlers of signals": {int(each): signal.getsignal(each) for each in SIGNALS},
        "processes": [process.pid for process in multiprocessing.active_children()],
    }


def _strange(name: str) -> bool:
    """Whether a module is neither Python's, nor installed, nor of this repository's packages."""
    top = name.partition(".")[0]
    if top in OURS or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    if name.startswith(NO_FILE):
        return False
    stored = getattr(sys.modules.get(top), "__dict__", {})
    places = [stored.get("__file__"), *(stored.get("__path__") or ())]
    return not any(isinstance(each, str) and each.startswith(INSTALLED) for each in places)


def left(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs, one line each."""
    return [
        f"{name}: {_difference(before[name], after[name])}"
        for name in before
        if before[name] != after[name]
    ]


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, set):
        return f"added {sorted(new - old)}, removed {sorted(old - new)}"
    if isinstance(old, dict):
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        return ", ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in changed)
    return f"was {old!r}, is {new!r}"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Name the file of tests after which something is not as it was."""
    before = state()
    yield
    found = left(before, state())
    if found:
        pytest.fail(f"{request.node.name} leaves behind: " + "; ".join(found), pytrace=False)
