"""Running an implementation on vectors: everything it does is seen here, and nothing trusted.

What it is given are copies; what it returns is checked, copied to the host and only then
compared. An exception of its own, a wrong shape or a step without end become the ``trouble`` of
an ``Observation``, never a traceback of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from accbo._arrays import dtype_name, is_array, is_jax, map_arrays, named_leaves, to_host
from accbo.conformance.adapter import covered
from accbo.conformance.limits import TooLong, at_most
from accbo.conformance.namespaces import like, move_to, same_namespace
from accbo.conformance.observation import Observation
from accbo.conformance.vector import Vector, as_fields, convention

TIME_LIMIT = 60.0  # seconds a call; a compiler may need many


class TroubleError(Exception):
    """What an implementation did instead of a step, in a sentence."""


class CrashError(TroubleError):
    """It raised, or did not return."""


class Runner:
    """A factory and the namespace whose arrays it takes."""

    def __init__(self, factory: Any, namespace: str, time_limit: float | None = TIME_LIMIT) -> None:
        if not callable(factory):
            raise TypeError(
                "the factory must be callable as factory(problem, algorithm, state), "
                f"got {type(factory).__name__}"
            )
        self.factory, self.namespace, self.time_limit = factory, namespace, time_limit
        self.covered = covered(factory)
        self._problems: dict[tuple[str, str], Any] = {}
        self._object: tuple[Any, Any] = (None, None)
        self._given: list[tuple[str, Any, Any]] = []

    def observe(self, vector: Vector) -> Iterator[Observation]:
        """``vector`` in every mode that the implementation allows."""
        for mode in self.modes(vector):
            yield self.run(vector, mode)

    def modes(self, vector: Vector) -> list[str]:
        """How ``vector`` can be run: a trajectory in one go, and step by step."""
        if vector.kind == "step":
            return ["step"]
        return ["start" if hasattr(self.factory, "start") else "free", "forced"]

    def run(self, vector: Vector, mode: str) -> Observation:
        """``vector`` in one mode."""
        missing = self._not_covered(vector)
        if missing:
            return Observation(vector, mode, (), missing=missing)
        states: list[dict[str, np.ndarray]] = []
        notes: list[str] = []
        try:
            for state in self._states(vector, mode):
                states.append(self._host(state, vector, notes))
        except TroubleError as trouble:
            crashed = isinstance(trouble, CrashError)
            return Observation(
                vector, mode, tuple(states), str(trouble), notes=tuple(notes), crashed=crashed
            )
        except NotImplementedError as error:
            reason = f"not covered: {error or 'NotImplementedError'}"
            return Observation(vector, mode, (), missing=reason)
        return Observation(vector, mode, tuple(states), notes=tuple(dict.fromkeys(notes)))

    def single(self, vector: Vector, index: int) -> tuple[dict[str, np.ndarray], str]:
        """Everything shown after one step from the reference's state, and what went wrong."""
        self._given = []
        try:
            made = self._at(vector, index)
            self._call("step", made.step, self._give("sample", vector.samples[index], vector))
            shown = self._call("state()", made.state)
            if not isinstance(shown, Mapping):
                raise TroubleError(f"state() must return a mapping, got {type(shown).__name__}")
        except (TroubleError, NotImplementedError) as trouble:
            return {}, str(trouble)
        arrays = {str(name): value for name, value in _flat(shown).items() if is_array(value)}
        return {name: np.array(to_host(value), dtype=float) for name, value in arrays.items()}, ""

    def _not_covered(self, vector: Vector) -> str:
        if vector.replicates and not getattr(self.factory, "batched", False):
            return "replicates: not covered (factory.batched = True covers them)"
        for name, chosen in convention(vector).items():
            if chosen not in self.covered[name]:
                return f"{name} = {chosen}: not covered by factory.conventions"
        return ""

    def _states(self, vector: Vector, mode: str) -> Iterator[Any]:
        """What ``state()`` shows after each iteration."""
        self._given = []
        problem = self._problem(vector)
        if mode == "start":
            x, y, start = (
                self._give(name, part, vector)
                for name, part in (("x", vector.x), ("y", vector.y), ("start", vector.start))
            )
            made = self._call("start", self.factory.start, problem, vector.algorithm, x, y, start)
            yield self._call("state()", made.state)
        else:
            made = self._at(vector, 0)
        for index, sample in enumerate(vector.samples):
            if mode == "forced":
                made = self._at(vector, index)
            given = self._give("sample", sample, vector)
            self._call("step", made.step, given)
            shown = self._call("state()", made.state)
            self._unchanged()
            yield shown

    def _at(self, vector: Vector, index: int) -> Any:
        """The implementation in the reference's state before ``samples[index]``."""
        state = self._give("state", vector.before(index), vector)
        key = (vector.problem_name, vector.algorithm, vector.dtype, vector.replicates)
        if self._object[0] == key and hasattr(self._object[1], "load"):
            self._call("load", self._object[1].load, state)
            return self._object[1]
        made = self._call(
            "constructor", self.factory, self._problem(vector), vector.algorithm, state
        )
        for name in ("step", "state"):
            if not callable(getattr(made, name, None)):
                raise TroubleError(
                    f"the factory must return an object with step(sample) and state(); "
                    f"{type(made).__name__} has no {name}()"
                )
        self._object = (key, made)
        return made

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with at_most(self.time_limit):
                return function(*arguments)
        except NotImplementedError:
            raise
        except TooLong:
            raise CrashError(f"{what} did not return within {self.time_limit:g} s") from None
        except Exception as error:
            raise CrashError(f"{what} raised {_described(error)}") from error

    # what is given

    def _problem(self, vector: Vector) -> Any:
        key = (vector.problem_name, vector.dtype)
        if key not in self._problems:
            self._problems[key] = move_to(vector.problem, like(self.namespace, vector.dtype))
        return self._problems[key]

    def _give(self, name: str, tree: Any, vector: Vector) -> Any:
        copied = map_arrays(np.array, tree)
        moved = move_to(copied, like(self.namespace, vector.dtype))
        self._given.append((name, map_arrays(lambda array: np.array(to_host(array)), moved), moved))
        return moved

    def _unchanged(self) -> None:
        """Raise ``TroubleError`` where something given was written to."""
        for name, original, given in self._given:
            for (place, before), (_, after) in zip(
                named_leaves(original, name), named_leaves(given, name), strict=True
            ):
                if not is_jax(after) and not np.array_equal(to_host(after), before):
                    raise TroubleError(
                        f"{place} was overwritten: the state and the sample belong to the "
                        "caller; clone what is changed in place"
                    )
        self._given = self._given[:3]

    # what is returned

    def _host(self, shown: Any, vector: Vector, notes: list[str]) -> dict[str, np.ndarray]:
        if not isinstance(shown, Mapping):
            raise TroubleError(f"state() must return a mapping, got {type(shown).__name__}")
        if "x" not in shown:
            raise TroubleError(f"state() must hold 'x'; it holds {sorted(map(str, shown))}")
        shown = _flat(shown)
        return {
            name: self._field(name, shown[name], vector, notes)
            for name in vector.fields
            if name in shown
        }

    def _field(self, name: str, value: Any, vector: Vector, notes: list[str]) -> np.ndarray:
        if not is_array(value):
            raise TroubleError(f"state()['{name}'] must be an array, got {type(value).__name__}")
        if not same_namespace(value, self.namespace):
            notes.append(
                f"{name} is an array of {type(value).__module__.split('.')[0]}, "
                f"expected {self.namespace}"
            )
        if dtype_name(value) != vector.dtype:
            notes.append(f"{name} has dtype {dtype_name(value)}, expected {vector.dtype}")
        wanted = vector.expected[0][name].shape
        if tuple(value.shape) != wanted:
            raise TroubleError(f"{name} has shape {tuple(value.shape)}, expected {wanted}")
        return np.array(to_host(value), dtype=float)


def _flat(shown: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is shown by dotted name, parts of parts being mappings or NamedTuples."""
    found: dict[Any, Any] = {}
    for name, value in shown.items():
        inside = as_fields(value) if hasattr(value, "_fields") else value
        if isinstance(inside, Mapping):
            found |= {f"{name}.{each}": leaf for each, leaf in _flat(inside).items()}
        else:
            found[name] = value
    return found


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
