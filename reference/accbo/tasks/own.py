"""A task of the user's own: an object with a problem, a start and a score.

What the comparison needs beside that is measured here: the curvature of the lower level at the
start, which bounds its steps, and ‖∇Φ‖ there. Methods that need what a problem does not have are
left out, with the reason.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array, asarray, device, dtype_name, is_array, to_host
from accbo._blame import defined, described
from accbo._foreign import ForeignError, foreign, read
from accbo.auditing.oracle import AuditError, Oracle
from accbo.auditing.spectra import lower_end
from accbo.conformance.running.target import load_target, space_of
from accbo.sampling import probe_normals
from accbo.tasks.blocks import Blocks
from accbo.tasks.task import UNTESTED, Instance, Measure, Task, TaskError
from accbo.validation import check_problem

DRAWS = 4  # realisations whose curvature is looked at
SPARE = 1.5  # of the largest curvature seen: beyond the start there may be more
STEPS = 50  # of the lower level, towards y*(x) at the start
CONDITION = 50.0  # that stands in where the lower level is not strongly convex at the start
BUDGET = 5000
OWN = "own"  # the backend of a task that brings its own arrays
FINITE_SUM = "SABA"  # the method that keeps a table of every sample


class State(NamedTuple):
    """What ``validate`` and ``test`` judge: x and y in the user's own shapes."""

    x: Any
    y: Any


@dataclass(frozen=True)
class OwnTask:
    """A task of the user's own for ``accbo compare`` (``accbo.Task``).

    ``problem`` is what ``from_torch``, ``from_jax`` or ``from_objectives`` gives, or any other
    ``BilevelProblem``. ``validate(state)`` scores a pair ``state.x``, ``state.y``, in the shapes
    that the problem was built with: the larger the better. It may be called as often as one likes;
    ``test(state)``, a score too, is called once a run, at the point that ``validate`` liked best.
    ``start(seed)`` gives the pair (x, y) to start a run from, by default the problem's own start
    for every seed. ``reach`` is how far from there good values of x are thought to lie, by default
    √d_x: one unit in every coordinate.
    """

    problem: Any
    validate: Callable[[State], float] | None = None
    test: Callable[[State], float] | None = None
    start: Callable[[int], tuple[Any, Any]] | None = None
    reach: float | None = None

    def __call__(self) -> OwnTask:
        """Itself, so that a module may hold the task in place of a function that makes it."""
        return self


def own_task(target: str) -> Task:
    """The task that ``FILE.py:NAME`` or ``MODULE:NAME`` names, for the comparison."""
    found = _loaded(target)
    kind = type(found.problem).__name__
    about = f"a task of one's own: {kind}, d_x = {found.problem.d_x}, d_y = {found.problem.d_y}"
    return Task(target, about, "", functools.partial(_instance, target), BUDGET)


def left_out(target: str) -> Mapping[str, str]:
    """The methods that the task's problem has not what they need for, with the reasons."""
    problem = _loaded(target).problem
    for level in ("upper", "lower"):
        laws = [noise[0] for noise in getattr(problem, f"{level}_noise").values()]
        if laws != ["index"]:
            said = f"has the laws {', '.join(laws)}" if laws else "is empty"
            return {
                FINITE_SUM: f"needs finite sums, one batch of indices on each level; {level}_noise "
                f"{said}"
            }
    return {}


def place_of(target: str) -> str:
    """`` (FILE, line N)`` where the task is made, or ""."""
    factory = load_target(target)
    with space_of(factory)():
        return defined(factory, type(factory), _loaded(target).validate)


def placed(error: Exception, target: str) -> str:
    """The text of ``error``, and where the task is made unless it names a line itself."""
    said = str(error)
    return said if re.search(r", line \d+\)", said) else f"{said}{place_of(target)}"


# --- loading ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def _loaded(target: str) -> OwnTask:
    factory = load_target(target)
    with space_of(factory)():
        if read(factory, "namespace") == "jax":
            _widen()
        try:
            with foreign(f"{target}()"):
                found = factory()
        except NotImplementedError as error:
            raise TaskError(f"{target}() raised {described(error)}") from error
        return _checked(target, found, defined(factory, type(found)))


def _widen() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)


