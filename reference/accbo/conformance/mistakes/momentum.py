"""Mistakes of a momentum: a recursion over two points, or a moving average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accbo._arrays import Array, map_arrays, namespace
from accbo.conformance.mistakes.changes import (
    Before,
    Iteration,
    older_state,
    part,
    remembering,
    then,
    within,
)
from accbo.conformance.mistakes.mistake import (
    AS_IT_IS,
    Change,
    Choices,
    Mistake,
    both,
    has,
    made_by,
)
from accbo.conformance.mistakes.places import AUC, CLEANING
from accbo.momentum import Gradient, Point, moving_average, recursive_momentum
from accbo.upper import normalized_step

RECURSIVE = made_by("momentum", recursive_momentum)
AVERAGED = made_by("momentum", moving_average)
NORMALISED = made_by("x", normalized_step)
_ACCBO, _TWO_LEVELS = (
    both(RECURSIVE, has("y_average")),
    made_by("lower_momentum", recursive_momentum),
)
_LEVELS = (("momentum", "lower_momentum"), ("momentum",), ("lower_momentum",))


def _levels(algorithm: Any) -> Sequence[tuple[str, ...]]:
    """The recursions in which a mistake may be made: in both, or in one of them."""
    return _LEVELS if hasattr(algorithm.parts, "lower_momentum") else (("momentum",),)


def _rules(*rules: Callable[..., Array]) -> Callable[[Any], Sequence[Choices]]:
    """Each rule in the place of a recursion, in every choice of levels."""

    def ways(algorithm: Any) -> Sequence[Choices]:
        return [
            (part(**{name: lambda _, rule=rule: rule for name in names}),)
            for rule in rules
            for names in _levels(algorithm)
        ]

    return ways


def _memories(
    rule: Callable[..., tuple[Array, Array]], from_zero: bool = True
) -> Callable[[Any], Sequence[Choices]]:
    """A rule with a memory that begins with the momentum itself, or with zero."""

    def ways(algorithm: Any) -> Sequence[Choices]:
        firsts = (_itself, _nothing) if from_zero else (_itself,)
        return [
            (remembering(first, **dict.fromkeys(names, rule)),)
            for first in firsts
            for names in _levels(algorithm)
        ]

    return ways


def _itself(state: Any, name: str) -> Array:
    return getattr(state, name)


def _nothing(state: Any, name: str) -> Array:
    return namespace(state.x).zeros_like(getattr(state, name))


# --- rules of a recursion: (gradient, new, old, momentum, decay) --------------------------------


def _stale(
    right: Any, memory: Array, g: Gradient, new: Point, old: Point, m: Array, decay: float
) -> tuple[Array, Array]:
    estimate = g(*new)
    return estimate + decay * (m - memory), estimate


def _heavy(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return g(*new) + decay * m


def _average(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return moving_average(g, new, m, decay)


def _undamped(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return g(*new) + (m - g(*old))


def _old_x_only(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return g(*new) + decay * (m - g(old[0], new[1]))


def _old_y_only(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    return g(*new) + decay * (m - g(new[0], old[1]))


def _in_gradients_buffer(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
    """h_t(x_t) is written where m_{t−1} was."""
    estimate = g(*new)
    return estimate + decay * (estimate - g(*old))


def _swapped(right: Any) -> Any:
    return lambda *arguments: right(*arguments[:-1], 1 - arguments[-1])


def _swaps(algorithm: Any) -> Sequence[Choices]:
    return [(part(**dict.fromkeys(names, _swapped)),) for names in _levels(algorithm)]


def _older(algorithm: Any) -> Sequence[Choices]:
    return [
        (older_state(*names, from_zero=zero),)
        for zero in (False, True)
        for names in _levels(algorithm)
    ]


# --- another sample at the old point ------------------------------------------------------------

Other = Callable[[Any], Any]  # of a sample


def other_sample(other: Other, *names: str) -> Change:
    """The old point of the recursions ``names`` meets ``other(sample)``."""

    def rule(of: str) -> Any:
        def made(
            right: Any, at: Iteration, g: Gradient, new: Point, old: Point, m: Array, decay: float
        ) -> Array:
            a, sample = at.algorithm, other(at.sample)
            of_name = a._gradient if of == "momentum" else a._lower_gradient
            return g(*new) + decay * (m - of_name(at.problem, sample)(*old))

        return made

    return within(**{name: rule(name) for name in names or ("momentum",)})


def next_replicate(sample: Any) -> Any:
    """The neighbour's sample: fresh, and independent of one's own."""
    return map_arrays(
        lambda leaf: namespace(leaf).roll(leaf, 1, axis=-2 if leaf.ndim > 1 else -1), sample
    )


def _next_coordinate(sample: Any) -> Any:
    """The same numbers in other places."""
    return map_arrays(lambda leaf: namespace(leaf).roll(leaf, 1, axis=-1), sample)


def _no_noise(sample: Any) -> Any:
    """No fields but the rows: the expectation."""
    kept = {name: getattr(sample, name) for name in ("power", "lower")}
    bare = [{"none": next(iter(part.values()))[..., :0]} for part in sample[:3]]
    return type(sample)(*bare, **kept)


def _other_samples(algorithm: Any) -> Sequence[Choices]:
    return [
        (other_sample(other, *names),)
        for names in _levels(algorithm)
        for other in (_no_noise, _next_coordinate)
    ]


def _other_index(algorithm: Any) -> Sequence[Choices]:
    """The old point's own q: each that may have been drawn."""
    if getattr(algorithm, "neumann_sampling", "randomised") != "randomised":
        return []

    def change(q: int) -> Change:
        def other(sample: Any) -> Any:
            power = namespace(sample.power["power"]).full_like(sample.power["power"], q)
            return sample._replace(power={"power": power})

        return other_sample(other)

    return [tuple(map(change, range(algorithm.neumann_terms)))]


