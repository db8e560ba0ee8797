"""An implementation whose x and y are lists, dicts or other nests of tensors, for the oracle.

The oracle's arrays are flat. ``from_tree`` hands them to the implementation as nests, takes nests
where it calls the problem's derivatives, and flattens what ``state()`` shows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from accbo._arrays import Array, is_array, namespace
from accbo._blame import defined
from accbo.problems._form import PLAIN, Form, form_of

_OF_POINTS = ("upper", "grad_x_upper", "grad_y_upper", "lower", "grad_y_lower")
_OF_VECTORS = ("hvp_lower", "cross_lower")
_SAID = ("namespace", "batched", "conventions", "algorithm", "__name__")


def halves(size: int) -> list[Array]:
    """A list of two vectors, or of one where there is but one number."""
    first = -(-size // 2)
    return [np.zeros(part) for part in (first, size - first) if part]


def named_halves(size: int) -> dict[str, Array]:
    """The same as a dict of ``a`` and ``b``."""
    return dict(zip("ab", halves(size), strict=False))


KINDS: dict[Any, Callable[[int], Any]] = {list: halves, dict: named_halves}


def from_tree(factory: Any, tree: Any = list) -> Any:
    """A factory for ``check`` of one that was written for nests of tensors.

    ``tree`` says what x, y and all that is shaped like them come as: ``list``, of two tensors;
    ``dict``, of ``a`` and ``b``; or a function of the number of entries, 1 and more, that returns
    a nest of arrays of so many entries in all, whose shapes are taken (lists, tuples, dicts and
    NamedTuples of them). ``factory`` is as in ``accbo.conformance.adapter``, and gets the nests
    in ``state``, in ``x`` and ``y`` of ``start`` and from the derivatives; samples stay as they
    are. Axes of replicates and of batches stand in front of those of every tensor. Raises
    ``TypeError`` for a ``tree`` that is none of these; a nest of another structure than was given
    is an error of the implementation, with the first path that differs.
    """
    made_of = KINDS.get(tree, tree)
    if not callable(made_of) or isinstance(made_of, type):
        raise TypeError(f"tree must be list, dict or a function of a size, got {tree!r}")
    forms = _Forms(made_of)

    def made(problem: Any, algorithm: Any, state: Any) -> _Flat:
        inside = factory(_Problem(problem, forms), algorithm, forms.nested(state))
        return _Flat(inside, forms, problem)

    if hasattr(factory, "start"):

        def start(problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> _Flat:
            given = _Problem(problem, forms), algorithm, forms.nest(x), forms.nest(y), samples
            return _Flat(factory.start(*given), forms, problem)

        made.start = start  # type: ignore[attr-defined]
    for name in _SAID:
        if hasattr(factory, name):
            setattr(made, name, getattr(factory, name))
    made.__wrapped__ = factory  # type: ignore[attr-defined]  # where the user's own code is
    return made


class _Forms:
    """Flat arrays as nests and back."""

    def __init__(self, made_of: Callable[[int], Any]) -> None:
        self._made_of = made_of
        self.form = functools.cache(self._form)

    def _form(self, size: int) -> Form:
        form, flat = form_of("nest", self._made_of(size), PLAIN)
        if flat.shape != (size,):
            raise ValueError(f"tree({size}) holds {flat.shape[0]} numbers")
        return form

    def nest(self, flat: Array) -> Any:
        """An array ``(..., d)`` as a nest."""
        return self.form(int(flat.shape[-1]))(flat)

    def nested(self, state: Any) -> Any:
        """A state whose arrays are nests; parts of parts are states as well."""

        def each(value: Any) -> Any:
            if hasattr(value, "_fields"):
                return self.nested(value)
            return self.nest(value) if is_array(value) else value

        return type(state)(*map(each, state))

    def flat(self, nest: Any, name: str, *sizes: int) -> Array:
        """A nest of one of the ``sizes`` as an array; an array stays as it is."""
        if is_array(nest) and nest.shape and nest.shape[-1] in sizes:
            return nest
        found = [self._joined(nest, self.form(size)) for size in dict.fromkeys(sizes)]
        for each in found:
            if each is not None:
                return each
        wanted = " or ".join(dict.fromkeys(_said(self.form(size).given) for size in sizes))
        raise ValueError(f"{name} must be a nest like {wanted}, got {_said(nest)}")

    def flattened(self, shown: Mapping[Any, Any], name: str, *sizes: int) -> dict[Any, Any]:
        """What is shown, such as ``state()``, with arrays for nests."""
        return {key: self._shown(value, f"{name}[{key!r}]", sizes) for key, value in shown.items()}

    def _shown(self, value: Any, name: str, sizes: tuple[int, ...]) -> Any:
        if not isinstance(value, Mapping | list | tuple):
            return value
        inside = value._asdict() if hasattr(value, "_asdict") else value
        fits = any(self._joined(value, self.form(size)) is not None for size in sizes)
        if isinstance(inside, Mapping) and not fits:  # a part of the state, such as tables
            parts = inside.items()
            if any(isinstance(each, Mapping | list | tuple) for _, each in parts):
                return {key: self._shown(each, f"{name}[{key!r}]", sizes) for key, each in parts}
        return self.flat(value, name, *sizes)

    def _joined(self, nest: Any, form: Form) -> Array | None:
        """The leaves side by side, whatever axes stand in front; None if it is another nest."""
        leaves = dict(PLAIN.apart(nest, form.name))
        parts = []
        for path, shape in form.leaves:
            leaf = leaves.pop(path, None)
            if not is_array(leaf) or tuple(leaf.shape)[leaf.ndim - len(shape) :] != shape:
                return None
            leading = tuple(leaf.shape)[: leaf.ndim - len(shape)]
            parts.append(namespace(leaf).reshape(leaf, (*leading, math.prod(shape))))
        return None if leaves else namespace(parts[0]).concat(parts, axis=-1)


class _Problem:
    """The problem with derivatives at nests, which are nests."""

    def __init__(self, problem: Any, forms: _Forms) -> None:
        self._problem, self._forms = problem, forms
        for name in (*_OF_POINTS, *_OF_VECTORS):
            setattr(self, name, functools.partial(self._at, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    def _at(self, name: str, x: Any, y: Any, *rest: Any, **named: Any) -> Any:
        """A derivative; ``rest`` begins with v where it is a product."""
        flat, sizes = self._forms.flat, (self._problem.d_x, self._problem.d_y)
        given = [flat(x, "x", sizes[0]), flat(y, "y", sizes[1])]
        if name in _OF_VECTORS:
            v, *rest = (named.pop("v"),) if "v" in named else rest  # type: ignore[assignment]
            given.append(flat(v, "v", sizes[1]))
        found = getattr(self._problem, name)(*given, *rest, **named)
        return found if name in ("upper", "lower") else self._forms.nest(found)


class _Flat:
    """An implementation on nests, as the oracle sees it."""

    def __init__(self, inside: Any, forms: _Forms, problem: Any) -> None:
        self._inside, self._forms, self._sizes = inside, forms, (problem.d_x, problem.d_y)
        self.step = inside.step
        if hasattr(inside, "load"):
            self.load = lambda state: inside.load(forms.nested(state))
        if hasattr(inside, "parts"):
            self.parts = lambda: self._flat("parts")

    def state(self) -> Any:
        """What the implementation shows, flat."""
        return self._flat("state")

    def _flat(self, name: str) -> Any:
        method = getattr(self._inside, name)
        shown = method()
        if not isinstance(shown, Mapping):
            return shown
        try:
            return self._forms.flattened(shown, f"{name}()", *self._sizes)
        except ValueError as error:
            raise ValueError(f"{error}{defined(method)}") from None


def _said(nest: Any) -> str:
    """The shapes of a nest, in its structure."""
    if is_array(nest):
        return f"({', '.join(map(str, nest.shape))}{',' * (nest.ndim == 1)})"
    if isinstance(nest, Mapping):
        return f"{{{', '.join(f'{key!r}: {_said(each)}' for key, each in nest.items())}}}"
    if isinstance(nest, list | tuple):
        return f"{type(nest).__name__} of {', '.join(map(_said, nest)) or 'nothing'}"
    return type(nest).__name__
