"""Wrong programs that stand in no catalogue, and what is true of each, known without the oracle.

A program is one of ``tests.plain_programs`` with one edit (``tests.edits``). Whether it is wrong,
which quantity is, and whether it *is* a mistake of the catalogue is decided on problems and samples
that no vector has.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import row
from accbo.algorithms import AccBO
from accbo.conformance.methods import METHODS
from accbo.conformance.vectors.vector import as_fields, as_state
from accbo.problems import LowerNoise, UpperNoise, finite_sum, nonquadratic, relaxed_smooth
from accbo.sampling import Tape
from tests import plain_programs
from tests.edits import Edit, apart, edited, edits, rearrangements
from tests.samples import flat

SOURCE = Path(plain_programs.__file__).read_text(encoding="utf-8")
DIFFERENT = 1e-8  # relative: programs that differ by more are two
NOTICED = 1e-12  # relative: a quantity made of the same numbers that differs by more is another
Fields = Mapping[str, np.ndarray]


# --- programs ---------------------------------------------------------------------------------


class Watched(dict[str, Any]):
    """Fields of a state, with every value that was stored, in turn."""

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields)
        self.log: list[tuple[str, Any]] = []

    def __setitem__(self, name: str, value: Any) -> None:
        self.log.append((name, value))
        super().__setitem__(name, value)


class Forced(Watched):
    """As ``Watched``, but what is stored is what another program stored there."""

    def __init__(self, fields: Fields, other: Watched) -> None:
        super().__init__(fields)
        self.other = other

    def __setitem__(self, name: str, value: Any) -> None:
        self.log.append((name, value))
        dict.__setitem__(self, name, self._given(name))

    def _given(self, name: str) -> Any:
        mine = sum(each == name for each, _ in self.log)
        theirs = [value for each, value in self.other.log if each == name]
        return theirs[mine - 1] if mine <= len(theirs) else self.other[name]


class Program(NamedTuple):
    """Functions of a step and of a start, and the edits they were made with."""

    method: str
    step: Any
    start: Any
    changes: tuple[Edit, ...] = ()


@functools.cache
def plain(method: str) -> Program:
    """The program of an algorithm as it stands."""
    return program(method)


def program(method: str, *changes: Edit) -> Program:
    """The program of an algorithm with some edits."""
    space: dict[str, Any] = {}
    exec(compile(edited(SOURCE, *changes), "edited", "exec"), space)
    name = method.lower()
    return Program(method, space[name], space[f"{name}_start"], changes)


@functools.cache
def all_edits(method: str) -> list[Edit]:
    """Every edit of an algorithm's program."""
    return edits(SOURCE, [method.lower(), f"{method.lower()}_start"])


def with_edit(method: str, text: str, function: str = "") -> Program:
    """The program with the edit that is described by ``text``."""
    (edit,) = [
        one for one in all_edits(method) if one.text == text and function in ("", one.function)
    ]
    return program(method, edit)


def rearranged(method: str, seed: int) -> Program:
    """The program with its arithmetic in another order, in several places."""
    draw = random.Random(f"{method} {seed}")
    offered = rearrangements(SOURCE, [method.lower(), f"{method.lower()}_start"])
    draw.shuffle(offered)
    return program(method, *apart(SOURCE, offered, 8))


def factory(made: Program) -> Any:
    """A program as the oracle takes it."""

    class Implementation:
        algorithm = made.method

        def __init__(self, problem: Any, a: Any, state: Any) -> None:
            self.p, self.a, self.s, self.t = problem, a, flat(state), state.iteration

        def step(self, sample: Any) -> None:
            made.step(self.s, self.t, sample, self.p, self.a)
            self.t += 1

        def state(self) -> dict[str, Any]:
            return dict(self.s)

    def begin(problem: Any, a: Any, x: Any, y: Any, start: Any) -> Any:
        one = Implementation.__new__(Implementation)
        one.p, one.a, one.s, one.t = problem, a, {"x": x, "y": y}, 1
        made.start(one.s, start, problem, a)
        return one

    Implementation.start = staticmethod(begin)  # type: ignore[attr-defined]
    return Implementation


# --- problems and samples that no vector has ------------------------------------------------------


class Fresh(NamedTuple):
    """A run on its own problem: from (x, y), or one step from a state."""

    problem: Any
    algorithm: Any
    x: Any
    y: Any
    start: Any
    samples: tuple[Any, ...]
    state: Any = None


UPPER = UpperNoise(0.3, 0.2, 0.3, 0.2)
LOWER = LowerNoise(additive=0.4, curvature=0.2, coupling=0.2)
STEPS = 6