# --- fields of the state that are overwritten ---------------------------------------------------


def copied(*copies: tuple[str, str]) -> Change:
    """After every iteration some fields are overwritten: (to, from)."""
    return then(
        lambda algorithm, before, after: after._replace(
            **{to: getattr(after, name) for to, name in copies}
        )
    )


_X, _Y = ("x_previous", "x"), ("y_previous", "y")
_Y_AVERAGE = ("y_average_previous", "y_average")


def _copies(algorithm: Any) -> Sequence[Choices]:
    if hasattr(algorithm.parts, "y_average"):
        return [(copied(_X, _Y_AVERAGE),), (copied(_X),), (copied(_Y_AVERAGE),)]
    return [(copied(_X, _Y),), (copied(_X),), (copied(_Y),)]


# --- a momentum that begins at zero ---------------------------------------------------------------


def _from_zero(factor: Callable[[float], float]) -> Change:
    """m_0 is ``factor(β)`` times what it should be, and x_1 is made of that."""

    def after(algorithm: Any, before: Any, state: Any) -> Any:
        if not isinstance(before, Before):
            return state
        m = factor(algorithm.momentum) * state.momentum
        if not NORMALISED(type(algorithm)):
            return state._replace(momentum=m)
        x = algorithm.parts.x(before.x, m, algorithm.upper_step_size)
        return state._replace(momentum=m, x=x)

    return then(after)


def _zeros(algorithm: Any) -> Sequence[Choices]:
    if _TWO_LEVELS(type(algorithm)):
        return [(_both_from_zero(names),) for names in _LEVELS]
    return [(_from_zero(factor),) for factor in (lambda b: 1 - b, lambda b: 0.0, lambda b: b)]


def _both_from_zero(names: Sequence[str]) -> Change:
    """m_0 = 0, u_0 = 0, or both, so that x, y or both stay where they are in iteration 0."""
    moved = {"momentum": "x", "lower_momentum": "y"}

    def after(algorithm: Any, before: Any, state: Any) -> Any:
        if not isinstance(before, Before):
            return state
        zeros = namespace(state.x).zeros_like
        stay = {moved[name]: getattr(state, f"{moved[name]}_previous") for name in names}
        return state._replace(**stay, **{name: zeros(getattr(state, name)) for name in names})

    return then(after)


# --- rules of a moving average: (gradient, new, momentum, decay) --------------------------------


def average_rule(rule: Callable[[Array, Array, float], Array]) -> Change:
    """``rule(m, h, β)`` in the place of an average."""
    return part(momentum=lambda right: lambda g, new, m, decay: rule(m, g(*new), decay))


def _old_average(
    right: Any, memory: Array, g: Gradient, new: Point, m: Array, decay: float
) -> tuple[Array, Array]:
    return right(g, new, memory, decay), m


def _two_old_averages(algorithm: Any) -> Sequence[Choices]:
    """In all that the momentum enters, or in the average alone."""
    return [
        (change,)
        for zero, first in ((False, _itself), (True, _nothing))
        for change in (
            older_state("momentum", from_zero=zero),
            remembering(first, momentum=_old_average),
        )
    ]


# --- the catalogue ----------------------------------------------------------------------------

_FRESH = "the noise of both points adds up instead of cancelling; "
_SWAPPED = "next to no averaging over samples"

