"""From a vector to the few numbers that leave the run: its norm and its projections.

A vector is an array or any nest of arrays; its leaves are those of a list in order, of a mapping by
sorted key. One piece at a time is brought to the wider precision, so that no copy of the whole is
made, and nothing comes to the host before ``to_host``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, is_array, is_jax, is_traced, namespace
from accbo.tracing.directions import BLOCK, factors

PIECE = 128  # blocks that are converted at once on the host: 1 MiB of float64
DEVICE_PIECE = 8192  # on an accelerator, where a launch costs more than memory


def leaves_of(nest: Any) -> list[Array]:
    """The arrays of a nest; raises ``TypeError`` for what is neither array nor container."""
    if isinstance(nest, Mapping):
        return [leaf for key in sorted(nest) for leaf in leaves_of(nest[key])]
    if isinstance(nest, float | int | np.generic):
        return [np.asarray(nest, dtype=float)]
    if is_array(nest):
        return [nest.detach() if hasattr(nest, "detach") else nest]
    if isinstance(nest, Sequence) and not isinstance(nest, str | bytes):
        return [leaf for each in nest for leaf in leaves_of(each)]
    if hasattr(nest, "__next__"):
        return [leaf for each in nest for leaf in leaves_of(each)]
    raise TypeError(
        f"a vector is an array or a list, tuple or mapping of arrays, got {type(nest).__name__}"
    )


def sizes_of(leaves: Sequence[Array]) -> tuple[int, ...]:
    """The number of entries of each leaf."""
    return tuple(math.prod(leaf.shape) for leaf in leaves)


def largest(leaves: Sequence[Array]) -> Array:
    """The largest |entry| of the arrays of a vector, in their library; NaN where one is."""
    found = []
    for leaf in map(_as_numpy, leaves):
        if math.prod(leaf.shape):
            xp = namespace(leaf)
            found.append(xp.max(xp.stack((xp.max(leaf), -xp.min(leaf)))))
    first = found[0]
    return namespace(first).max(
        namespace(first).stack([first, *(asarray_like(one, first) for one in found[1:])])
    )


class Projector:
    """The projections of vectors of one space, whose leaves have the sizes ``leaves``.

    Called on a list of arrays it returns one of ``1 + count`` numbers: the norm, then ⟨r_k, v⟩.
    """

    def __init__(self, seed: int, space: str, leaves: tuple[int, ...], count: int) -> None:
        self.leaves = leaves
        self._factors = factors(seed, space, leaves, count)
        self._there: dict[Any, tuple[Array, Array]] = {}

    def __call__(self, leaves: Sequence[Array]) -> Array:
        """The numbers, in the arrays' own library and where they are."""
        parts, block = [], 0
        for leaf, size in zip(leaves, self.leaves, strict=True):
            blocks = -(-size // BLOCK)
            if size:
                parts.append(self._leaf(leaf, block, blocks))
            block += blocks
        xp = namespace(parts[0])
        parts = [parts[0], *(asarray_like(part, parts[0]) for part in parts[1:])]
        if len(parts) == 1:
            return parts[0]
        table = xp.stack(parts)
        return xp.concat((_norm(table[:, 0])[None], xp.sum(table[:, 1:], axis=0)))

    def _leaf(self, leaf: Array, first: int, blocks: int) -> Array:
        """Norm and projections of one leaf, which has the blocks from ``first`` on."""
        leaf = _as_numpy(leaf)
        if isinstance(leaf, np.ndarray):
            return self._on_numpy(leaf.reshape(-1), first, blocks)
        xp = namespace(leaf)
        flat = xp.reshape(leaf, (-1,))
        c, t = self._on(flat)
        c = c[first : first + blocks]
        whole = flat.shape[0] // BLOCK
        step = PIECE if _on_host(flat) else DEVICE_PIECE
        norms, sums = [], []
        for start in range(0, whole, step):
            stop = min(start + step, whole)
            piece = xp.reshape(flat[start * BLOCK : stop * BLOCK], (-1, BLOCK))
            piece = xp.astype(piece, t.dtype, copy=False)
            norms.append(_norm(xp.reshape(piece, (-1,))))
            sums.append(xp.sum(c[start:stop] * xp.matmul(piece, t), axis=0))
        if whole * BLOCK < flat.shape[0]:
            rest = xp.astype(flat[whole * BLOCK :], t.dtype, copy=False)
            norms.append(_norm(rest))
            sums.append(c[whole] * xp.matmul(rest[None, :], t[: rest.shape[0]])[0])
        if len(norms) == 1:
            return xp.concat((norms[0][None], sums[0]))
        return xp.concat((_norm(xp.stack(norms))[None], xp.sum(xp.stack(sums), axis=0)))

    def _on_numpy(self, flat: np.ndarray, first: int, blocks: int) -> np.ndarray:
        """The same by a few calls a piece: most of what tracing costs is this loop."""
        c, t = self._factors[0][first : first + blocks], self._factors[1]
        whole = flat.shape[0] // BLOCK
        piece = np.empty((min(PIECE, whole), BLOCK))
        inner = np.empty((c.shape[0], t.shape[1]))
        squares, rest = 0.0, flat[whole * BLOCK :].astype(float)
        with np.errstate(all="ignore"):  # squares that overflow are taken again below
            for start in range(0, whole, PIECE):
                count = min(PIECE, whole - start)
                here, line = piece[:count], piece[:count].reshape(-1)
                line[:] = flat[start * BLOCK : (start + count) * BLOCK]
                np.matmul(here, t, out=inner[start : start + count])
                squares += float(np.dot(line, line))
            if rest.size:
                inner[whole] = rest @ t[: rest.size]
                squares += float(np.dot(rest, rest))
        length = math.sqrt(squares)
        if not 1e-140 < length < 1e140:
            length = float(_norm(flat.astype(float)))
        return np.concatenate(([length], np.einsum("bk,bk->k", c, inner)))

    def _on(self, like: Array) -> tuple[Array, Array]:
        """c and t in ``like``'s library, where it is, in the widest precision there is."""
        if is_traced(like):
            return _widest(self._factors, like)
        place = (type(like), str(getattr(like, "device", "")))
        if place not in self._there:
            self._there[place] = _widest(self._factors, like)
        return self._there[place]


def arithmetic(like: Array) -> str:
    """The precision in which projections of arrays such as ``like`` are computed."""
    if is_jax(like):
        import jax

        return "float64" if jax.config.jax_enable_x64 else "float32"
    return "float32" if getattr(getattr(like, "device", None), "type", "") == "mps" else "float64"


def to_host(vectors: Sequence[Array]) -> list[np.ndarray]:
    """Small vectors of one length as NumPy arrays, with one transfer for each library and place."""
    answer: list[Any] = [None] * len(vectors)
    places: dict[Any, list[int]] = {}
    for index, vector in enumerate(vectors):
        if isinstance(vector, np.ndarray):
            answer[index] = vector
        else:
            key = (type(vector), str(getattr(vector, "device", "")), str(vector.dtype))
            places.setdefault(key, []).append(index)
    for indices in places.values():
        table = namespace(vectors[indices[0]]).stack([vectors[i] for i in indices])
        rows = np.asarray(table.get() if hasattr(table, "get") else _cpu(table), dtype=float)
        for index, values in zip(indices, rows, strict=True):
            answer[index] = values
    return answer


def asarray_like(value: Array, like: Array) -> Array:
    """``value`` where ``like`` is: a model may lie on several devices."""
    if str(getattr(value, "device", "")) == str(getattr(like, "device", "")):
        return value
    return value.to(like.device) if hasattr(value, "to") else asarray(np.asarray(value), like)


def _as_numpy(leaf: Array) -> Array:
    """``leaf`` as a NumPy array where that is a view of its memory, else as it is."""
    if is_traced(leaf) or isinstance(leaf, np.ndarray):
        return leaf
    if is_jax(leaf):
        on_host = all(device.platform == "cpu" for device in leaf.devices())
        return np.asarray(leaf) if on_host and str(leaf.dtype) != "bfloat16" else leaf
    if getattr(getattr(leaf, "device", None), "type", "") == "cpu" and hasattr(leaf, "numpy"):
        return leaf if str(leaf.dtype) == "torch.bfloat16" else leaf.numpy()
    return leaf


def _cpu(table: Array) -> Array:
    return table.cpu() if hasattr(table, "cpu") else table


def _on_host(like: Array) -> bool:
    if is_traced(like) or is_jax(like):
        return False
    return isinstance(like, np.ndarray) or getattr(like.device, "type", "") == "cpu"


def _widest(values: tuple[np.ndarray, ...], like: Array) -> tuple[Array, Array]:
    if isinstance(like, np.ndarray):
        return values[0], values[1]
    xp, name = namespace(like), arithmetic(like)
    if is_traced(like):
        c, t = (xp.asarray(value, dtype=getattr(xp, name)) for value in values)
        return c, t
    dtype = getattr(xp, name)
    c, t = (xp.asarray(value.astype(name), dtype=dtype, device=like.device) for value in values)
    return c, t


def _norm(v: Array) -> Array:
    """‖v‖ without under- or overflow of the squares."""
    xp = namespace(v)
    if isinstance(v, np.ndarray):
        length = math.sqrt(np.vdot(v, v))
        if 1e-140 < length < 1e140 or not v.size:
            return np.asarray(length)
    largest = xp.max(xp.abs(v))
    scale = xp.where((largest > 0) & (largest < xp.inf), largest, xp.ones_like(largest))
    scaled = v / scale
    return scale * xp.sqrt(xp.sum(scaled * scaled))
