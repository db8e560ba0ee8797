"""The package's own algorithms, traced: a problem that writes down what is asked of it.

    recorder = Recorder("run.jsonl", algorithm=algorithm, warm_start=3, first=1)
    watched = traced(problem, recorder, algorithm)
    options = {"steps": 100, "warm_start": 3, "record": {"trace": watched.record}}
    accbo.run(watched.algorithm, watched, x, y, **options)
    watched.close()

``watched.algorithm`` is the algorithm, and says where its warm start ends.

No vector is kept: a call is projected when it is made. One replicate, on NumPy or PyTorch.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accbo import algorithms
from accbo._arrays import Array, is_traced, leaves, map_arrays, namespace, unit_roundoff
from accbo._law import Law
from accbo.problem import BilevelProblem, Noise, Sample
from accbo.saga import sums_of
from accbo.tracing.checksum import checksum
from accbo.tracing.layout import TABLE_SPACES
from accbo.tracing.projection import largest
from accbo.tracing.recorder import Recorder

BATCHED = ("StocBiO", "VRBO")  # whose oracle calls have a batch axis: its mean is logged
TWO_POINTS = ("AccBO", "SUSTAIN", "VRBO")  # whose iterations look at an older point too
TABLES = {
    "gradient": "grad_y_lower",
    "product": "hvp_lower",
    "cross": "cross_lower",
    "grad_y": "grad_y_upper",
    "grad_x": "grad_x_upper",
}
REPEATED = ("AccBO", "SLIP", "BOREP", "MASOBA", "SABA")  # made again, a call counts once
LINEAR = ("SLIP", "BOREP", "MASOBA", "SABA")  # whose inverse is a state of its own
STATE = {"x": "x", "y": "y", "y_average": "y", "z": "y"}
MOMENTA = {
    "momentum": "momentum",
    "lower_momentum": "lower_momentum",
    "estimate": "momentum",
    "lower_estimate": "lower_momentum",
}


@dataclasses.dataclass(eq=False)
class Call:
    """One evaluation: the numbers of its point, its vector and its value, and its sample.

    ``place`` is 1 for the second of two points that were looked at in one call.
    """

    kind: str
    x: Any
    y: Any
    value: Any
    v: Any
    sample: int
    place: int
    stack: int  # calls that were made as one have one number
    h: Any = None

    def same(self, other: Call, u: float) -> bool:
        """Whether it was the same evaluation, made again, up to rounding."""
        if (self.kind, self.sample) != (other.kind, other.sample):
            return False
        pairs = ((self.x, other.x), (self.y, other.y), (self.v, other.v), (self.value, other.value))
        return all(a is b or _near(np.asarray(a), np.asarray(b), u) for a, b in pairs)


class traced:  # noqa: N801  reads as a verb where it is called
    """See above; ``record`` is for ``accbo.run``, ``close`` writes the last state."""

    def __init__(self, problem: BilevelProblem, recorder: Recorder, algorithm: Any) -> None:
        self._problem, self._recorder = problem, recorder
        self.algorithm = _watched(algorithm, self._warmed)
        while not _name(algorithm):
            algorithm = algorithm.algorithm
        self._algorithm, self._name = algorithm, _name(algorithm)
        self._calls: list[Call] = []
        self._halves: dict[int, dict[str, Array]] = {}  # of an h, at each place
        self._before: dict[str, Any] = {}
        self._tables: Any = None
        self._index: dict[str, int] = {}  # SABA's, of the last lower and the last upper call
        self._x: Array | None = None
        self._origin: tuple[Any, Any] | None = None  # where the first call was: (x_0, y_init)
        self._stack = 0
        self._evaluation = 0  # the stack in which ∇_y F was asked for last
        self._warm: int | None = None  # lower calls of the warm start, once it has ended
        self._declare(problem)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    # --- the oracle -----------------------------------------------------------------------------

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F, written down."""
        return self._asked("grad_x", self._problem.grad_x_upper, (x, y), sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F, written down."""
        return self._asked("grad_y", self._problem.grad_y_upper, (x, y), sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G, written down."""
        return self._asked("lower", self._problem.grad_y_lower, (x, y), sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v, written down."""
        return self._asked("product", self._problem.hvp_lower, (x, y, v), sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v, written down."""
        return self._asked("cross", self._problem.cross_lower, (x, y, v), sample)

    def _asked(
        self, kind: str, oracle: Callable[..., Array], point: tuple[Array, ...], sample: Sample
    ) -> Array:
        value = oracle(*point, sample)
        if self._origin is None and not is_traced(value):
            first = [_flat(a, a.shape[:-1])[0, ...] for a in point[:2]]
            self._x = first[0]
            self._origin = (
                self._recorder.numbers("x", first[0]),
                self._recorder.numbers("y", first[1]),
            )
        if is_traced(value):
            raise TypeError("a compiled run calls once for all iterations: trace it eagerly")
        if self._name == "SABA" and value.ndim > 1:  # the pass over a sum that fills a table
            here = [_flat(a, a.shape[:-1])[0, ...] for a in point[:2]]
            given = dict(zip("xy", here, strict=True))
            self._before |= {name: self._recorder.numbers(name, at) for name, at in given.items()}
            return value
        if self._name == "SABA" and sample:
            level = "upper" if kind in ("grad_x", "grad_y") else "lower"
            self._index[level] = int(next(iter(leaves(sample)))[0])
        x, pairs = point[0], 1
        batched = self._name in BATCHED and value.ndim > 1
        if x.ndim > (2 if batched else 1):
            pairs = x.shape[0]
        stack = [*point, value]
        if batched:
            stack = [_mean(a, value.ndim) for a in stack]
            value_ = stack[-1]
        else:
            value_ = value
        rows = [_flat(a, value_.shape[:-1]) for a in stack]
        self._stack += 1
        if kind == "grad_y":
            self._evaluation = self._stack
        earlier, u = list(self._calls), unit_roundoff(value)
        if self._name not in REPEATED:  # nothing but the products of one series
            since = self._evaluation if kind == "product" else self._stack
            earlier = [call for call in earlier if call.stack > since and call.kind == kind]
        samples = _samples(sample, math.prod(value_.shape[:-1]), pairs, value.ndim, batched)
        for index, number in enumerate(samples):
            at = [row[index, ...] for row in rows]
            call = self._call(kind, at[0], at[1], at[2:-1], at[-1], number, index % pairs)
            again = [other for other in earlier if call.same(other, u)]
            self._calls = [other for other in self._calls if other not in again]
            self._calls.append(call)
        return value

    def _call(
        self, kind: str, x: Array, y: Array, v: Any, value: Array, sample: int, place: int
    ) -> Call:
        numbers = self._recorder.numbers
        made = numbers("x" if kind in ("grad_x", "cross") else "y", value)
        given = numbers("y", v[0]) if v else None
        at = numbers("x", x), numbers("y", y)
        call = Call(kind, *at, made, given, sample, place, self._stack)
        if kind in ("grad_x", "cross"):
            half = self._halves.setdefault(place, {})
            half[kind] = value
            if len(half) == 2:
                call.h = numbers("x", half["grad_x"] - half["cross"])
                del self._halves[place]
        return call

    def _warmed(self) -> None:
        """The warm start has ended."""
        if self._warm is None:
            self._warm = sum(call.kind == "lower" for call in self._calls)

    def _declare(self, problem: BilevelProblem) -> None:
        """How many values a sample may have, and the terms of sums, in the header."""
        fields = [problem.upper_noise, problem.lower_noise]
        fields += [problem.hessian_noise, problem.cross_noise]
        values = [math.prod(map(_values, part.values())) for part in fields if part]
        found: dict[str, Any] = {"sample_values": float(min(values))} if values else {}
        if self._name == "SABA":
            below, above = sums_of(problem)
            found |= {"lower_terms": below.terms, "upper_terms": above.terms}
        self._recorder.declare(**{k: v for k, v in found.items() if v < 2.0**64})

    # --- the lines ------------------------------------------------------------------------------

    def record(self, state: Any) -> Array:
        """Write the iteration that ended in ``state``; returns a number, as a record must."""
        inner = state
        while not hasattr(inner, "x"):
            inner = inner.inner
        if int(state.iteration) == 1:
            self._write_start()
        self._write(inner)
        self._keep(inner)
        self._calls.clear()
        self._halves.clear()
        return namespace(inner.x).sum(0 * inner.x)

    def close(self) -> None:
        """Write the last state, which ends the last iteration, and close the recorder."""
        if self._before:
            self._recorder.add(self._before)
        self._recorder.close()

    def _keep(self, state: Any) -> None:
        numbers = self._recorder.numbers
        self._before = {
            name: numbers(space, getattr(state, name))
            for name, space in STATE.items()
            if hasattr(state, name)
        }
        self._tables = getattr(state, "tables", None)
        self._x = state.x

    def _write_start(self) -> None:
        """The warm start, which is the first of the lower calls."""
        below = [call for call in self._calls if call.kind == "lower"]
        warm = below[: self._warm or 0]
        with self._recorder.start():
            given = {} if self._origin is None else dict(zip("xy", self._origin, strict=True))
            self._recorder._put((), given | ({"lower": _lower(warm)} if warm else {}))
        self._calls = [call for call in self._calls if not any(call is one for one in warm)]
        after = next((call for call in self._calls if call.kind == "lower"), None)
        first = self._calls[0] if self._calls else None
        if first is not None:
            self._before["x"] = first.x
        if after is not None:
            self._before["y"] = after.y
            if self._name == "AccBO":
                self._before["y_average"] = after.y
        if self._name in ("SLIP", "MASOBA", "BOREP", "SABA"):
            self._before["z"] = np.zeros_like(first.y) if first is not None else None

    def _write(self, state: Any) -> None:
        numbers = self._recorder.numbers
        row = {name: value for name, value in self._before.items() if value is not None}
        for name, logged in MOMENTA.items():
            if hasattr(state, name):
                space = "y" if name.startswith("lower") else "x"
                row[logged] = numbers(space, getattr(state, name))
                if logged == "momentum":
                    row["momentum_max"] = largest([getattr(state, name)])
        if self._x is not None:
            row["move"] = numbers("x", state.x - self._x)
        if self._tables is not None and self._calls:
            row["tables"] = self._table_rows()
        most = 2 if self._name in ("SUSTAIN", "SABA") else _own_steps(self._algorithm, self._name)
        self._recorder.add(row | arranged(self._calls, self._name, most))

    def _table_rows(self) -> dict[str, Any]:
        """What SABA's tables held before the iteration."""
        found: dict[str, Any] = {}
        for name, field in TABLES.items():
            table = getattr(self._tables, field)
            index = self._index["upper" if field.endswith("upper") else "lower"]
            rows = {
                "stored": table.stored[index, ...],
                "mean": table.mean,
                "other": table.stored[(index + 1) % table.stored.shape[-2], ...],
            }
            space = TABLE_SPACES[name]
            found[name] = {key: self._recorder.numbers(space, v) for key, v in rows.items()}
        return found


def _near(a: np.ndarray, b: np.ndarray, u: float) -> bool:
    """Equal numbers of vectors, to a few roundings of unit roundoff ``u``."""
    return bool((np.abs(a - b) <= 128 * u * a[0]).all())


def _values(noise: Noise) -> float:
    """How many values a field of noise has."""
    law, shape, parameter = Noise(*noise)
    counts: dict[Law, float] = {"sign": 2.0, "two_point": 2.0, "index": float(parameter or 0)}
    count = counts.get(law, math.inf)
    return min(count ** min(math.prod(shape), 512), 1e300)


def _name(algorithm: Any) -> str:
    """The name of the package's algorithm that this is, or is made from."""
    names = [cls.__name__ for cls in type(algorithm).__mro__]
    return next((n for n in names if hasattr(algorithms, n) and hasattr(algorithm, "step")), "")


def _own_steps(algorithm: Any, name: str) -> int:
    """How many lower gradients iteration 0 takes after the warm start."""
    if name == "AccBO":
        return 1 if algorithm.period is None else int(algorithm.lower_steps)
    if name == "VRBO":
        return 1 + 2 * (int(algorithm.lower_steps) + 1)
    return int(getattr(algorithm, "lower_steps", 0 if name == "SABA" else 1))


def _watched(algorithm: Any, ended: Callable[[], None]) -> Any:
    """The algorithm, or those inside of it, calling ``ended`` at the end of the warm start."""
    names = [name for name in ("algorithm", "wrong") if hasattr(algorithm, name)]
    if names:
        inside = {name: _watched(getattr(algorithm, name), ended) for name in names}
        return dataclasses.replace(algorithm, **inside)
    cls = type(algorithm)

    class Watched(cls):  # type: ignore[misc, valid-type]
        """The same, and its warm start is heard of."""

        def warm_start(self, *arguments: Any) -> Array:
            """y after the T0 steps."""
            y = super().warm_start(*arguments)
            ended()
            return y

    Watched.__name__ = Watched.__qualname__ = cls.__name__
    same = copy.copy(algorithm)
    object.__setattr__(same, "__class__", Watched)
    return same


# --- from calls to names --------------------------------------------------------------------------


def arranged(calls: list[Call], name: str, most: int) -> dict[str, Any]:
    """The calls of an iteration under the names of the format; at most ``most`` lower ones."""
    if name == "VRBO":
        return _inner(calls, (most - 1) // 2)
    evaluations, stray = evaluations_of(calls, name not in LINEAR)
    below = [call for call in calls if call.kind == "lower"]
    row: dict[str, Any] = _stray(stray)
    if below:
        row["lower"] = _lower(below[: max(most, 1)])
    names = ["new", "old"] if name in TWO_POINTS else ["new"]
    sides = [_side(one, name in LINEAR) for one in evaluations]
    row |= dict(zip(names, sides, strict=False))
    if len(sides) > len(names):
        row["other"] = sides[len(names) :]
    return row


def evaluations_of(calls: list[Call], series: bool) -> tuple[list[dict[str, Any]], list[Call]]:
    """Calls of one hypergradient together, in the order in which they began; and stray ∇_y F.

    Where there is a ``series``, ∇_y F is followed by its products; where there is none, it is
    stray at a point where nothing else of a hypergradient is taken.
    """
    found: list[dict[str, Any]] = []
    stray: list[Call] = []
    base = 0  # the evaluation of place 0 that products belong to
    for index, call in enumerate(calls):
        if call.kind == "lower":
            continue
        if call.kind == "grad_y" and not (_used if series else _of_system)(calls, index):
            stray.append(call)
            continue
        if call.kind == "product" and series:
            while len(found) <= base + call.place:
                found.append({})
            found[base + call.place].setdefault("product", []).append(call)
            continue
        place = next((i for i, one in enumerate(found) if call.kind not in one), len(found))
        if place == len(found):
            found.append({})
        found[place][call.kind] = [call] if call.kind == "product" else call
        if call.kind == "grad_y" and call.place == 0:
            base = place
    return found, stray


def _used(calls: list[Call], index: int) -> bool:
    """Whether ∇_y F belongs to an evaluation: products or ∇_x F follow it."""
    rest = (call for call in calls[index + 1 :] if call.stack != calls[index].stack)
    following = next(rest, None)
    return following is not None and following.kind in ("product", "grad_x", "cross")


def _of_system(calls: list[Call], index: int) -> bool:
    """Whether ∇_y F is where something else of a hypergradient is taken."""
    call, kinds = calls[index], ("grad_x", "product", "cross")
    return any(
        one.kind in kinds and np.array_equal(one.x, call.x) and np.array_equal(one.y, call.y)
        for one in calls
    )


def _side(calls: dict[str, Any], linear: bool = False) -> dict[str, Any]:
    side: dict[str, Any] = {}
    direct, grad_y, cross = (calls.get(kind) for kind in ("grad_x", "grad_y", "cross"))
    products = calls.get("product", [])
    point = direct or grad_y or cross or products[0]
    side |= {"x": point.x, "y": point.y}
    if direct:
        side |= {"grad_x": direct.value, "upper_sample": direct.sample}
    if grad_y:
        side["grad_y"] = grad_y.value
        if linear or not direct or grad_y.sample != direct.sample:
            side["upper_y_sample"] = grad_y.sample
    if products:
        side["power"] = [call.v for call in products]
        side["product"] = [call.value for call in products]
        side["hessian_sample"] = [call.sample for call in products]
        side |= _elsewhere("hessian", products[0], point)
    if cross:
        side |= {"inverse": cross.v, "cross": cross.value, "cross_sample": cross.sample}
        side |= _elsewhere("cross", cross, point)
        h = cross.h if direct is None or cross.h is not None else direct.h
        if h is not None:
            side["h"] = h
    return side


def _elsewhere(kind: str, call: Call, point: Call) -> dict[str, Any]:
    if np.array_equal(call.x, point.x) and np.array_equal(call.y, point.y):
        return {}
    return {f"{kind}_x": call.x, f"{kind}_y": call.y}


def _lower(calls: list[Call]) -> dict[str, Any]:
    return {
        "x": [call.x for call in calls],
        "y": [call.y for call in calls],
        "gradient": [call.value for call in calls],
        "sample": [call.sample for call in calls],
    }


def _stray(stray: list[Call]) -> dict[str, Any]:
    return {"stray": [call.value for call in stray]} if stray else {}


def _inner(calls: list[Call], count: int) -> dict[str, Any]:
    """VRBO: a refresh, if there is one, and the ``count`` differences after it."""
    rounds = _rounds(calls)
    row: dict[str, Any] = {}
    stray: list[Call] = []
    for index, one in enumerate(rounds):
        evaluations, left = evaluations_of(one, series=True)
        below = [call for call in one if call.kind == "lower"]
        stray += left
        sides = [_side(each) for each in evaluations if each]
        here = dict(zip(("new", "old"), sides, strict=False))
        here |= {"lower": _lower(below)} if below else {}
        if index == 0 and _refreshes(rounds, count):
            row |= here
        else:
            row.setdefault("inner", []).append(here)
    return row | _stray(stray)


def _rounds(calls: list[Call]) -> list[list[Call]]:
    """Calls of one estimate of both levels together: lower ones, then those of the upper level."""
    rounds: list[list[Call]] = []
    for call in calls:
        if call.kind == "lower" and (not rounds or rounds[-1][-1].kind != "lower"):
            rounds.append([])
        if not rounds:
            rounds.append([])
        rounds[-1].append(call)
    return rounds


def _refreshes(rounds: list[list[Call]], count: int) -> bool:
    """Whether the first of these is a refresh: it is of one point, the differences of two."""
    pairs = [sum(call.kind == "lower" for call in one) > 1 for one in rounds]
    return len(rounds) > count or (not pairs[0] and any(pairs))


# --- stacks of calls ------------------------------------------------------------------------------


def _mean(a: Array, ndim: int) -> Array:
    """``a`` without its batch axis, which is the one before the variable."""
    return a if a.ndim < ndim else namespace(a).mean(a, axis=-2)


def _flat(a: Array, leading: tuple[int, ...]) -> Array:
    xp = namespace(a)
    return xp.reshape(xp.broadcast_to(a, (*leading, a.shape[-1])), (-1, a.shape[-1]))


def _entry(index: int) -> Callable[[Array], Array]:
    return lambda leaf: leaf[index, ...]


def _samples(sample: Sample, count: int, pairs: int, ndim: int, batched: bool) -> list[int]:
    """The number of the sample of each of ``count`` calls that were made as one."""
    if not sample:
        return [0] * count
    if batched or not any(leaf.ndim == ndim > 1 for leaf in leaves(sample)):
        return [checksum(sample)] * count
    return [checksum(map_arrays(_entry(i // pairs), sample)) for i in range(count)]
