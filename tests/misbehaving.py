"""Somebody else's code at its worst: an implementation, a problem and a fault that misbehave.

What it does is in ``DEEDS``; where it does it is in the environment, ``PLACE``, which the parts
below look at when they are called.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import numpy as np

from accbo import schedules
from accbo.problems import quadratic

DEED, PLACE = "ACCBO_TEST_DEED", "ACCBO_TEST_PLACE"


class Unheard(BaseException):
    """No ``Exception``."""


class MuteError(Exception):
    """One whose text cannot be had."""

    def __str__(self) -> str:
        sys.exit(0)


def swallow() -> NoReturn:
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def recurse() -> None:
    recurse()


def throw(error: BaseException) -> NoReturn:
    raise error


DEEDS: dict[str, Any] = {
    "exits with 0": lambda: sys.exit(0),
    "exits with 1": lambda: sys.exit(1),
    "exits with a text": lambda: sys.exit("all is well"),
    "ends the process": lambda: os._exit(0),
    "raises": lambda: throw(RuntimeError("no such layer")),
    "raises what is no exception": lambda: throw(Unheard()),
    "interrupts itself": lambda: throw(KeyboardInterrupt()),
    "closes a generator": lambda: throw(GeneratorExit()),
    "stops an iteration": lambda: throw(StopIteration()),
    "raises without a text": lambda: throw(MuteError()),
    "is out of memory": lambda: throw(MemoryError()),
    "recurses": recurse,
}


def here(place: str) -> None:
    """Do the deed if this is the place for it."""
    if os.environ.get(PLACE) == place:
        DEEDS[os.environ[DEED]]()


class Right:
    """AccBO itself, but for the deed."""

    def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
        here("constructor")
        self.problem, self.algorithm, self.now = problem, algorithm, state

    def step(self, sample: Any) -> None:
        here("step")
        self.now = self.algorithm.step(self.problem, self.now, sample)

    def state(self) -> Any:
        here("state")
        return {"x": self.now.x, "y": self.now.y, "momentum": self.now.momentum}

    @property
    def load(self) -> Any:
        here("property")
        raise AttributeError


class Declaring(type):
    """A factory whose declarations are computed."""

    @property
    def namespace(cls) -> str:
        here("declaration")
        return "numpy"


class Implementation(Right, metaclass=Declaring):
    """The target."""


def fault(algorithm: Any) -> Any:
    here("fault")
    return algorithm


class Problem:
    """A quadratic, but for the deed."""

    def __init__(self) -> None:
        here("factory")
        self.base = quadratic()

    def __getattr__(self, name: str) -> Any:
        if name == "lower_noise":
            here("noise")
        return getattr(self.base, name)

    def cross_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        if sample is None:
            here("expectation")
        here("method")
        return self.base.cross_lower(x, y, v, sample)


def schedule(constants: Any, steps: int) -> Any:
    here("schedule")
    return schedules.accbo(constants, steps=steps)


def shows(value: Any) -> Any:
    """An implementation whose state() is ``value(the right one)``."""

    class Shows(Right):
        def state(self) -> Any:
            return value(super().state())

    return Shows


class Shapeless:
    """No array, whatever it says."""

    __array_namespace__ = None
    dtype = np.dtype("float64")

    @property
    def shape(self) -> Any:
        sys.exit(0)


RUBBISH: dict[str, tuple[Any, str]] = {
    "nothing": (lambda right: None, "state() must return a mapping, got NoneType"),
    "a tuple": (lambda right: tuple(right.values()), "state() must return a mapping, got tuple"),
    "no x": (lambda right: {"y": right["y"]}, "state() must hold 'x'"),
    "a text": (lambda right: {**right, "x": "1.0"}, "state()['x'] must be an array, got str"),
    "None": (lambda right: {**right, "x": None}, "state()['x'] must be an array, got NoneType"),
    "another shape": (lambda right: {**right, "x": right["x"][:1]}, "x has shape (1,), expected"),
    "one that exits": (lambda right: {**right, "x": Shapeless()}, "SystemExit: 0"),
    "complex": (lambda right: {**right, "x": right["x"] + 1j}, "has dtype complex128"),
    "m": (lambda right: {**right, "m": right["x"]}, "did you mean 'momentum'?"),
    "y_avg": (lambda right: {**right, "y_avg": right["y"]}, "did you mean 'y_average'?"),
    "Momentum": (lambda right: {**right, "Momentum": right["x"]}, "did you mean 'momentum'?"),
    "no name": (lambda right: {**right, 3: right["x"]}, "state() holds 3, which is no field"),
}
