"""Deliberately wrong variants of AccBO (SPEC §6), each a small replacement of one part.

A check counts only when it has been seen to fail: ``FAULTS[name].apply(algorithm)`` is an
algorithm of the same interface with that one mistake in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, map_arrays, namespace, norm, traceable
from accbo.algorithms import AccBO, AccBOSample, Parts
from accbo.momentum import Gradient, Point, moving_average
from accbo.sampling import Start
from accbo.upper import gradient_step, normalized_step


class Fault(NamedTuple):
    """One mistake: ``part`` of the method it sits in, ``wrong`` what is done instead.

    ``found`` says that it stands in published code.
    """

    name: str
    part: str
    wrong: str
    found: bool
    apply: Callable[[AccBO], Any]


# --- faults with a memory of their own -----------------------------------------------------


class RememberingState(NamedTuple):
    """AccBO's state and what the fault keeps beside it."""

    x: Array
    x_previous: Array
    y: Array
    y_previous: Array
    y_average: Array
    y_average_previous: Array
    momentum: Array
    iteration: int
    memory: Array


class _SamplesAsAccBO:
    """What a variant with its own ``step`` leaves as it is."""

    algorithm: AccBO

    def refreshes(self, t: int) -> bool:
        """As AccBO."""
        return self.algorithm.refreshes(t)

    def draw(self, problem: Any, refresh: bool = True) -> AccBOSample:
        """As AccBO."""
        return self.algorithm.draw(problem, refresh)

    def draw_start(self, problem: Any, warm_start: int, first: int) -> Start:
        """As AccBO."""
        return self.algorithm.draw_start(problem, warm_start, first)


# (gradient, new, old, momentum, decay, memory) to (m_t, the next memory)
Rule = Callable[[Gradient, Point, Point, Array, float, Array], tuple[Array, Array]]


@traceable
@dataclass(frozen=True)
class Remembering(_SamplesAsAccBO):
    """AccBO whose momentum rule keeps one array, m_0 at first, from step to step."""

    algorithm: AccBO
    rule: Rule

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> RememberingState:
        """Iteration 0 is AccBO's."""
        state = self.algorithm.init(problem, x, y, start)
        return RememberingState(*state, memory=state.momentum)

    def step(self, problem: Any, state: RememberingState, sample: AccBOSample) -> RememberingState:
        """AccBO's iteration with the rule in place of the recursive momentum."""
        kept: list[Array] = []

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            value, memory = self.rule(g, new, old, m, decay, state.memory)
            kept.append(memory)
            return value

        faulty = _with_parts(self.algorithm, momentum=momentum)
        plain = faulty.step(problem, state[:-1], sample)  # type: ignore[arg-type]
        return RememberingState(*plain, memory=kept[0])


def _stale(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float, memory: Array
) -> tuple[Array, Array]:
    estimate = gradient(*new)
    return estimate + decay * (momentum - memory), estimate


def _two_old(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float, memory: Array
) -> tuple[Array, Array]:
    return gradient(*new) + decay * (memory - gradient(*old)), momentum


@traceable
@dataclass(frozen=True)
class OtherSample(_SamplesAsAccBO):
    """AccBO whose old point meets the sample of the replicate next door."""

    algorithm: AccBO

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is AccBO's."""
        return self.algorithm.init(problem, x, y, start)

    def step(self, problem: Any, state: Any, sample: AccBOSample) -> Any:
        """AccBO's iteration; a neighbour's sample is fresh, and independent of one's own."""
        other = map_arrays(lambda leaf: namespace(leaf).roll(leaf, 1, axis=-2), sample)
        at_old = self.algorithm._gradient(problem, other)

        def momentum(g: Gradient, new: Point, old: Point, m: Array, decay: float) -> Array:
            return g(*new) + decay * (m - at_old(*old))

        return _with_parts(self.algorithm, momentum=momentum).step(problem, state, sample)


# --- replacements of one part -------------------------------------------------------------


def _moving_average(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float
) -> Array:
    return moving_average(gradient, new, momentum, decay)


def _undamped(gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float) -> Array:
    return gradient(*new) + (momentum - gradient(*old))


def _old_x_only(gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float) -> Array:
    return gradient(*new) + decay * (momentum - gradient(old[0], new[1]))


def _normalised_samples(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float
) -> Array:
    def unit(x: Array, y: Array) -> Array:
        g = gradient(x, y)
        return normalized_step(namespace(g).zeros_like(g), g, -1.0)

    return unit(*new) + decay * (momentum - unit(*old))