@functools.cache
def fresh(method: str) -> tuple[Fresh, ...]:
    """Runs and single steps, under all conventions."""
    found: list[Fresh] = []
    for number, (problem, algorithm) in enumerate(_settings(method)):
        normals = np.random.default_rng([7, number])
        x, y = (normals.standard_normal(size) for size in (problem.d_x, problem.d_y))
        if number % 3 == 2:
            x, y = 6 * x, 6 * y
        stream = Tape(1000 + number).open(x)
        start = stream.start(algorithm.draw_start(problem, 2, 2))
        layouts = [algorithm.draw(problem, algorithm.refreshes(t)) for t in range(1, STEPS)]
        samples = tuple(row(stream.block(layout, 1), 0) for layout in layouts)
        found.append(Fresh(problem, algorithm, x, y, start, samples))
        state = algorithm.init(problem, x, y, start)
        for index, sample in enumerate(samples):
            fields = {
                name: value
                if "stored" in name or "mean" in name
                else value + 0.3 * normals.standard_normal(value.shape)
                for name, value in as_fields(state).items()
            }
            moved = as_state(method, fields, index + 1)
            found.append(Fresh(problem, algorithm, None, None, None, (sample,), moved))
            state = algorithm.step(problem, state, sample)
    return tuple(found)


def _settings(method: str) -> Iterator[tuple[Any, Any]]:
    options = {"noise_upper": UPPER, "noise_lower": LOWER, "form": "matmul", "coupling": 1.1}
    problems = [
        nonquadratic((0.9, 1.3, 1.6, 2.1), 3, **options, seed=501),
        nonquadratic((1.1, 1.7), 4, **options, seed=502),
        relaxed_smooth((0.8, 1.4, 1.9), 2, rate=1.1, ripple=0.4, **options, seed=503),
        finite_sum(6, 3, 2, scale=1.3, upper_batch=2, lower_batch=2, seed=504),
    ]
    if method == "SABA":
        sizes = ((6, 3, 2), (7, 2, 4), (5, 2, 2))
        problems = [
            finite_sum(*size, scale=1.3, upper_batch=1, lower_batch=1, seed=505) for size in sizes
        ]
    for number, problem in enumerate(problems):
        scale = {"neumann_scale": 1.3 * problem.constants.curvature}
        if method == "AccBO":
            sampling = ("chained", "independent", "randomised")
            for order, period, kind in itertools.product(
                ("simultaneous", "sequential"), (None, 2), sampling
            ):
                if number == 3 and kind != sampling[len(order) % 3]:
                    continue
                if number < 3 and (kind != sampling[number]):
                    continue
                yield (
                    problem,
                    AccBO(
                        lower_step_size=0.17,
                        lower_momentum=0.61,
                        averaging=0.29,
                        momentum=0.83,
                        upper_step_size=0.057,
                        neumann_terms=3 + number % 2,
                        neumann_sampling=kind,
                        period=period,
                        lower_steps=2 if period else 1,
                        order=order,
                        **scale,
                    ),
                )
            continue
        for setting in METHODS[method].settings:
            changed = {k: 0.93 * v if isinstance(v, float) else v for k, v in setting.items()}
            changed |= scale if "neumann_terms" in setting else {}
            yield problem, METHODS[method].algorithm(**changed)


def run(made: Program, one: Fresh, other: list[Watched] | None = None) -> list[Watched]:
    """The states of a program on fresh numbers; with ``other``, it is told that one's values."""
    states: list[Watched] = []

    def kept(before: Fields) -> Watched:
        return Watched(before) if other is None else Forced(before, other[len(states)])

    with np.errstate(all="ignore"):
        if one.state is None:
            s = kept({"x": np.array(one.x), "y": np.array(one.y)})
            made.start(s, one.start, one.problem, one.algorithm)
            states.append(s)
        for sample in one.samples:
            s = kept(dict(states[-1] if states else flat(one.state)))
            t = one.state.iteration if one.state is not None else len(states)
            made.step(s, t, sample, one.problem, one.algorithm)
            states.append(s)
    return states


def gap(a: Fields, b: Fields) -> float:
    """The largest relative difference of two states; infinite where something is not finite."""
    worst = 0.0
    for name in b:
        one, other = np.asarray(a[name], float), np.asarray(b[name], float)
        if one.shape != other.shape:
            return np.inf
        size = max(float(np.max(np.abs(other), initial=0.0)), 1e-300)
        each = float(np.max(np.abs(one - other), initial=0.0)) / size
        worst = max(worst, np.inf if np.isnan(each) else each)
    return worst


# --- what is true ----------------------------------------------------------------------------


