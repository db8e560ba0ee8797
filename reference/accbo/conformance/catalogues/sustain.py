"""Mistakes made in SUSTAIN, most of them in one or both of its recursions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from accbo._arrays import Array, namespace
from accbo.conformance import common_faults as common
from accbo.conformance.fault import Change
from accbo.conformance.method_variants import by, overriding
from accbo.conformance.variants import Beside, Copied, Variant
from accbo.hypergradient import hypergradient, neumann_randomised
from accbo.momentum import Gradient, Point
from accbo.sampling import Start

BOTH, LEVELS = ("lower", "upper"), (("lower", "upper"), ("upper",), ("lower",))


class Recursion(NamedTuple):
    """What one recursion reads."""

    gradient: Gradient
    at_old: Gradient  # the same, on the sample of the old point
    new: Point
    old: Point
    momentum: Array
    decay: float
    memory: Array  # the estimate of the iteration before


Rule = Callable[[Recursion], Array]


def _right(r: Recursion) -> Array:
    return r.gradient(*r.new) + r.decay * (r.momentum - r.at_old(*r.old))


def _stale(r: Recursion) -> Array:
    return r.gradient(*r.new) + r.decay * (r.momentum - r.memory)


def _average(r: Recursion) -> Array:
    return r.decay * r.momentum + (1 - r.decay) * r.gradient(*r.new)


def _heavy(r: Recursion) -> Array:
    return r.gradient(*r.new) + r.decay * r.momentum


def _undamped(r: Recursion) -> Array:
    return r.gradient(*r.new) + (r.momentum - r.at_old(*r.old))


def _swapped(r: Recursion) -> Array:
    return r.gradient(*r.new) + (1 - r.decay) * (r.momentum - r.at_old(*r.old))


def _old_x_only(r: Recursion) -> Array:
    return r.gradient(*r.new) + r.decay * (r.momentum - r.at_old(r.old[0], r.new[1]))


def _old_y_only(r: Recursion) -> Array:
    return r.gradient(*r.new) + r.decay * (r.momentum - r.at_old(r.new[0], r.old[1]))


@dataclass(frozen=True)
class Ruled(Variant):
    """SUSTAIN's step with a rule in one or both recursions, right after iteration 0.

    ``other`` is what the upper level's old point sees of the sample.
    """

    rule: Rule
    levels: tuple[str, ...] = BOTH
    other: Callable[[Any], Any] = lambda sample: sample

    @property
    def remembers(self) -> bool:
        """Whether something is kept that is not in a state."""
        return self.rule is _stale

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is right, where the estimates are the momenta."""
        state = self.algorithm.init(problem, x, y, start)
        return Beside(state, (state.lower_momentum, state.momentum))

    def resume(self, state: Any) -> Any:
        """The last estimates are not in ``state``: the momenta stand in."""
        return Beside(state, (state.lower_momentum, state.momentum))

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """SUSTAIN's iteration by the rule."""
        a, inner = self.algorithm, state.inner
        new, old = (inner.x, inner.y), (inner.x_previous, inner.y_previous)
        eta = a._root(inner.iteration - 1) ** 2
        below = a._lower_gradient(problem, sample)
        above, at_old = (a._gradient(problem, s) for s in (sample, self.other(sample)))
        lower = Recursion(
            below,
            below,
            new,
            old,
            inner.lower_momentum,
            1 - a.lower_averaging * eta,
            state.memory[0],
        )
        upper = Recursion(
            above, at_old, new, old, inner.momentum, 1 - a.upper_averaging * eta, state.memory[1]
        )
        u, m = (
            (self.rule if level in self.levels else _right)(r)
            for level, r in zip(BOTH, (lower, upper), strict=True)
        )
        after = a._advance(inner._replace(lower_momentum=u, momentum=m))
        return Beside(after, (below(*new), above(*new)) if self.remembers else state.memory)


def _rules(*rules: Rule) -> list[Change]:
    return [by(Ruled, r, on) for r in rules for on in LEVELS]


def _other_index(algorithm: Any) -> list[tuple[Change, ...]]:
    """The old point's own q: each that may have been drawn."""

    def change(q: int) -> Change:
        def other(sample: Any) -> Any:
            power = namespace(sample.power["power"]).full_like(sample.power["power"], q)
            return sample._replace(power={"power": power})

        return by(Ruled, _right, (), other)

    return [tuple(map(change, range(algorithm.neumann_terms)))]


# --- sizes and the series ---------------------------------------------------------------------


def _fixed(self: Any, t: int) -> float:
    return float(self.offset ** (-1 / 3))


def _fixed_steps(self: Any, state: Any) -> Any:
    """_advance with the size of iteration 0."""
    after = super(type(self), self)._advance(state._replace(iteration=0))
    return after._replace(iteration=state.iteration + 1)