def _per_block(x: Array, direction: Array, step_size: float) -> Array:
    half = (x.shape[-1] + 1) // 2
    blocks = [
        normalized_step(x[..., part], direction[..., part], step_size)
        for part in (slice(0, half), slice(half, None))
        if x[..., part].shape[-1]
    ]
    return namespace(x).concat(blocks, axis=-1)


def _clipped(x: Array, direction: Array, step_size: float) -> Array:
    length = namespace(x).maximum(norm(direction), 1.0)[..., None]
    return x - step_size * direction / length


def _guarded(x: Array, direction: Array, step_size: float) -> Array:
    return x - step_size * direction / (norm(direction) + 1e-8)[..., None]


def _single_precision(x: Array, direction: Array, step_size: float) -> Array:
    xp = namespace(x)
    rounded = xp.astype(xp.astype(direction, xp.float32), direction.dtype)
    return normalized_step(x, rounded, step_size)


def _heavy_ball(
    gradient: Any, y: Array, y_previous: Array, step_size: float, momentum: float
) -> Array:
    return y + momentum * (y - y_previous) - step_size * gradient(y)


def _no_average(y_average: Array, y: Array, weight: float) -> Array:
    return y + 0 * y_average


def _opposite_sign(problem: Any, x: Array, y: Array, sample: Any, series: Any) -> Array:
    right = Parts().hypergradient(problem, x, y, sample, series)
    return 2 * problem.grad_x_upper(x, y, sample.upper) - right


def _cross_elsewhere(problem: Any, x: Array, y: Array, sample: Any, series: Any) -> Array:
    inverse = series(
        lambda u, zeta: problem.hvp_lower(x, y, u, zeta),
        problem.grad_y_upper(x, y, sample.upper),
        sample,
    )
    elsewhere = namespace(y).zeros_like(y)
    cross = problem.cross_lower(x, elsewhere, inverse, sample.cross)
    return problem.grad_x_upper(x, y, sample.upper) - cross


def _one_sample(problem: Any, x: Array, y: Array, sample: Any, series: Any) -> Array:
    def repeated(leaf: Array) -> Array:
        return namespace(leaf).broadcast_to(leaf[:1, ...], leaf.shape)

    shared = sample._replace(hessian=map_arrays(repeated, sample.hessian))
    return Parts().hypergradient(problem, x, y, shared, series)