def outcome(made: Program) -> list[list[Watched]] | None:
    """What a program makes of the fresh numbers; None if it does not run, or leaves the finite."""
    try:
        found = []
        for one in fresh(made.method):
            states = run(made, one)
            shapes = _layout(one)
            for state in states:
                if any(np.shape(state[name]) != np.shape(shapes[name]) for name in shapes):
                    return None
                if not all(map(_is_number, state.values())):
                    return None
            found.append(states)
        return found
    except Exception:
        return None


def _is_number(value: Any) -> bool:
    return not np.iscomplexobj(value) and bool(np.all(np.isfinite(value)))


def _layout(one: Fresh) -> Fields:
    """Fields of the shapes that a state has."""
    if one.state is not None:
        return flat(one.state)
    return flat(one.algorithm.init(one.problem, one.x, one.y, one.start))


@functools.cache
def right(method: str) -> list[list[Watched]]:
    """What the untouched program makes of them."""
    found = outcome(plain(method))
    assert found is not None
    return found


def distance(made: Sequence[Sequence[Fields]], other: Sequence[Sequence[Fields]]) -> float:
    """The largest difference of any state, or the first that is one."""
    worst = 0.0
    for a, b in zip(itertools.chain(*made), itertools.chain(*other), strict=True):
        worst = max(worst, gap(a, b))
        if worst > DIFFERENT:
            break
    return worst


@functools.cache
def _conventions(method: str) -> list[list[list[Watched]]]:
    """What the untouched program makes of them under other legitimate conventions."""
    if method != "AccBO":
        return []
    orders = ("", "simultaneous", "sequential")
    kinds = [(order, one) for order in orders for one in (False, True) if order or one]
    return [
        [run(plain(method), _under(order, one, f)) for f in fresh(method)] for order, one in kinds
    ]


def _under(order: str, one: bool, of: Fresh) -> Fresh:
    """Fresh numbers under another order, or with m_0 from the first sample alone."""
    if order:
        of = of._replace(algorithm=dataclasses.replace(of.algorithm, order=order))
    if one and of.start is not None:
        first = of.start.first
        cut = {
            name: {key: leaf[:1] for key, leaf in part.items()}
            for name, part in first._asdict().items()
            if name != "lower"
        }
        of = of._replace(start=of.start._replace(first=first._replace(**cut)))
    return of


def wrong_quantities(made: Program, found: Sequence[list[Watched]]) -> set[str]:
    """The fields that a program makes wrong of what itself has made before them."""
    wrong: set[str] = set()
    for one, states in zip(fresh(made.method), found, strict=True):
        for told, mine in zip(run(plain(made.method), one, states), states, strict=True):
            counts: dict[str, int] = {}
            assert isinstance(told, Forced)
            for name, value in told.log:
                counts[name] = counts.get(name, 0) + 1
                theirs = [given for each, given in mine.log if each == name]
                last = sum(each == name for each, _ in told.log)
                given = theirs[counts[name] - 1] if counts[name] <= len(theirs) else mine[name]
                if counts[name] == last:
                    given = mine[name]
                if gap({name: given}, {name: value}) > NOTICED:
                    wrong.add(name)
    return wrong


class Wrong(NamedTuple):
    """A wrong program and the quantities that are wrong of themselves."""

    program: Program
    quantities: frozenset[str]
    states: list[list[Watched]]

    @property
    def text(self) -> str:
        """What was edited."""
        edit = self.program.changes[0]
        return f"{self.program.method}, {edit.kind} in {edit.function}: {edit.text}"


def known_wrong(made: Program) -> Wrong:
    """A program that is wrong, with its quantities."""
    states = outcome(made)
    assert states is not None
    return Wrong(made, frozenset(wrong_quantities(made, states)), states)


def wrong_programs(method: str, seed: int) -> Iterator[Wrong]:
    """Wrong programs of an algorithm, no two of them alike, all kinds of edits in turn."""
    draw = random.Random(f"{method} {seed}")
    kinds: dict[str, list[Edit]] = {}
    for edit in all_edits(method):
        kinds.setdefault(edit.kind, []).append(edit)
    for waiting in kinds.values():
        draw.shuffle(waiting)
    seen: set[tuple[float, ...]] = set()
    while kinds:
        for kind in list(kinds):
            if not kinds[kind]:
                del kinds[kind]
                continue
            made = program(method, kinds[kind].pop())
            states = outcome(made)
            legitimate = [right(method), *_conventions(method)]
            if states is None or any(distance(states, it) <= DIFFERENT for it in legitimate):
                continue
            print_of = tuple(
                float(f"{np.sum(np.abs(value)):.6e}")
                for one in states
                for s in one
                for value in s.values()
            )
            if print_of in seen:
                continue
            seen.add(print_of)
            yield Wrong(made, frozenset(wrong_quantities(made, states)), states)
