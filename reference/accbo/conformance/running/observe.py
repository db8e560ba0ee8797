"""Running an implementation on vectors: everything it does is seen here, and nothing trusted.

What it is given are copies; what it returns is checked, copied to the host and only then
compared. An exception of its own, a wrong shape or a step without end become the ``trouble`` of
an ``Observation``, never a traceback of ours, and never an end of ours either.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from accbo._arrays import dtype_name, is_array, is_jax, map_arrays, named_leaves, to_host
from accbo._blame import defined, text_of
from accbo._foreign import ForeignError, LateError, foreign, read
from accbo._printable import one_line
from accbo.conformance.adapter import CONVENTIONS, claimed
from accbo.conformance.running.observation import Observation, fails
from accbo.conformance.running.target import space_of
from accbo.conformance.vectors.vector import Vector, as_fields, convention
from accbo.namespaces import like, move_to, same_namespace

TIME_LIMIT = 60.0  # seconds a call; a compiler may need many
TROUBLES = 25  # in a row from the first check on: then nothing will come of it
LATES = 2  # the same, where the troubles are calls that did not return


class TroubleError(Exception):
    """What an implementation did beside its step that makes it wrong, in a sentence."""


class Runner:
    """A factory and the namespace whose arrays it takes."""

    def __init__(self, factory: Any, namespace: str, time_limit: float | None = TIME_LIMIT) -> None:
        if not callable(factory):
            raise TypeError(
                "the factory must be callable as factory(problem, algorithm, state), "
                f"got {type(factory).__name__}"
            )
        self.factory, self.namespace, self.time_limit = factory, namespace, time_limit
        self.claimed = claimed(factory)
        self.starts = read(factory, "start") is not None
        self.batched = bool(read(factory, "batched", False))
        self.ended = ""  # why nothing more is tried
        self._space = space_of(factory)
        self._succeeded, self._troubles, self._lates = False, 0, 0
        self._problems: dict[tuple[str, str], Any] = {}
        self._object: tuple[Any, Any] = (None, None)
        self._given: list[tuple[str, Any, Any]] = []
        self._latest, self._home = factory, ""  # what was called last, and where it is defined

    def observe(self, vector: Vector) -> Iterator[Observation]:
        """``vector`` in every mode that the implementation allows."""
        for mode in self.modes(vector):
            yield self.run(vector, mode)

    def modes(self, vector: Vector) -> list[str]:
        """How ``vector`` can be run: a trajectory in one go, and step by step unless it is long."""
        if vector.kind == "step":
            return ["step"]
        whole = "start" if self.starts else "free"
        return [whole] if vector.long else [whole, "forced"]

    def run(self, vector: Vector, mode: str) -> Observation:
        """``vector`` in one mode."""
        missing = self.not_covered(vector)
        if missing:
            return Observation(vector, mode, (), missing=missing)
        if self.ended:
            return Observation(vector, mode, (), f"not tried: {self.ended}", crashed=True)
        states: list[dict[str, np.ndarray]] = []
        notes: list[str] = []
        try:
            for state in self._states(vector, mode):
                states.append(self._host(state, vector, notes))
        except (TroubleError, ForeignError) as trouble:
            self._note(trouble, bool(states))
            crashed = isinstance(trouble, ForeignError)
            return Observation(
                vector, mode, tuple(states), str(trouble), notes=tuple(notes), crashed=crashed
            )
        except NotImplementedError as error:
            reason = f"not covered: {text_of(error) or 'NotImplementedError'}"
            seen = Observation(vector, mode, tuple(states), reason, crashed=True)
            if fails(seen):  # what was wrong before it stays wrong
                return seen
            return Observation(vector, mode, (), missing=reason)
        self._succeeded = True
        return Observation(vector, mode, tuple(states), notes=tuple(dict.fromkeys(notes)))

    def _note(self, trouble: Exception, shown: bool) -> None:
        """Count what went wrong from the first case on, and give up in time."""
        self._succeeded = self._succeeded or shown
        self._troubles += 1
        self._lates += isinstance(trouble, LateError)
        if not self._succeeded and (self._troubles >= TROUBLES or self._lates >= LATES):
            self.ended = f"the first {self._troubles} cases ended so"

    def single(self, vector: Vector, index: int) -> tuple[dict[str, np.ndarray], str]:
        """All that state() and parts() show after one step from the reference's state, by name,
        and what went wrong.
        """
        self._given = []
        try:
            made = self._at(vector, index)
            self._call("step", made.step, self._give("sample", vector.samples[index], vector))
            shown = self._call("state()", made.state)
            self._home = defined(self._latest, self.factory)
            with self._guard("reading state()"):
                arrays = self._mapping(shown, vector)
            if read(made, "parts") is not None:
                parts = self._call("parts()", made.parts)
                with self._guard("reading parts()"):
                    arrays = {**_flat(parts), **arrays}
            with self._guard("reading what is shown"):
                own = {name for name in arrays if str(name).startswith("_")}
                return {str(n): _host_array(a) for n, a in arrays.items() if n not in own}, ""
        except (TroubleError, ForeignError) as trouble:
            return {}, str(trouble)
        except NotImplementedError as error:
            return {}, f"not covered: {text_of(error) or 'NotImplementedError'}"

    def not_covered(self, vector: Vector) -> str:
        """Why ``vector`` is outside of what the factory declares; "" if it is not."""
        if vector.replicates and not self.batched:
            return "replicates: not covered (factory.batched = True covers them)"
        for name, chosen in convention(vector).items():
            if chosen not in self.claimed.get(name, CONVENTIONS[name]):
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
            self._expect_methods(made)
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
        if self._object[0] == key and callable(read(self._object[1], "load")):
            self._call("load", self._object[1].load, state)
            return self._object[1]
        made = self._call(
            "constructor", self.factory, self._problem(vector), vector.algorithm, state
        )
        self._expect_methods(made)
        self._object = (key, made)
        return made

    def _expect_methods(self, made: Any) -> None:
        for name in ("step", "state"):
            if not callable(read(made, name)):
                raise ForeignError(
                    f"the factory must return an object with step(sample) and state(); "
                    f"{type(made).__name__} has no {name}(){defined(self.factory)}"
                )

    @contextlib.contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        with self._space(), foreign(what, self.time_limit, self._home):
            yield

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        self._latest, self._home = function, ""
        with self._guard(what):
            return function(*arguments)

    # what is given

    def _problem(self, vector: Vector) -> Any:
        key = (vector.problem_name, vector.dtype)
        if key not in self._problems:
            copied = map_arrays(np.array, vector.problem)
            self._problems[key] = move_to(copied, like(self.namespace, vector.dtype))
        return self._problems[key]

    def _give(self, name: str, tree: Any, vector: Vector) -> Any:
        copied = map_arrays(np.array, tree)
        moved = move_to(copied, like(self.namespace, vector.dtype))
        self._given.append((name, map_arrays(lambda array: np.array(to_host(array)), moved), moved))
        return moved

    def _unchanged(self) -> None:
        """Raise ``TroubleError`` where something given was written to."""
        for name, original, given in self._given:
            with self._guard(f"reading {name}"):
                before, after = dict(named_leaves(original, name)), dict(named_leaves(given, name))
                changed = sorted(set(before) ^ set(after)) or [
                    place
                    for place, array in after.items()
                    if not is_jax(array) and not np.array_equal(to_host(array), before[place])
                ]
            if changed:
                raise TroubleError(
                    f"{changed[0]} was overwritten: the state and the sample belong to the "
                    "caller; clone what is changed in place"
                )
        self._given = self._given[:3]

    # what is returned

    def _host(self, shown: Any, vector: Vector, notes: list[str]) -> dict[str, np.ndarray]:
        self._home = defined(self._latest, self.factory)
        with self._guard("reading state()"):
            fields = self._mapping(shown, vector)
            return {
                name: self._field(name, fields[name], vector, notes)
                for name in vector.fields
                if name in fields
            }

    def _mapping(self, shown: Any, vector: Vector) -> dict[Any, Any]:
        """What state() returned, by dotted name; raises ``ForeignError`` for what it must not."""
        if not isinstance(shown, Mapping):
            raise self._broken(f"state() must return a mapping, got {type(shown).__name__}")
        fields = _flat(shown)
        for name in fields:
            if not _is_known(name, vector):
                raise self._broken(
                    f"state() holds {one_line(repr(name), 60)}, which is no field of the state; "
                    f"{_nearest(name, vector)}; a name of your own begins with _"
                )
        if "x" not in fields:
            raise self._broken(f"state() must hold 'x'; it holds {sorted(map(str, fields))}")
        return fields

    def _field(self, name: str, value: Any, vector: Vector, notes: list[str]) -> np.ndarray:
        if not is_array(value):
            raise self._broken(f"state()['{name}'] must be an array, got {type(value).__name__}")
        if not same_namespace(value, self.namespace):
            notes.append(
                f"{name} is an array of {type(value).__module__.split('.')[0]}, "
                f"expected {self.namespace}"
            )
        if "complex" in dtype_name(value):
            raise self._broken(f"{name} has dtype {dtype_name(value)}, expected {vector.dtype}")
        if dtype_name(value) != vector.dtype:
            notes.append(f"{name} has dtype {dtype_name(value)}, expected {vector.dtype}")
        wanted = vector.expected[0][name].shape
        if tuple(value.shape) != wanted:
            raise self._broken(f"{name} has shape {tuple(value.shape)}, expected {wanted}")
        return np.array(to_host(value), dtype=float)

    def _broken(self, sentence: str) -> ForeignError:
        """The contract is broken, by the code that was called last."""
        return ForeignError(f"{sentence}{self._home}")


def _host_array(value: Any) -> np.ndarray:
    """An array, or a number, on the host."""
    return np.array(to_host(value) if is_array(value) else value, dtype=float)


def _is_known(name: Any, vector: Vector) -> bool:
    if not isinstance(name, str):
        return False
    return name in vector.fields or name == "iteration" or name.startswith("_")


def _nearest(name: Any, vector: Vector) -> str:
    """The field that was probably meant."""
    text = str(name)
    begins = [field for field in vector.fields if text and field.startswith(text)]
    near = begins or difflib.get_close_matches(text, vector.fields, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"fields are {', '.join(vector.fields)}"


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