def _checked(target: str, found: Any, where: str) -> OwnTask:
    parts = {name: read(found, name) for name in ("problem", "validate", "test", "start", "reach")}
    wanted = "expected problem, validate(state), and where wanted start(seed) and test(state)"
    if parts["problem"] is None:
        raise TaskError(
            f"{target} gave a {type(found).__name__} without a problem{where}; {wanted}"
        )
    if parts["validate"] is None:
        raise TaskError(f"{target} gave a task without validate{where}; {wanted}")
    for name in ("validate", "test", "start"):
        if parts[name] is not None and not callable(parts[name]):
            raise TaskError(f"{name} of {target} is no function{where}; {wanted}")
    try:
        check_problem(parts["problem"])
    except TypeError as error:
        raise TaskError(f"{target}: {error}{where}") from None
    reach = parts["reach"]
    if reach is not None and not (isinstance(reach, int | float) and 0 < reach < math.inf):
        raise TaskError(f"reach of {target} must be a positive number, got {reach!r}{where}")
    if parts["start"] is None and not callable(read(parts["problem"], "start_point")):
        raise TaskError(
            f"{target} gave a task without start(seed){where}, and its problem has no start of its "
            f"own; {wanted}"
        )
    return OwnTask(**parts)


# --- one instance -----------------------------------------------------------------------------


def _instance(target: str, seed: int) -> Instance:
    own = _loaded(target)
    problem = own.problem
    x, y = _start(target, seed)
    sizes = _measured(target)
    measures = {"validation score": _measure(target, "validate", own.validate, problem, x)}
    test = (
        measures if own.test is None else {"test": _measure(target, "test", own.test, problem, x)}
    )
    if own.test is None:
        test = {UNTESTED: measures["validation score"]}
    return Instance(
        problem=problem if left_out(target) else Blocks(problem),
        x=x,
        y=y,
        measures=measures,
        score="validation score",
        test=test,
        reach=own.reach or math.sqrt(problem.d_x),
        mu=sizes.mu,
        curvature=sizes.curvature,
        gradient=sizes.gradient,
    )


@functools.lru_cache(maxsize=4)
def _start(target: str, seed: int) -> tuple[Array, Array]:
    """x and y of ``seed`` as vectors, the same ones whenever they are asked for."""
    own = _loaded(target)
    found = _drawn(target, own, seed)
    if own.start is not None:
        for name, first, second in zip("xy", found, _drawn(target, own, seed), strict=True):
            if not np.array_equal(to_host(first), to_host(second), equal_nan=True):
                raise TaskError(
                    f"start({seed}) of {target} gives another {name} when it is called again: it "
                    "draws from a generator that is not made of the seed, so that no run could be "
                    f"repeated{defined(own.start)}"
                )
    return found


class Origin(NamedTuple):
    """What a run starts from: a digest of its x and y, and both losses there to four digits."""

    start: str
    losses: tuple[float, ...]


@functools.lru_cache(maxsize=32)
def origin(target: str, seed: int) -> Origin:
    """What the runs on ``seed`` start from, in this process."""
    own = _loaded(target)
    x, y = _start(target, seed)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(to_host(a)).tobytes() for a in (x, y)))
    losses = []
    for level in ("upper", "lower"):
        loss = read(own.problem, level)
        if callable(loss):
            try:
                with foreign(f"the {level} objective of {target}"):
                    losses.append(float(f"{float(to_host(loss(x, y, None))):.3e}"))
            except (ForeignError, NotImplementedError) as error:
                raise TaskError(str(error)) from error
    return Origin(digest.hexdigest()[:16], tuple(losses))


def expect_origin(target: str, seed: int, wanted: Origin) -> None:
    """Raise ``TaskError`` unless this process starts from what the one that asks does."""
    found = origin(target, seed)
    where = place_of(target)
    if found.start != wanted.start:
        raise TaskError(
            f"the start of seed {seed} of {target} is another one in another process: seed what it "
            f"is drawn from{where}"
        )
    if not np.allclose(found.losses, wanted.losses, rtol=0.01, atol=0.0, equal_nan=True):
        raise TaskError(
            f"the losses of {target} at one point are {found.losses} in one process and "
            f"{wanted.losses} in another: its data are drawn anew; seed what draws them{where}"
        )


def _drawn(target: str, own: OwnTask, seed: int) -> tuple[Array, Array]:
    """x and y of ``seed`` as vectors."""
    if own.start is None:
        given = own.problem.start_point()
    else:
        try:
            with foreign(f"start({seed}) of {target}"):
                given = own.start(seed)
        except (ForeignError, NotImplementedError) as error:
            raise TaskError(str(error)) from error
    where = defined(own.start)
    like = own.problem.start_point() if callable(read(own.problem, "start_point")) else None
    if not isinstance(given, tuple) or len(given) != 2:
        raise TaskError(
            f"start({seed}) of {target} must give a pair (x, y), got {type(given).__name__}{where}"
        )
    flat = []
    for name, part in zip("xy", given, strict=True):
        form, size = getattr(own.problem, f"{name}_form", None), getattr(own.problem, f"d_{name}")
        try:
            vector = part if form is None else form.flat(part)
        except (TypeError, ValueError) as error:
            raise TaskError(f"start({seed}) of {target}: {error}{where}") from None
        if not is_array(vector) or tuple(vector.shape) != (size,):
            shape = tuple(getattr(vector, "shape", ()))
            raise TaskError(
                f"start({seed}) of {target}: {name} must be a vector of shape ({size},), got "
                f"{type(vector).__name__} of shape {shape}{where}"
            )
        if like is not None:
            what, model = f"start({seed}) of {target}: {name}", like["xy".index(name)]
            vector = _as_built(what, vector, model, where)
        flat.append(vector)
    return flat[0], flat[1]