def _late(self: Any, t: int) -> float:
    return float((self.offset + t + 1) ** (-1 / 3))


def _early(self: Any, t: int) -> float:
    return float((self.offset + max(t - 1, 0)) ** (-1 / 3))


def _series(change: Callable[[Array, Any], Array]) -> Change:
    """h with ``change(S v, algorithm)`` in place of S v."""

    def gradient(self: Any, problem: Any, sample: Any) -> Gradient:
        def series(product: Any, v: Array, s: Any) -> Array:
            value = neumann_randomised(product, v, s, self.neumann_terms, self.neumann_scale)
            return change(value, self)

        return lambda x, y: hypergradient(problem, x, y, sample, series)

    return overriding(_gradient=gradient)


# --- the catalogue ------------------------------------------------------------------------------

_U = (
    "u_t = ∇_y G(x_t,y_t;π_t) + (1 − η^g_t) (u_{t−1} − ∇_y G(x_{t−1},y_{t−1};π_t)), and m_t "
    "with h_t: both points on the same sample, its random index included"
)
_S = "α_t = a (w+t)^{−1/3}, β_t = b (w+t)^{−1/3}, η_t = c (w+t−1)^{−2/3}"
_H = "h_t = ∇_x F − ∇²_xy G · (Q/l) Π_{j=1..q} (I − ∇²_yy G/l) · ∇_y F, q uniform on {0..Q−1}"
_Y = "y_{t+1} = y_t − β_t u_t"
_M, _N = common.MOMENTUM, "Neumann series"

CATALOGUE = (
    common.fault(
        "different random index at the two points",
        _M,
        "the old point's hypergradient draws an index q of its own",
        _U,
        "the noise of the random term adds up instead of cancelling: no variance reduction",
        by(Ruled, _right, (), lambda s: s._replace(power={"power": 0 * s.power["power"]})),
        where=f"{common.CLEANING}, sustain.py:245-246",
        hidden=_other_index,
    ),
    common.fault(
        "stale sample",
        _M,
        "the old point's estimate is the stored one, on the old sample",
        _U,
        "no variance reduction at all",
        *_rules(_stale),
    ),
    common.fault(
        "old point copied after the step",
        _M,
        "(x_{t−1}, y_{t−1}) is overwritten by the current point: both evaluations agree",
        _U,
        "a moving average that pays for recursive momentum",
        by(Copied, (("x_previous", "x"), ("y_previous", "y"))),
        by(Copied, (("x_previous", "x"),)),
        by(Copied, (("y_previous", "y"),)),
        where=f"{common.AUC}, vrbo.py:96-99; data cleaning, vrbo.py:72,88-89",
    ),
    common.two_old(_U, ("momentum", "lower_momentum"), ("momentum",), ("lower_momentum",)),
    common.fault(
        "no correction",
        _M,
        "a moving average, or h_t + (1 − η_t) m_{t−1}, above, below or both",
        _U,
        "the momentum lags behind the gradient by 1/η_t steps",
        *_rules(_average, _heavy),
    ),
    common.fault(
        "correction without 1 − η",
        _M,
        "h_t(new) + m_{t−1} − h_t(old)",
        _U,
        "the noise of every step stays for ever: the variance grows without bound",
        *_rules(_undamped),
    ),
    common.fault(
        "η and 1−η swapped",
        _M,
        "η_t stands where 1 − η_t belongs",
        _U,
        "next to no averaging over samples",
        *_rules(_swapped),
    ),
    common.fault(
        "old point at (x_{t−1}, y_t)",
        _M,
        "one part of the old point is the new one",
        _U,
        "a bias of the size of the other part's move",
        *_rules(_old_x_only, _old_y_only),
    ),
    common.fault(
        "one fixed step size",
        common.UPPER,
        "α, β, η or all of them do not shrink",
        _S,
        "the error stays at the noise of that size",
        overriding(_root=_fixed),
        overriding(_advance=_fixed_steps),
    ),
    common.fault(
        "sizes of another iteration",
        common.UPPER,
        "w + t is off by one",
        _S,
        "none for long runs; the first steps are other ones",
        overriding(_root=_late),
        overriding(_root=_early),
    ),
    common.fault(
        "random term without Q",
        _N,
        "one random term of the series, without the factor Q",
        _H,
        "the implicit term is Q times too small",
        _series(lambda value, a: value / a.neumann_terms),
    ),
    common.fault(
        "1/l missing",
        _N,
        "the term is not divided by l",
        _H,
        "the implicit term is l times too large",
        _series(lambda value, a: value * a.neumann_scale),
    ),
    common.opposite_sign(_H),
    common.cross_elsewhere(_H),
    common.leak(_Y),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
