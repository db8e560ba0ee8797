"""Arrays of a namespace by name, or a clear reason why there are none."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, index_dtype, is_array, map_arrays, to_host
from accbo._extras import install


class NamespaceError(RuntimeError):
    """The namespace asked for is unknown or cannot be used here; the message says why."""


def like(name: str, dtype: str = "float64") -> Array:
    """An array of namespace ``name`` that shows namespace, device and dtype."""
    if name not in NAMESPACES:
        near = difflib.get_close_matches(str(name), NAMESPACES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(NAMESPACES)
        raise NamespaceError(f"unknown namespace {name!r}{hint} Known: {known}")
    try:
        return NAMESPACES[name](dtype)
    except ImportError as error:
        raise NamespaceError(
            f"namespace {name} is not installed ({error}); {install(name)}"
        ) from None
    except NamespaceError:
        raise
    except Exception as error:
        raise NamespaceError(f"namespace {name} cannot be used here: {error}") from None


def move_to(tree: Any, like: Array) -> Any:
    """``tree`` in ``like``'s namespace, device and dtype; integers stay integers."""

    def moved(array: Array) -> Array:
        host = to_host(array)
        whole = np.issubdtype(host.dtype, np.integer)
        return asarray(host, like, index_dtype(like) if whole else None)

    return map_arrays(moved, tree)


def same_namespace(array: Any, name: str) -> bool:
    """Whether ``array`` is an array of namespace ``name``."""
    module = type(array).__module__.split(".")[0]
    return is_array(array) and module in _MODULES[name]


def _numpy(dtype: str) -> Array:
    return np.zeros(1, dtype=dtype)


def _strict(dtype: str) -> Array:
    import array_api_strict

    return array_api_strict.zeros(1, dtype=getattr(array_api_strict, dtype))


def _torch(dtype: str) -> Array:
    import torch

    return torch.zeros(1, dtype=getattr(torch, dtype))


def _jax(dtype: str) -> Array:
    import jax

    if dtype == "float64" and not jax.config.jax_enable_x64:
        raise NamespaceError(
            "the cases are in float64 and JAX makes float32 of it; call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return jax.numpy.zeros(1, dtype=dtype)


def _cupy(dtype: str) -> Array:
    import cupy

    array = cupy.zeros(1, dtype=dtype) + 1.0  # import succeeds without a device; a kernel does not
    float(array[0])
    return array


def _mparray(dtype: str) -> Array:
    import mparray

    return mparray.asarray([0.0])


NAMESPACES: dict[str, Callable[[str], Array]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
    "strict": _strict,
    "mparray": _mparray,
}
_MODULES = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "jax": ("jax", "jaxlib"),
    "cupy": ("cupy",),
    "strict": ("array_api_strict",),
    "mparray": ("mparray",),
}
