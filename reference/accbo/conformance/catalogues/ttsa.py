"""Mistakes made in TTSA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace
from accbo.conformance import common_faults as common
from accbo.conformance.fault import Change
from accbo.conformance.method_variants import overriding
from accbo.hypergradient import hypergradient, neumann_randomised
from accbo.lower import gradient_steps
from accbo.upper import gradient_step


@dataclass(frozen=True)
class Way:
    """What one iteration does; each default is right."""

    series: Callable[[Array, Array, Any], Array] = lambda value, v, algorithm: value
    at_old_y: bool = False
    y_after_x: bool = False
    shared: bool = False  # one Hessian sample for all factors


def _by(way: Way) -> Change:
    """TTSA's step as ``way`` says."""

    def step(self: Any, problem: Any, state: Any, sample: Any) -> Any:
        x, y, t = state
        if way.shared:
            sample = sample._replace(hessian=map_arrays(_first_repeated, sample.hessian))

        def series(product: Any, v: Array, sample: Any) -> Array:
            terms, scale = self.neumann_terms, self.neumann_scale
            return way.series(neumann_randomised(product, v, sample, terms, scale), v, self)

        size = self._lower_size(t)
        y_next = gradient_steps(problem, x, y, sample.lower, size)
        at = y if way.at_old_y or way.y_after_x else y_next
        h = hypergradient(problem, x, at, sample, series)
        x_next = gradient_step(x, h, self._upper_size(t))
        if way.y_after_x:
            y_next = gradient_steps(problem, x_next, y, sample.lower, size)
        return type(state)(x_next, y_next, t + 1)

    return overriding(step=step)


def _first_repeated(leaf: Array) -> Array:
    return namespace(leaf).broadcast_to(leaf[:1, ...], leaf.shape)


_B, _A = -2 / 5, -3 / 5

# --- sizes --------------------------------------------------------------------------------------


def _size(of: str, exponent: float, later: int = 0) -> Callable[..., float]:
    def size(self: Any, t: int) -> float:
        return float(getattr(self, of) * (self.offset + t + later) ** exponent)

    return size


def _sizes(lower: float, upper: float, later: int = 0) -> Change:
    return overriding(
        _lower_size=_size("lower_step_size", lower, later),
        _upper_size=_size("upper_step_size", upper, later),
    )


def _from_start(lower: float, upper: float) -> Change:
    """As ``_sizes``; an exponent 0 is the size of iteration 0."""

    def size(of: str, right: float, exponent: float) -> Callable[..., float]:
        def at(self: Any, t: int) -> float:
            return float(getattr(self, of) * (self.offset + (t if exponent else 0)) ** right)

        return at

    return overriding(
        _lower_size=size("lower_step_size", _B, lower),
        _upper_size=size("upper_step_size", _A, upper),
    )


# --- the catalogue ------------------------------------------------------------------------------

_S = "α_t = a (w+t)^{−3/5}, β_t = b (w+t)^{−2/5}"
_H = "h_t = ∇_x F − ∇²_xy G · (Q/l) Π_{j=1..q} (I − ∇²_yy G/l) · ∇_y F, q uniform on {0..Q−1}"
_Y = "y_{t+1} = y_t − β_t ∇_y G(x_t, y_t; π_t)"
_X = "x_{t+1} = x_t − α_t h_t(x_t, y_{t+1})"
_N, _T = "Neumann series", "step sizes"

CATALOGUE = (
    common.fault(
        "random term without Q",
        _N,
        "one random term of the series, without the factor Q",
        _H,
        "the implicit term is Q times too small",
        _by(Way(lambda value, v, a: value / a.neumann_terms)),
        where=f"{common.AUC} and data cleaning, ttsa.py",
    ),
    common.fault(
        "1/l missing",
        _N,
        "the term is not divided by l",
        _H,
        "the implicit term is l times too large",
        _by(Way(lambda value, v, a: value * a.neumann_scale)),
    ),
    common.fault(
        "one sample for all factors",
        _N,
        "powers of one realisation of the Hessian",
        _H,
        "E[H^q] is not E[H]^q: a bias that no number of terms removes",
        _by(Way(shared=True)),
    ),
    common.fault(
        "steps that do not shrink",
        _T,
        "α, β or both stay a and b, or those of iteration 0",
        _S,
        "the error stays at the noise of that size",
        *(
            change
            for sizes in (_sizes, _from_start)
            for change in (sizes(0.0, 0.0), sizes(_B, 0.0), sizes(0.0, _A))
        ),
        where=f"{common.AUC} and data cleaning, ttsa.py",
    ),
    common.fault(
        "exponents swapped",
        _T,
        "α ~ t^{−2/5}, β ~ t^{−3/5}",
        _S,
        "the lower level falls behind: its steps shrink faster than the upper ones",
        _sizes(_A, _B),
    ),
    common.fault(
        "one time scale",
        _T,
        "both sizes shrink alike",
        _S,
        "y no longer follows x: the ratio of the sizes stays",
        _sizes(_A, _A),
        _sizes(_B, _B),
        _sizes(-1 / 2, -1 / 2),
    ),
    common.fault(
        "sizes of another iteration",
        _T,
        "w + t is off by one",
        _S,
        "none for long runs; the first steps are other ones",
        _sizes(_B, _A, 1),
    ),
    common.fault(
        "hypergradient at the old y",
        common.UPPER,
        "h_t is taken at (x_t, y_t)",
        _X,
        "the hypergradient is behind by one lower step",
        _by(Way(at_old_y=True)),
    ),
    common.fault(
        "y after x",
        common.LOWER,
        "x moves first, and y at x_{t+1}",
        _Y,
        "another order of the same steps: the hypergradient is behind by one lower step",
        _by(Way(y_after_x=True)),
    ),
    common.opposite_sign(_H),
    common.cross_elsewhere(_H),
    common.leak(_Y),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
