"""Variables and data in the user's own shapes, and flat vectors in their place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from accbo._arrays import Array, device, dtype_name, is_array, is_real_floating, namespace

Parts = list[tuple[str, Any]]  # the leaves of a nest by their paths


class Nest(NamedTuple):
    """How a library takes a nest apart and puts it together again.

    ``apart(nest, name)`` gives the leaves by paths that begin with ``name``, and ``together``
    builds a nest like the first one from leaves.
    """

    apart: Callable[[Any, str], Parts]
    together: Callable[[Any, Sequence[Any]], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """The shape of x or y as the user wrote it; ``form(flat)`` is a vector in that shape.

    ``inside`` is what objectives get: the same, or a module called with the parameters. JAX takes
    a form, which can be called, for part of the program.
    """

    name: str  # x or y
    given: Any
    leaves: tuple[tuple[str, tuple[int, ...]], ...]  # path and shape
    nest: Nest
    outside: Callable[[Any], Any]  # what a nest of results is shown as
    inside: Callable[[Any], Any]  # what a nest is handed to objectives as

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(shape) for _, shape in self.leaves)

    def __call__(self, flat: Array) -> Any:
        """``flat`` ``(..., size)`` in the user's shape; leading axes stand before each leaf's."""
        return self.outside(self._nested(flat))

    def for_objectives(self, flat: Array) -> Any:
        """One vector ``(size,)`` as the objectives take it."""
        return self.inside(self._nested(flat))

    def flat(self, nest: Any) -> Array:
        """A nest of the same structure as one vector ``(size,)``; vectors stay as they are.

        Raises ``ValueError`` with the first path that is missing, new or of another shape.
        """
        alone = self.leaves[0] if len(self.leaves) == 1 else None
        flat = is_array(nest) and tuple(nest.shape)[-1:] == (self.size,)
        if flat and alone != (self.name, tuple(nest.shape)):
            return nest
        found = self.nest.apart(nest, self.name)
        for path, leaf in found:
            _expect_leaf(path, leaf)
        shapes = {path: tuple(leaf.shape) for path, leaf in found}
        wanted = dict(self.leaves)
        for path in dict.fromkeys((*wanted, *shapes)):
            if shapes.get(path) != wanted.get(path):
                have, want = (_shape(each.get(path)) for each in (shapes, wanted))
                raise ValueError(
                    f"{self.name} has changed its structure: the problem was built with {want} as "
                    f"{path}, and there is {have}"
                )
        return joined([leaf for _, leaf in found])

    def _nested(self, flat: Array) -> Any:
        if flat.ndim == 1 and hasattr(flat, "unbind"):  # PyTorch: one node of the graph for all
            pieces = flat.split([math.prod(shape) for _, shape in self.leaves])
            views = [p.view(shape) for p, (_, shape) in zip(pieces, self.leaves, strict=True)]
            return self.nest.together(self.given, views)
        xp, leading, parts, first = namespace(flat), tuple(flat.shape[:-1]), [], 0
        for _, shape in self.leaves:
            size = math.prod(shape)
            parts.append(xp.reshape(flat[..., first : first + size], (*leading, *shape)))
            first += size
        return self.nest.together(self.given, parts)


def form_of(
    name: str,
    given: Any,
    nest: Nest,
    outside: Callable[[Any], Any] = lambda nest: nest,
    inside: Callable[[Any], Any] = lambda nest: nest,
) -> tuple[Form, Array]:
    """The form of ``given`` and its numbers as one vector; ``TypeError`` for what is no array."""
    parts = nest.apart(given, name)
    if not parts:
        raise ValueError(f"{name} holds no array to optimise")
    for path, leaf in parts:
        _expect_leaf(path, leaf)
    expect_one_place(parts)
    leaves = tuple((path, tuple(leaf.shape)) for path, leaf in parts)
    form = Form(name, given, leaves, nest, outside, inside)
    return form, joined([leaf for _, leaf in parts])


def expect_one_place(parts: Parts) -> None:
    """Raise ``TypeError`` unless all have one dtype and one device."""
    (first, other), *rest = parts
    for path, leaf in rest:
        for what, of in (("dtype", dtype_name), ("device", lambda a: str(device(a)))):
            if of(leaf) != of(other):
                raise TypeError(
                    f"{path} and {first} differ in {what}, {of(leaf)} and {of(other)}; expected "
                    "one dtype and one device for all of x, y and their data"
                )


def joined(leaves: Sequence[Array]) -> Array:
    """All numbers of ``leaves`` as one vector."""
    xp = namespace(leaves[0])
    return xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves])


def _expect_leaf(path: str, leaf: Any) -> None:
    if not is_array(leaf):
        raise TypeError(f"{path} must be an array, got {type(leaf).__name__}")
    if not is_real_floating(leaf):
        raise TypeError(f"{path} must hold floating-point numbers, got {dtype_name(leaf)}")


def _shape(found: tuple[int, ...] | None) -> str:
    return "nothing" if found is None else f"an array of shape {found}"


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Data whose arrays have ``count`` rows each, drawn ``batch`` at a time."""

    data: Any
    nest: Nest
    count: int
    batch: int

    def noise(self) -> tuple[str, tuple[int, ...], int]:
        """The field of a sample that says which rows a batch has."""
        return ("index", (self.batch,), self.count)

    def take(self, rows: Array | None) -> Any:
        """The rows ``(batch,)`` of every array, or (None) all of them."""
        if rows is None:
            return self.data
        parts = [leaf[rows] for _, leaf in self.nest.apart(self.data, "data")]
        return self.nest.together(self.data, parts)


def rows_of(name: str, data: Any, nest: Nest, batch: int | None, default: int) -> Rows:
    """``data`` as rows; raises ``TypeError`` or ``ValueError`` where its arrays have no rows."""
    parts = nest.apart(data, name)
    counts = {}
    for path, leaf in parts:
        if not is_array(leaf) or leaf.ndim < 1:
            raise TypeError(
                f"{path} must be an array with a leading axis of rows, got {leaf!r:.60}"
            )
        counts[path] = int(leaf.shape[0])
    if len(set(counts.values())) != 1 or not next(iter(counts.values())):
        said = ", ".join(f"{path} has {count}" for path, count in counts.items())
        raise ValueError(f"the arrays of {name} must have one number of rows; {said or 'none'}")
    count = next(iter(counts.values()))
    size = min(default, count) if batch is None else batch
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= count:
        raise ValueError(f"a batch of {name} must have 1 to {count} rows, got {size!r}")
    return Rows(data, nest, count, size)


def plain_apart(nest: Any, name: str) -> Parts:
    """The leaves of dicts, lists, tuples and NamedTuples."""
    if isinstance(nest, Mapping):
        return [part for key in nest for part in plain_apart(nest[key], f"{name}[{key!r}]")]
    if isinstance(nest, list | tuple):
        keys = getattr(nest, "_fields", None)
        names = (
            (f"{name}.{key}" for key in keys)
            if keys
            else map(f"{name}[{{}}]".format, range(len(nest)))
        )
        return [
            part for path, each in zip(names, nest, strict=True) for part in plain_apart(each, path)
        ]
    return [(name, nest)]


def plain_together(like: Any, leaves: Sequence[Any]) -> Any:
    """A nest like ``like`` from its leaves in order."""
    remaining = iter(leaves)

    def built(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: built(value) for key, value in part.items()}
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*[built(value) for value in part])
        if isinstance(part, list | tuple):
            return type(part)([built(value) for value in part])
        return next(remaining)

    return built(like)


PLAIN = Nest(plain_apart, plain_together)
