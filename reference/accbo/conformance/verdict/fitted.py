"""Ways to make a mistake that are read off an implementation's own numbers: ε, a threshold, …"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accbo.conformance.mistakes.changes import constants
from accbo.conformance.mistakes.derivatives import GUARD as CLIP_GUARD
from accbo.conformance.mistakes.derivatives import clipped_h, decays, lower_clips
from accbo.conformance.mistakes.mistake import Change, Choices, Fault
from accbo.conformance.mistakes.numerics import or_default
from accbo.conformance.mistakes.projections import ball, box, clamped_m, projected_x, projected_y
from accbo.conformance.mistakes.upper import clipped, guarded
from accbo.conformance.running.observation import Observation, departs, departures
from accbo.rounding import norms

CLIPPING, GUARD = "clipping", "ε in the norm"
DIGITS = (1, 2, 3, 10)  # to which a fitted number is rounded: it was a short one
LARGEST_GUARD = 0.1  # what is larger is a threshold
SECANTS = 4  # until a fitted number stays
ALIKE = 6  # digits in which two numbers must agree to be one threshold


def with_fitted_ways(
    faults: Mapping[str, Fault], failing: Sequence[Observation]
) -> dict[str, Fault]:
    """``faults``, those with a free number led by the numbers that ``failing`` shows."""
    found = dict(faults)
    single = [one for one in failing if one.mode == "step" and not one.vector.replicates]
    lengths = list(_lengths(single))
    searches: tuple[tuple[str, Callable[[], Sequence[Choices]]], ...] = (
        (CLIPPING, lambda: _thresholds(lengths)),
        (GUARD, lambda: _guards(lengths)),
        ("y projected", lambda: _projections(single, "y", projected_y)),
        ("x projected", lambda: _projections(single, "x", lambda onto: [projected_x(onto)])),
        ("momentum clamped", lambda: _clamps(single)),
        ("hypergradient clipped", lambda: _clipped(single)),
        ("lower gradient clipped", lambda: _strengths(single, lower_clips, THRESHOLDS, LOWER)),
        ("weight decay on y", lambda: _strengths(single, decays, DECAYS, LOWER)),
        ("default that overrides 0", lambda: _defaults(single)),
    )
    for name, ways in searches:
        if name in found and (led := ways()):
            found[name] = _led(found[name], led)
    return found


def _led(fault: Fault, ways: Sequence[Choices]) -> Fault:
    return fault._replace(others=lambda algorithm: [*ways, *fault.others(algorithm)])


def _lengths(failing: Sequence[Observation]) -> Iterator[tuple[float, float]]:
    """‖m‖ and ‖x_{t+1} − x_t‖/η of the single steps that are too short."""
    for one in failing:
        after, eta = one.states[0], one.vector.algorithm.upper_step_size
        m = after.get("momentum", one.vector.expected[0].get("momentum"))
        if m is None:
            continue
        length = float(norms(after["x"] - one.vector.before(0).x)) / eta
        if math.isfinite(length) and 0 < length < 1 - 1e-12:
            yield float(norms(m)), length


def _thresholds(lengths: Sequence[tuple[float, float]]) -> list[Choices]:
    """x moves by η ‖m‖/c where ‖m‖ < c."""
    if not lengths:
        return []
    m, length = min(lengths, key=lambda pair: pair[1])
    return [(clipped(c),) for c in _rounded(m / length)]


def _guards(lengths: Sequence[tuple[float, float]]) -> list[Choices]:
    if not lengths:
        return []
    m, length = min(lengths, key=lambda pair: pair[1])
    values = {
        "sum": m * (1 / length - 1),
        "root": m * m * (1 / length**2 - 1),
        "maximum": m / length,
    }
    return [
        (guarded(s, e),)
        for s, value in values.items()
        for e in _rounded(value)[:2]
        if e <= LARGEST_GUARD
    ]


# --- thresholds: what many cases share ----------------------------------------------------------


def _shared(values: Iterable[float]) -> list[float]:
    """The number that most of ``values`` are, as short as it may have been written."""
    groups = Counter(float(f"{value:.{ALIKE - 1}e}") for value in values if value > 0)
    return [
        c
        for value, count in groups.most_common(1)
        if count > 1 or len(groups) == 1
        for c in _rounded(value)
    ]


def _wrong(single: Sequence[Observation], name: str) -> list[np.ndarray]:
    """The quantity ``name`` wherever it departs."""
    return [value for _, value in _showing(single, name)]


def _projections(
    single: Sequence[Observation], name: str, projected: Callable[[Any], list[Change]]
) -> list[Choices]:
    wrong = _wrong(single, name)
    shapes = (
        *(ball(r) for r in _shared(float(norms(z)) for z in wrong)),
        *(box(c) for c in _shared(float(np.max(np.abs(z))) for z in wrong)),
    )
    return [(change,) for shape in shapes for change in projected(shape)]


def _clamps(single: Sequence[Observation]) -> list[Choices]:
    edges = _shared(float(np.max(np.abs(m))) for m in _wrong(single, "momentum"))
    return [(change,) for c in edges for change in clamped_m(c)]


def _clipped(single: Sequence[Observation]) -> list[Choices]:
    """Where β is 0, ‖m‖ is that of the clipped estimate; without a momentum ‖x − x'‖/η is."""
    plain = [one for one in single if getattr(one.vector.algorithm, "momentum", 0.0) == 0]
    lengths = [float(norms(m)) for m in _wrong(plain, "momentum")]
    for one in plain:
        if "momentum" not in one.states[0]:
            moved = one.states[0]["x"] - one.vector.before(0).x
            lengths.append(float(norms(moved)) / one.vector.algorithm.upper_step_size)
    return [(clipped_h(c, guard),) for c in _shared(lengths) for guard in (0.0, CLIP_GUARD)]