def _changed_series(change: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """A hypergradient whose series result is ``change(result, v)``."""

    def faulty(problem: Any, x: Array, y: Array, sample: Any, series: Any) -> Array:
        def changed(product: Any, v: Array, sample: Any) -> Array:
            return change(series(product, v, sample), v)

        return Parts().hypergradient(problem, x, y, sample, changed)

    return faulty


# --- the catalogue --------------------------------------------------------------------------


def _with_parts(algorithm: AccBO, **parts: Any) -> AccBO:
    return dataclasses.replace(algorithm, parts=algorithm.parts._replace(**parts))


def _part(**parts: Any) -> Callable[[AccBO], AccBO]:
    return lambda algorithm: _with_parts(algorithm, **parts)


def _from_first_power(algorithm: AccBO) -> AccBO:
    scale = algorithm.neumann_scale
    return _with_parts(algorithm, hypergradient=_changed_series(lambda s, v: s - v / scale))


def _without_scale(algorithm: AccBO) -> AccBO:
    scale = algorithm.neumann_scale
    return _with_parts(algorithm, hypergradient=_changed_series(lambda s, v: s * scale))


def _without_factor(algorithm: AccBO) -> AccBO:
    terms = algorithm.neumann_terms
    randomised = dataclasses.replace(algorithm, neumann_sampling="randomised")
    return _with_parts(randomised, hypergradient=_changed_series(lambda s, v: s / terms))


def _few(algorithm: AccBO) -> AccBO:
    return dataclasses.replace(algorithm, neumann_terms=max(1, algorithm.neumann_terms - 1))


def _many(algorithm: AccBO) -> AccBO:
    return dataclasses.replace(algorithm, neumann_terms=algorithm.neumann_terms + 1)


_MOMENTUM, _UPPER, _LOWER = "recursive momentum", "upper step", "lower level"
_AVERAGE, _NEUMANN, _NUMERICS = "averaging", "Neumann series", "numerics"

_CATALOGUE = (
    Fault(
        "stale sample",
        _MOMENTUM,
        "h(x_{t−1}, ŷ_{t−1}) is the stored estimate, on the old sample: no variance reduction",
        True,
        lambda a: Remembering(a, _stale),
    ),
    Fault(
        "different sample",
        _MOMENTUM,
        "the old point is evaluated on a fresh sample of its own",
        False,
        OtherSample,
    ),
    Fault(
        "no correction",
        _MOMENTUM,
        "a moving average β m_{t−1} + (1 − β) h_t",
        False,
        _part(momentum=_moving_average),
    ),
    Fault(
        "correction without β",
        _MOMENTUM,
        "m_t = h_t(new) + m_{t−1} − h_t(old): the noise never decays",
        False,
        _part(momentum=_undamped),
    ),
    Fault(
        "β and 1−β swapped",
        _MOMENTUM,
        "1 − β stands where β belongs",
        False,
        lambda a: dataclasses.replace(a, momentum=1 - a.momentum),
    ),
    Fault(
        "old point at (x_{t−1}, ŷ_t)",
        _MOMENTUM,
        "the old point keeps the new ŷ",
        False,
        _part(momentum=_old_x_only),
    ),
    Fault(
        "two-iterations-old momentum",
        _MOMENTUM,
        "m_{t−2} stands where m_{t−1} belongs",
        True,
        lambda a: Remembering(a, _two_old),
    ),
    Fault(
        "norm per block",
        _UPPER,
        "each half of x is divided by its own norm",
        True,
        _part(upper_step=_per_block),
    ),
    Fault("no normalisation", _UPPER, "x − η m", False, _part(upper_step=gradient_step)),
    Fault("clipping", _UPPER, "x − η m/max(1, ‖m‖)", False, _part(upper_step=_clipped)),
    Fault(
        "samples normalised",
        _UPPER,
        "each sample is normalised before the momentum",
        False,
        _part(momentum=_normalised_samples),
    ),
    Fault("ε in the norm", _UPPER, "x − η m/(‖m‖ + 1e-8)", False, _part(upper_step=_guarded)),
    Fault(
        "gradient at y",
        _LOWER,
        "∇_y G at y_t instead of z_t: heavy ball",
        False,
        _part(lower_step=_heavy_ball),
    ),
    Fault(
        "y_{t−1} overwritten",
        _LOWER,
        "y_{t−1} is overwritten before use: no momentum below",
        True,
        lambda a: dataclasses.replace(a, lower_momentum=0.0),
    ),
    Fault(
        "γ as 1−γ",
        _LOWER,
        "1 − γ stands where γ belongs",
        False,
        lambda a: dataclasses.replace(a, lower_momentum=1 - a.lower_momentum),
    ),
    Fault("no averaging", _AVERAGE, "ŷ = y", True, _part(average=_no_average)),
    Fault(
        "τ and 1−τ swapped",
        _AVERAGE,
        "1 − τ stands where τ belongs",
        False,
        lambda a: dataclasses.replace(a, averaging=1 - a.averaging),
    ),
    Fault("series from q = 1", _NEUMANN, "the sum leaves out q = 0", True, _from_first_power),
    Fault("one term too few", _NEUMANN, "Q − 1 terms", False, _few),
    Fault("one term too many", _NEUMANN, "Q + 1 terms", False, _many),
    Fault("1/l missing", _NEUMANN, "the sum is not divided by l", False, _without_scale),
    Fault(
        "random term without Q",
        _NEUMANN,
        "one random term of the series, without the factor Q",
        True,
        _without_factor,
    ),
    Fault(
        "one sample for all factors",
        _NEUMANN,
        "powers of one realisation of the Hessian",
        True,
        _part(hypergradient=_one_sample),
    ),
    Fault(
        "sign of the implicit term",
        _NEUMANN,
        "∇_x F + ∇²_xy G S ∇_y F",
        True,
        _part(hypergradient=_opposite_sign),
    ),
    Fault(
        "cross derivative at the wrong point",
        _NEUMANN,
        "∇²_xy G at y = 0 instead of ŷ",
        False,
        _part(hypergradient=_cross_elsewhere),
    ),
    Fault(
        "silent float32",
        _NUMERICS,
        "m is rounded to float32 on the way",
        False,
        _part(upper_step=_single_precision),
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _CATALOGUE}