def _as_built(what: str, vector: Array, like: Array, where: str) -> Array:
    """The vector, NumPy's as one of ``like``'s library; ``TaskError`` for another kind."""
    if isinstance(vector, np.ndarray) and not isinstance(like, np.ndarray):
        return asarray(vector, like, like.dtype)
    for kind, found, built in (
        ("library", _library(vector), _library(like)),
        ("dtype", dtype_name(vector), dtype_name(like)),
        ("device", str(device(vector)), str(device(like))),
    ):
        if found != built:
            raise TaskError(
                f"{what} is of the {kind} {found}, and the problem was built with {built}{where}"
            )
    return vector


def _library(array: Array) -> str:
    return type(array).__module__.partition(".")[0]


def _measure(target: str, name: str, function: Any, problem: Any, like: Array) -> Measure:
    """``function`` of a state as a function of the host's x and y."""

    def shaped(which: str, host: Any) -> Any:
        form, vector = getattr(problem, f"{which}_form", None), asarray(host, like)
        return vector if form is None else form(vector)

    def measure(x: Any, y: Any) -> float:
        try:
            with foreign(f"{name} of {target}"):
                found = function(State(shaped("x", x), shaped("y", y)))
                value = float(to_host(found)) if is_array(found) else float(found)
        except (ForeignError, NotImplementedError) as error:
            raise TaskError(
                f"{error}{'' if ', line ' in str(error) else defined(function)}"
            ) from error
        return value

    return measure


def _expect_score(target: str, own: OwnTask, x: np.ndarray, y: np.ndarray) -> None:
    """Raise ``TaskError`` where the score at the start is no number, or not the same twice."""
    score = _measure(target, "validate", own.validate, own.problem, _start(target, 0)[0])
    first, second, where = score(x, y), score(x, y), defined(own.validate)
    if math.isnan(first):
        raise TaskError(f"validate of {target} gave NaN at the start{where}")
    if not math.isclose(first, second, rel_tol=1e-4, abs_tol=1e-9):
        raise TaskError(
            f"validate of {target} gave {first:.9g}, then {second:.9g} for one state: it draws at "
            f"random, or keeps something from call to call{where}"
        )


class _Sizes(NamedTuple):
    mu: float
    curvature: float
    gradient: float


@functools.lru_cache(maxsize=4)
def _measured(target: str) -> _Sizes:
    """The spectrum of the lower level at the start of seed 0, and ‖∇Φ‖ there."""
    own = _loaded(target)
    x, y = _start(target, 0)
    _expect_score(target, own, to_host(x), to_host(y))
    oracle = Oracle(own.problem, x, 0, 64)
    normals = probe_normals(0)
    at = to_host(x).astype(float), to_host(y).astype(float)
    try:
        oracle.learn_expectations(*at)
        draws = oracle.draw("lower", DRAWS, stream=10)
        mean = lower_end(oracle, at, normals)
        drawn = [
            lower_end(oracle, at, normals, {k: leaf[i] for k, leaf in draws.items()})
            for i in range(DRAWS)
        ]
        largest = SPARE * max(each.largest for each in (mean, *drawn))
        if not largest > 0:
            raise TaskError(f"{target}: the lower level has no positive curvature at the start")
        return _Sizes(
            mean.smallest if mean.smallest > largest / 1e6 else largest / CONDITION,
            largest,
            _gradient(oracle, at, largest),
        )
    except AuditError as error:
        raise TaskError(f"{target}: {error}") from None


def _gradient(oracle: Oracle, at: tuple[np.ndarray, np.ndarray], largest: float) -> float:
    """‖∇Φ‖ at the start, by STEPS gradient steps below and as many terms of the series."""
    x, y = at
    for _ in range(STEPS):
        y = y - oracle.mean("grad_y_lower", x, y) / largest
    v = oracle.mean("grad_y_upper", x, y)
    z = v / largest
    for _ in range(STEPS):
        z = z - (oracle.mean("hvp_lower", x, y, z) - v) / largest
    slope = oracle.mean("grad_x_upper", x, y) - oracle.mean("cross_lower", x, y, z)
    return float(np.linalg.norm(slope))
