"""The array libraries the suite runs on: how each is found, filled, read and guarded."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from accbo._arrays import asarray, dtype_name, move, namespace

NAMES = ("numpy", "strict", "strict-device1", "torch", "jax", "mparray", "cupy")
DIGITS = 50  # of the MPArray runs

# What turns an array into a host value. A step must need none of them.
CONVERSIONS = (
    "__float__",
    "__int__",
    "__bool__",
    "__index__",
    "__complex__",
    "__array__",
    "__dlpack__",
    "__iter__",
)


class MissingError(Exception):
    """A backend that this machine lacks, with the reason."""


@dataclasses.dataclass(frozen=True)
class Backend:
    """One array library: ``like`` is a float64 array of it on the wanted device."""

    name: str
    like: Any
    guarded: bool = False

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """Host values as an array of this backend."""
        return asarray(np.asarray(values), self.like, getattr(self.namespace, dtype))

    def move(self, tree: Any, dtype: str = "float64") -> Any:
        """``tree`` with every array moved here."""
        return move(tree, self.like, getattr(self.namespace, dtype))

    @property
    def namespace(self) -> Any:
        """The namespace of ``like``."""
        return namespace(self.like)

    def guard(self, algorithm: Any) -> Any:
        """``algorithm``, whose ``init`` and ``step`` may not look at a value here."""
        return Guarded(algorithm) if self.guarded else algorithm

    def holds(self, array: Any, dtype: str = "float64") -> bool:
        """Whether ``array`` lives here in this dtype."""
        return type(array) is type(self.like) and dtype_name(array) == dtype


class Guarded:
    """An algorithm around whose ``init`` and ``step`` every scalar conversion raises."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def init(self, *arguments: Any) -> Any:
        """The algorithm's, guarded."""
        with no_conversions():
            return self._algorithm.init(*arguments)

    def step(self, *arguments: Any) -> Any:
        """The algorithm's, guarded."""
        with no_conversions():
            return self._algorithm.step(*arguments)


@contextlib.contextmanager
def no_conversions() -> Iterator[None]:
    """Let no array_api_strict array become a host value."""
    import array_api_strict

    cls = type(array_api_strict.asarray(0.0))
    saved = {name: cls.__dict__[name] for name in CONVERSIONS if name in cls.__dict__}

    def refuse(name: str) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            raise AssertionError(f"{name} was called on an array inside init or step")

        return refused

    for name in CONVERSIONS:
        setattr(cls, name, refuse(name))
    try:
        yield
    finally:
        for name in CONVERSIONS:
            if name in saved:
                setattr(cls, name, saved[name])
            else:
                delattr(cls, name)


@functools.cache
def load(name: str) -> Backend | str:
    """The backend, or why there is none."""
    try:
        return _LOADERS[name]()
    except MissingError as missing:
        return f"{name}: {missing}"


def need(name: str) -> Backend:
    """The backend ``name``, or a skip that says why there is none."""
    found = load(name)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingError(f"not installed ({error})") from None


def _strict(device: str | None) -> Backend:
    xp = _import("array_api_strict")
    place = None if device is None else xp.Device(device)
    like = xp.zeros((1,), dtype=xp.float64, device=place)
    return Backend(f"strict-{device}" if device else "strict", like, guarded=device is not None)


def _torch() -> Backend:
    torch = _import("torch")
    torch.set_num_threads(1)
    return Backend("torch", torch.zeros((1,), dtype=torch.float64))


def _jax() -> Backend:
    jax = _import("jax")
    jax.config.update("jax_enable_x64", True)
    return Backend("jax", jax.numpy.zeros((1,), dtype=jax.numpy.float64))


def _mparray() -> Backend:
    mparray = _import("mparray")
    _import("mpmath").mp.dps = DIGITS
    return Backend("mparray", mparray.asarray(np.zeros(1)))


def _cupy() -> Backend:
    cupy = _import("cupy")
    try:  # the import succeeds without a device, a kernel does not
        like = cupy.zeros((1,), dtype=cupy.float64) + 1
        like.get()
    except Exception as error:
        raise MissingError(f"no usable device ({type(error).__name__}: {error})") from None
    return Backend("cupy", like)


_LOADERS: dict[str, Callable[[], Backend]] = {
    "numpy": lambda: Backend("numpy", np.zeros(1)),
    "strict": lambda: _strict(None),
    "strict-device1": lambda: _strict("device1"),
    "torch": _torch,
    "jax": _jax,
    "mparray": _mparray,
    "cupy": _cupy,
}