MISTAKES = (
    Mistake(
        "stale sample",
        "momentum",
        "the old point's estimate is the stored one, on the old sample",
        "m_t − h_t = β^t (m_0 − h_0): no variance reduction at all; under skewed noise the method "
        "stalls",
        _memories(_stale),
        RECURSIVE,
        {"AccBO": f"{AUC}, accbo.py:176-178"},
        AS_IT_IS,
    ),
    Mistake(
        "different sample",
        "momentum",
        "the old point is evaluated on a fresh sample of its own",
        f"{_FRESH}the rate falls to about T^(+0.2)",
        _other_samples,
        RECURSIVE,
        scopes=AS_IT_IS,
        apply=other_sample(next_replicate),
    ),
    Mistake(
        "different random index at the two points",
        "momentum",
        "the old point's hypergradient draws an index q of its own",
        f"{_FRESH}of the random term nothing is reduced",
        _other_index,
        _TWO_LEVELS,
        {"SUSTAIN": f"{CLEANING}, sustain.py:245-246"},
        AS_IT_IS,
        apply=other_sample(lambda s: s._replace(power={"power": 0 * s.power["power"]})),
    ),
    Mistake(
        "no correction",
        "momentum",
        "a moving average: β m_{t−1} + (1 − β) h_t, or h_t + β m_{t−1}",
        "m lags behind the gradient by β/(1−β) steps; the rate is T^(−1/4) at best",
        _rules(_average, _heavy),
        RECURSIVE,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "correction without β",
        "momentum",
        "m_t = h_t(new) + m_{t−1} − h_t(old)",
        "the noise of every step stays for ever: the variance grows without bound",
        _rules(_undamped),
        _ACCBO,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "correction without 1 − η",
        "momentum",
        "h_t(new) + m_{t−1} − h_t(old)",
        "the noise of every step stays for ever: the variance grows without bound",
        _rules(_undamped),
        _TWO_LEVELS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "β and 1−β swapped",
        "momentum",
        "1 − β stands where β belongs",
        f"{_SWAPPED}; the rate is lost under skewed noise",
        _swaps,
        _ACCBO,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "η and 1−η swapped",
        "momentum",
        "η_t stands where 1 − η_t belongs",
        _SWAPPED,
        _swaps,
        _TWO_LEVELS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "old point at (x_{t−1}, ŷ_t)",
        "momentum",
        "one part of the old point is the new one",
        "a bias of the size of the other part's move; no rate shows it",
        _rules(_old_x_only, _old_y_only),
        _ACCBO,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "old point at (x_{t−1}, y_t)",
        "momentum",
        "one part of the old point is the new one",
        "a bias of the size of the other part's move",
        _rules(_old_x_only, _old_y_only),
        _TWO_LEVELS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "old point copied after the step",
        "momentum",
        "the old point is overwritten by the current one: both evaluations agree",
        "m_t = (1 − β) h_t + β m_{t−1}: a moving average that pays for recursive momentum",
        _copies,
        RECURSIVE,
        {"SUSTAIN": f"{AUC}, vrbo.py:96-99; data cleaning, vrbo.py:72,88-89"},
    ),
    Mistake(
        "two-iterations-old momentum",
        "momentum",
        "m_{t−2} stands where m_{t−1} belongs",
        "two interleaved recursions: every other sample is ignored in each",
        _older,
        RECURSIVE,
        dict.fromkeys(("AccBO", "SUSTAIN"), f"{CLEANING}, sustain.py:90-92"),
        AS_IT_IS,
    ),
    Mistake(
        "momentum in the gradient's buffer",
        "momentum",
        "m_{t−1} is overwritten by the gradient before it is read: they are one array",
        "m_t is made of one sample, weighted 1 + β and −β: nothing is carried from step to step",
        _rules(_in_gradients_buffer),
        RECURSIVE,
        scopes=AS_IT_IS,
        laws=False,
    ),
    Mistake(
        "momentum from zero",
        "start",
        "m_0 is averaged with a momentum of zero, or is zero itself",
        "none for long runs; until 1/(1 − β) iterations m is too short",
        _zeros,
        has("momentum", "x"),
        scopes=AS_IT_IS,
        laws=False,
    ),
    Mistake(
        "momentum weights swapped",
        "momentum",
        "(1 − β) m_{t−1} + β h_t",
        _SWAPPED,
        lambda a: [(average_rule(lambda m, h, b: (1 - b) * m + b * h),)],
        AVERAGED,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "new sample without 1 − β",
        "momentum",
        "h_t + β m_{t−1}",
        "m is 1/(1 − β) times too large: plain steps are too long, normalised ones the same",
        lambda a: [(average_rule(lambda m, h, b: h + b * m),)],
        AVERAGED,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "no moving average",
        "momentum",
        "m_t = h_t",
        "all the noise of a sample enters the step",
        lambda a: [(average_rule(lambda m, h, b: h),)],
        AVERAGED,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "two-iterations-old momentum",
        "momentum",
        "m_{t−2} stands where m_{t−1} belongs",
        "two interleaved recursions: every other sample is ignored in each",
        _two_old_averages,
        AVERAGED,
        dict.fromkeys(("SLIP", "MASOBA", "BOREP"), f"{CLEANING}, sustain.py:90-92"),
        AS_IT_IS,
    ),
)
