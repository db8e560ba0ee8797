"""Arrays of a backend by name, or a clear reason why there are none."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo._extras import install


class BackendError(RuntimeError):
    """The backend asked for is unknown or cannot be used here; the message says why."""


def like(name: str) -> Any:
    """A float64 array of backend ``name`` that shows namespace and device."""
    if name not in BACKENDS:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BackendError(f"unknown backend {name!r}{hint} Known: {', '.join(BACKENDS)}")
    try:
        return BACKENDS[name]()
    except ImportError as error:
        raise BackendError(f"backend {name} is not installed ({error}); {install(name)}") from None
    except Exception as error:
        raise BackendError(f"backend {name} cannot be used here: {error}") from None


def _numpy() -> Any:
    return np.zeros(1)


def _strict() -> Any:
    import array_api_strict

    return array_api_strict.zeros(1)


def _torch() -> Any:
    import torch

    return torch.zeros(1, dtype=torch.float64)


def _jax() -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.zeros(1)


def _cupy() -> Any:
    import cupy

    array = cupy.zeros(1) + 1.0  # import succeeds without a device; a kernel does not
    float(array[0])
    return array


BACKENDS: dict[str, Callable[[], Any]] = {
    "numpy": _numpy,
    "strict": _strict,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
}
