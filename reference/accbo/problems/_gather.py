"""Batches of indices: rows of a table, entries of a variable, and sums back into it."""

from __future__ import annotations

import numpy as np

from accbo._arrays import Array, device, namespace


def pick_rows(table: Array, index: Array) -> Array:
    """Rows ``index`` ``(..., B)`` of ``table`` ``(n, ·)``, shape ``(..., B, ·)``."""
    xp = namespace(index)
    rows = xp.take(table, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(rows, (*index.shape, *table.shape[1:]))


def pick_entries(x: Array, index: Array) -> Array:
    """Entries ``index`` ``(..., B)`` of ``x`` ``(..., n)``, shape ``(..., B)``.

    The leading axes broadcast: the points of a pair meet one batch.
    """
    xp = namespace(x)
    leading = np.broadcast_shapes(tuple(x.shape[:-1]), tuple(index.shape[:-1]))
    x = xp.broadcast_to(x, (*leading, x.shape[-1]))
    return xp.take_along_axis(x, xp.broadcast_to(index, (*leading, index.shape[-1])), axis=-1)


def add_at(values: Array, index: Array, size: int) -> Array:
    """Sums of ``values`` ``(..., B)`` that share an index, shape ``(..., size)``.

    By a product with the indicator of index i, since the standard has no scattered sum.
    """
    xp = namespace(values)
    places = xp.arange(size, dtype=index.dtype, device=device(index))
    hits = xp.astype(index[..., None] == places, values.dtype)
    return xp.matmul(values[..., None, :], hits)[..., 0, :]