# --- numbers that a mistake is the stronger by ----------------------------------------------------

LOWER = ("lower_momentum", "lower_estimate", "y")  # what the lower level makes first
DECAYS = tuple(10.0**k for k in range(-9, 3))  # from no effect to a large one
THRESHOLDS = tuple(10.0**-k for k in range(-6, 7))
HALVINGS = 34  # of an interval between two of them: ten digits
SOLVED = 2  # cases that agree are enough
ALL_OF_IT = 1e-6  # of what departs may be left: the number is to explain every entry of it


def _strengths(
    single: Sequence[Observation],
    ways: Callable[[Any, float], Sequence[Change]],
    grid: Sequence[float],
    names: Sequence[str],
) -> list[Choices]:
    """The number, of each way, at which it makes what is shown of the first of ``names``."""
    plain = [one for one in single if one.vector.dtype == "float64" and _departing(one, names)]
    if not plain:
        return []
    typical = plain[0].vector.algorithm
    found: list[Choices] = []
    for way in range(len(ways(typical, 1.0))):
        numbers = []
        for one in plain[:SOLVED]:
            number = _solved(one, ways, way, grid, _departing(one, names))
            if not number:
                break
            numbers.append(number)
        found += [(ways(typical, c)[way],) for c in _shared(numbers)]
    return found


def _departing(one: Observation, names: Sequence[str]) -> str:
    wrong = {found.quantity for found in departures(one) if departs(found)}
    return next((name for name in names if name in wrong), "")


@np.errstate(all="ignore")
def _solved(
    one: Observation,
    ways: Callable[[Any, float], Sequence[Change]],
    way: int,
    grid: Sequence[float],
    name: str,
) -> float:
    """The number with which the mistake makes what is shown, or 0 where none does.

    Along the way from the right value to it, between the first two numbers of ``grid`` of which
    the first does too little, by halving.
    """
    vector, got = one.vector, np.asarray(one.states[0][name])
    departed = got - vector.expected[0][name]

    def left(number: float) -> Any:
        algorithm = ways(vector.algorithm, number)[way](vector.algorithm)
        after = algorithm.step(vector.problem, vector.before(0), vector.samples[0])
        return getattr(after, name) - got

    def too_much(number: float) -> bool:
        return bool(np.sum(left(number) * departed) > 0)

    reached = next((index for index, c in enumerate(grid) if too_much(c)), 0)
    if reached == 0:
        return 0.0
    less, more = grid[reached - 1], grid[reached]
    for _ in range(HALVINGS):
        middle = math.sqrt(less * more)
        less, more = (less, middle) if too_much(middle) else (middle, more)
    explains = float(norms(left(more))) <= ALL_OF_IT * float(norms(departed))
    return more if explains else 0.0


def _showing(single: Sequence[Observation], name: str) -> Iterator[tuple[Observation, np.ndarray]]:
    """Those in which the quantity ``name`` departs, and what it is there."""
    for one in single:
        if any(departs(found) and found.quantity == name for found in departures(one)):
            yield one, np.asarray(one.states[0][name])


def _defaults(single: Sequence[Observation]) -> list[Choices]:
    """β in the place of 0: m is linear in it."""
    found = []
    for one in single:
        vector, got = one.vector, one.states[0].get("momentum")
        if got is None or vector.algorithm.momentum != 0:
            continue
        most = constants(lambda a: {"momentum": 1.0})(vector.algorithm)
        right = vector.expected[0]["momentum"]
        span = most.step(vector.problem, vector.before(0), vector.samples[0]).momentum - right
        square = float(np.sum(span * span))
        if square > 0:
            found.append(float(np.sum((got - right) * span)) / square)
    return [(or_default("momentum", value),) for value in _shared(found)]


def _rounded(value: float) -> list[float]:
    if not math.isfinite(value) or value <= 0:
        return []
    return list(dict.fromkeys(float(f"{value:.{digits - 1}e}") for digits in DIGITS))


def both_sides_seen(names: Sequence[str], observations: Sequence[Observation]) -> bool:
    """Whether steps of length η and shorter ones were seen, if clipping is among ``names``."""
    if CLIPPING not in names:
        return True
    shares = [share for one in observations for share in _shares(one)]
    return any(share > 1 - 1e-9 for share in shares) and any(share < 1 - 1e-6 for share in shares)


def _shares(one: Observation) -> Iterator[Any]:
    """‖x_{t+1} − x_t‖/η of every step that was shown from a known x."""
    eta = one.vector.algorithm.upper_step_size
    before = [one.vector.x] if one.mode == "start" else [one.vector.before(0).x]
    if one.mode in ("start", "free"):
        before += [state["x"] for state in one.states]
    elif one.mode == "forced":
        before = [one.vector.before(index).x for index in range(len(one.states))]
    for old, state in zip(before, one.states, strict=False):
        yield from np.ravel(norms(state["x"] - old) / eta)
