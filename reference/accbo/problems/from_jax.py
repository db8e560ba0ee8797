"""A bilevel problem of pytrees in JAX."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from accbo._arrays import Array
from accbo.problems._form import Nest, Parts, form_of, rows_of
from accbo.problems.from_objectives import library
from accbo.problems.nested import BATCH, Level, Nested, declared, nested


def from_jax(
    upper: Callable[..., Array],
    lower: Callable[..., Array],
    *,
    x: Any,
    y: Any,
    upper_data: Any = None,
    lower_data: Any = None,
    upper_batch: int | None = None,
    lower_batch: int | None = None,
    upper_noise: Mapping[str, Any] | None = None,
    lower_noise: Mapping[str, Any] | None = None,
) -> Nested:
    """Two losses of pytrees x and y as a bilevel problem, started at the given x and y.

    ``upper(x, y, batch)`` and ``lower(x, y, batch)`` return a scalar, the mean over the batch.
    ``upper_data`` and ``lower_data`` are pytrees of arrays with a leading axis of rows (NumPy's
    are moved to JAX, floats in x's precision); a batch has ``upper_batch`` or ``lower_batch`` of
    them (by default 32, or all of fewer), drawn uniformly with replacement by the tape, and all of
    them for the expectation. Without data ``batch`` is None. Where ``upper_noise`` or
    ``lower_noise`` declares more (see :func:`from_objectives`), a fourth argument is the dict of
    its fields, or None for the expectation.

    ``problem.x_form(array)`` and ``y_form`` give vectors back as pytrees, and so do ``result.x``
    and ``result.y`` of a run. Raises as :func:`from_objectives` does.
    """
    jax = library("jax")
    nest = Nest(_apart, lambda like, leaves: _together(like, leaves))
    forms = [
        form_of(name, jax.tree_util.tree_map(jax.numpy.asarray, given), nest)
        for name, given in (("x", x), ("y", y))
    ]
    dtype = forms[0][1].dtype

    def here(leaf: Any) -> Any:
        held = np.asarray(leaf) if not hasattr(leaf, "dtype") else leaf
        real = np.issubdtype(held.dtype, np.floating)
        return jax.numpy.asarray(held, dtype=dtype if real else None)

    def level(name: str, objective: Any, data: Any, batch: int | None, noise: Any) -> Level:
        rows = None
        if data is not None:
            moved = jax.tree_util.tree_map(here, data)
            rows = rows_of(f"{name}_data", moved, nest, batch, BATCH)
        return Level(objective, rows, declared(f"{name}_noise", noise))

    return nested(
        level("upper", upper, upper_data, upper_batch, upper_noise),
        level("lower", lower, lower_data, lower_batch, lower_noise),
        forms[0],
        forms[1],
        "jax",
    )


def _apart(nest: Any, name: str) -> Parts:
    tree_util = importlib.import_module("jax.tree_util")
    leaves, _ = tree_util.tree_flatten_with_path(nest)
    return [(name + tree_util.keystr(path), leaf) for path, leaf in leaves]


def _together(like: Any, leaves: Sequence[Any]) -> Any:
    tree_util = importlib.import_module("jax.tree_util")
    return tree_util.tree_unflatten(tree_util.tree_structure(like), leaves)
