"""Values and derivatives of an objective over a batch of points, in PyTorch.

A few points (FEW) are taken one after the other and differentiated in one sweep backwards, as one
writes it by hand; more of them by ``vmap``. That has no rule for some operations (recurrent
cells), and the kernels of MKL-DNN and cuDNN have no second derivative for some (an LSTM in
float32): the ways are tried in order, from the fastest on, and the first that works is kept.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from accbo._arrays import Array

FEW = 2  # points: both of a recursive momentum
CHUNK = 64  # points in one graph, where there are many and no vmap
LACKING = re.compile(
    "batching rule|not implemented|undefined Tensor|double.?backward|mkldnn|cudnn", re.IGNORECASE
)
Objective = Callable[[Array, Array, Any], Array]
Names = tuple[str, ...] | None
Rows = Sequence[int | None]  # of every array, whether it has an axis of points


def oracle(kind: str, objective: Objective, names: Names) -> Callable[..., Array]:
    """(x, y[, v], *fields) to the value or derivative ``kind``, over any leading axes."""
    plain, mapped = _plain(kind, objective, names), _mapped(kind, objective, names)
    many = _first_that_works(mapped, plain)
    few = _first_that_works(plain)

    def call(*arrays: Array) -> Array:
        leading = np.broadcast_shapes(*(tuple(array.shape[:-1]) for array in arrays))
        count = math.prod(leading)
        if len(leading) < 2 and count <= FEW:
            return few(*arrays)
        flat = [
            a if a.ndim == 1 else torch.broadcast_to(a, (*leading, a.shape[-1])).reshape(count, -1)
            for a in arrays
        ]
        result = (few if count <= FEW else many)(*flat)
        return result.reshape(*leading, *result.shape[1:])

    return call


def _first_that_works(*functions: Callable[..., Array]) -> Callable[..., Array]:
    """The first of ``functions``, each with and without fused kernels, that has all rules."""
    ways = [(function, kernels) for function in functions for kernels in (True, False)]

    def call(*arrays: Array) -> Array:
        while True:
            function, kernels = ways[0]
            try:
                if kernels:
                    return function(*arrays)
                with _unfused():
                    return function(*arrays)
            except RuntimeError as error:  # NotImplementedError too
                if len(ways) == 1 or not LACKING.search(str(error)):
                    raise
            del ways[0]

    return call


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Without the kernels of MKL-DNN and cuDNN."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*TF32.*")  # of flags that are put back as they were
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            yield


# --- one after the other ----------------------------------------------------------------------


def _plain(kind: str, objective: Objective, names: Names) -> Callable[..., Array]:
    if kind == "value":
        return _values(objective, names)
    if kind in ("grad_x", "grad_y"):
        return functools.partial(_gradients(objective, names), kind)
    return functools.partial(_products(objective, names), kind)


def _values(objective: Objective, names: Names) -> Callable[..., Array]:
    def call(*arrays: Array) -> Array:
        with torch.no_grad():
            found = [objective(*point) for point in _points(arrays, 2, names)]
        return torch.stack(found) if _count(arrays) is not None else found[0]

    return call


@functools.lru_cache(maxsize=128)
class _gradients:  # noqa: N801 - a function that remembers
    """∇_x and ∇_y of one objective; where both are asked for, one sweep gives both.

    The second is kept until it is asked for with the very same arrays.
    """

    def __init__(self, objective: Objective, names: Names) -> None:
        self._objective, self._names = objective, names
        self._wanted: set[str] = set()
        self._kept: tuple[Any, dict[str, Array]] = ((), {})

    def __call__(self, kind: str, *arrays: Array) -> Array:
        self._wanted.add(kind)
        given, kept = self._kept
        if kind in kept and len(given) == len(arrays) and all(map(_same, given, arrays)):
            return kept.pop(kind)
        found = self._all(*arrays)
        result = found.pop(kind)
        self._kept = (tuple((a, a._version) for a in arrays), found) if found else ((), {})
        return result

    def _all(self, *arrays: Array) -> dict[str, Array]:
        places = {"grad_x": 0, "grad_y": 1}
        wanted = [kind for kind in places if kind in self._wanted]
        leaves, rows = list(arrays), _count(arrays)
        for kind in wanted:
            leaf = arrays[places[kind]].detach()
            # of what all points share, every point has a gradient of its own
            leaf = leaf if rows is None or leaf.ndim > 1 else leaf.expand(rows, -1)
            leaves[places[kind]] = leaf.requires_grad_()
        with torch.enable_grad():
            total = sum(self._objective(*point) for point in _points(leaves, 2, self._names))
            inputs = [leaves[places[kind]] for kind in wanted]
            found = _grad(total, inputs)
        return dict(zip(wanted, found, strict=True))


def _same(kept: tuple[Array, int], array: Array) -> bool:
    return kept[0] is array and kept[1] == array._version


def _products(objective: Objective, names: Names) -> Callable[..., Array]:
    """∇²_yy G v and ∇²_xy G v, at most CHUNK points in one graph."""

    def call(kind: str, *arrays: Array) -> Array:
        rows = _count(arrays)
        if rows is None or rows <= CHUNK:
            return product(kind, rows, *arrays)
        parts = []
        for first in range(0, rows, CHUNK):
            some = [a if a.ndim == 1 else a[first : first + CHUNK] for a in arrays]
            parts.append(product(kind, min(CHUNK, rows - first), *some))
        return torch.cat(parts)

    def product(kind: str, rows: int | None, x: Array, y: Array, v: Array, *fields: Array) -> Array:
        if rows is not None:  # as above
            x, y, v = (a if a.ndim > 1 else a.expand(rows, -1) for a in (x, y, v))
        y = y.detach().requires_grad_()
        x = x.detach().requires_grad_() if kind == "cross" else x
        with torch.enable_grad():
            points = _points((x, y, *fields), 2, names)
            total = sum(objective(*point) for point in points)
            (slope,) = torch.autograd.grad(total, y, create_graph=True)
            if not slope.requires_grad:  # linear in y
                return torch.zeros_like(x if kind == "cross" else y)
            (found,) = _grad(slope, [x if kind == "cross" else y], v)
        return found

    return call


def _grad(of: Array, inputs: Sequence[Array], v: Array | None = None) -> list[Array]:
    """The gradients, zero where ``of`` does not depend on an input."""
    if not isinstance(of, torch.Tensor) or not of.requires_grad:
        return [torch.zeros_like(each) for each in inputs]
    found = torch.autograd.grad(of, inputs, v, allow_unused=True)
    return [
        torch.zeros_like(each) if g is None else g for each, g in zip(inputs, found, strict=True)
    ]


def _count(arrays: Sequence[Array]) -> int | None:
    """How many points there are; None for one without an axis."""
    return next((len(array) for array in arrays if array.ndim > 1), None)


def _points(arrays: Sequence[Array], point: int, names: Names) -> Iterator[tuple[Any, ...]]:
    """(x, y, sample) of every row; ``point`` arrays come before the fields of the sample."""
    count = _count(arrays)
    parts = [[a] * (count or 1) if a.ndim == 1 else a.unbind(0) for a in arrays]
    for row in zip(*parts, strict=True):
        sample = None if names is None else dict(zip(names, row[point:], strict=True))
        yield (*row[:point], sample)


# --- all at once ------------------------------------------------------------------------------


def _mapped(kind: str, objective: Objective, names: Names) -> Callable[..., Array]:
    single = _SINGLE[kind](objective)
    point = 3 if kind in ("hvp", "cross") else 2

    def one(*arrays: Array) -> Array:
        sample = None if names is None else dict(zip(names, arrays[point:], strict=True))
        return single(*arrays[:point], sample)

    def call(*arrays: Array) -> Array:
        axes = tuple(None if array.ndim == 1 else 0 for array in arrays)
        # without a graph: parameters that an objective closes over would chain every iteration
        # to the last. A rule that is missing is a warning to PyTorch, and to us a lack.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("error", ".*performance drop.*")
            try:
                return torch.func.vmap(one, in_dims=axes)(*arrays)
            except UserWarning as warning:
                raise RuntimeError(f"no batching rule: {warning}") from None

    return call


def _grad_of(argument: int) -> Callable[[Objective], Callable[..., Array]]:
    return lambda objective: torch.func.grad(objective, argnums=argument)


def _pulled(argument: int) -> Callable[[Objective], Callable[..., Array]]:
    """vᵀ times the derivative of ∇_y in x or y: four times as fast as ``func.jvp``."""

    def of(objective: Objective) -> Callable[..., Array]:
        slope = torch.func.grad(objective, argnums=1)

        def product(x: Array, y: Array, v: Array, sample: Any) -> Array:
            point = (x, y)[argument]

            def along(moved: Array) -> Array:
                return slope(moved, y, sample) if argument == 0 else slope(x, moved, sample)

            return torch.func.vjp(along, point)[1](v)[0]

        return product

    return of


_SINGLE: dict[str, Callable[[Objective], Callable[..., Array]]] = {
    "value": lambda objective: objective,
    "grad_x": _grad_of(0),
    "grad_y": _grad_of(1),
    "hvp": _pulled(1),
    "cross": _pulled(0),
}
