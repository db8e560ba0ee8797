"""Mistakes that several of the algorithms beside AccBO share, each said once.

A function returns the fault for algorithms whose line of SPEC §5 it is given as ``right``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accbo._arrays import Array, norm
from accbo.conformance.fault import Change, Fault, ways
from accbo.conformance.method_variants import (
    Again,
    AverageRule,
    CrossAtZero,
    InFloat32,
    LateLeak,
    Leak,
    Mirrored,
    NegatedCross,
    NegatedUpperY,
    OnProblem,
    OnSample,
    OtherAverage,
    Step,
    TwoOld,
    UpperStep,
    by,
)
from accbo.conformance.variants import CUTS, ColdStart, SharedBatch, block_step
from accbo.upper import gradient_step, normalized_step

LOWER, UPPER, IMPLICIT = "lower level", "upper step", "implicit term"
MOMENTUM, LINEAR, SAMPLES = "momentum", "linear system", "samples"
CLEANING = "AccBO's released experiments, data cleaning"
_BOOLEANS = (False, True)
AUC = "AccBO's released experiments, deep AUC"


def fault(
    name: str,
    part: str,
    wrong: str,
    right: str,
    later: str,
    *changes: Change,
    where: str = "",
    hidden: Callable[[Any], list[tuple[Change, ...]]] | None = None,
) -> Fault:
    """A mistake and the ways to make it; ``hidden``: those where a draw of its own decides."""
    return Fault(name, part, wrong, right, later, where, changes[0], hidden or ways(*changes))


# --- every algorithm --------------------------------------------------------------------------


def no_warm_start() -> Fault:
    """The T0 steps left out."""
    return fault(
        "no warm start",
        LOWER,
        "y_0 = y_init: the T0 steps are left out",
        "start: T0 steps on y at x_0, then iteration 0",
        "the first hypergradients are taken far from y*(x)",
        ColdStart,
        where=f"{CLEANING}, accbo.py:51-74",
    )


def single_precision() -> Fault:
    """float32 on the way."""
    return fault(
        "silent float32",
        "numerics",
        "single precision on the way",
        "float64 throughout where the arrays are float64",
        "progress stops where steps fall below 1e-7 of x",
        by(InFloat32),
        by(InFloat32, True),
    )


def leak(right: str, *more: Change, upper: str = "upper", late: bool = True) -> Fault:
    """∇_y F in the lower step; ``upper`` is the part of the sample that it is taken on."""
    kept: list[Change] = [by(LateLeak, upper)] if late else []
    return fault(
        "upper gradient leaks",
        LOWER,
        "∇_y F is added to ∇_y G, as by a gradient that is not set to zero",
        right,
        "y converges to the minimiser of another function; in published code the leak was as "
        "large as the gradient",
        *(more or (by(Leak, upper),)),
        *kept,
        where=f"{CLEANING}, ma_soba.py:64,119",
    )


def opposite_sign(right: str, *more: Change, where: str = "") -> Fault:
    """The implicit term added."""
    return fault(
        "sign of the implicit term",
        IMPLICIT,
        "∇_x F + the implicit term",
        right,
        "ascends in y*'s share of Φ",
        *more,
        by(OnProblem, NegatedCross),
        where=where or f"{CLEANING}, saba.py:162-166",
    )


def cross_elsewhere(right: str) -> Fault:
    """∇²_xy G at the wrong y."""
    return fault(
        "cross derivative at the wrong point",
        IMPLICIT,
        "∇²_xy G at (x, 0)",
        right,
        "a bias of the size of the distance between the points, wherever g is not quadratic",
        by(OnProblem, CrossAtZero),
    )


def shared_batch(right: str, share: Change = SharedBatch) -> Fault:
    """One index batch for both levels."""
    return fault(
        "upper batch reused below",
        SAMPLES,
        "the lower step takes the indices of the upper batch",
        right,
        "upper and lower noise are correlated: a bias where both data sets are one",
        share,
    )


# --- a linear system for z ---------------------------------------------------------------------


def z_sign(right: str) -> Fault:
    """z away from its fixed point, or towards −H⁻¹v."""
    return fault(
        "z step with the wrong sign",
        LINEAR,
        "z + ν (Hz − ∇_y F), or z − ν (Hz + ∇_y F)",
        right,
        "z diverges, or tracks −H⁻¹∇_y F and x ascends in y*'s share of Φ",
        by(Mirrored, "z"),
        by(OnProblem, NegatedUpperY),
    )


def z_at_new_point(right: str) -> Fault:
    """z's system at the next iterates."""
    return fault(
        "z at the new point",
        LINEAR,
        "the z step reads (x_{t+1}, y_{t+1}), or (x_t, y_{t+1})",
        right,
        "z, y and x no longer move together: the analysis with one step size does not cover it",
        by(Again, ((("x", "y"), ("z",)),)),
        by(Again, ((("y",), ("z",)),)),
    )


def one_after_the_other(right: str, *rounds: Any) -> Fault:
    """Gauss–Seidel instead of together."""
    return fault(
        "updates one after the other",
        UPPER,
        "y first, then z at the new y, then x at the new y and z",
        right,
        "another method: samples of one iteration meet iterates that depend on them",
        *(by(Again, one) for one in rounds),
        where=f"{CLEANING} and deep AUC, ma_soba.py",
    )


# --- moving averages and normalised steps --------------------------------------------------------


def _heavy(old: Array, new: Array, weight: float) -> Array:
    return new + weight * old


def _swapped(old: Array, new: Array, weight: float) -> Array:
    return (1 - weight) * old + weight * new


def _none(old: Array, new: Array, weight: float) -> Array:
    return new


def _unit(old: Array, new: Array, weight: float) -> Array:
    return weight * old + (1 - weight) * (new / norm(new)[..., None])


def averages(right: str, move: Step | None) -> list[Fault]:
    """What is done to a moving average; ``move`` as in ``AverageRule``."""
    # where x does not wait for the average, the older one may be in the recursion alone
    more = [] if move else [by(TwoOld, ("momentum",), zero, ("momentum",)) for zero in _BOOLEANS]

    def rule(of: Step) -> Change:
        return by(AverageRule, of, move)

    return [
        fault(
            "momentum weights swapped",
            MOMENTUM,
            "(1 − β) m_{t−1} + β h_t",
            right,
            "next to no averaging over samples",
            rule(_swapped),
        ),
        fault(
            "new sample without 1 − β",
            MOMENTUM,
            "h_t + β m_{t−1}",
            right,
            "m is 1/(1 − β) times too large: plain steps are too long, normalised ones the same",
            rule(_heavy),
        ),
        fault(
            "no moving average",
            MOMENTUM,
            "m_t = h_t",
            right,
            "all the noise of a sample enters the step",
            rule(_none),
        ),
        fault(
            "samples normalised",
            MOMENTUM,
            "each sample is normalised before the average",
            right,
            "E[h/‖h‖] does not point along ∇Φ under skewed noise: the limit is not stationary",
            rule(_unit),
        ),
        two_old(right, ("momentum",), more=more),
    ]


def two_old(
    right: str, *choices: tuple[str, ...], where: str = "", more: Sequence[Change] = ()
) -> Fault:
    """An average that is one iteration too old."""
    first: list[Change] = [by(TwoOld, names) for names in choices]
    return fault(
        "two-iterations-old momentum",
        MOMENTUM,
        "m_{t−2} stands where m_{t−1} belongs",
        right,
        "two interleaved recursions: every other sample is ignored in each",
        *first,
        *(by(TwoOld, names, True) for names in choices),
        *more,
        where=where or f"{CLEANING}, sustain.py:90-92",
    )


def normalisation(right: str) -> list[Fault]:
    """What is done to x − η m/‖m‖."""
    return [
        fault(
            "no normalisation",
            UPPER,
            "x − η m",
            right,
            "diverges where the gradient grows faster than linearly; crawls where it is small",
            by(UpperStep, gradient_step),
        ),
        fault(
            "norm per block",
            UPPER,
            "each block of x is divided by its own norm",
            right,
            "the direction is no longer m's and the step is √(blocks) times too long",
            *_per_block(),
            where=f"{AUC}, bo_rep.py:102",
        ),
    ]


def _per_block() -> Sequence[Change]:
    return [by(UpperStep, block_step(cut)) for cut in CUTS]


def other_average(right: str, *, new: bool, normalised: bool) -> Fault:
    """x along the average of the wrong iteration."""
    move = normalized_step if normalised else gradient_step
    return fault(
        f"x moves with the {'new' if new else 'old'} average",
        UPPER,
        f"x moves along {'m_t' if new else 'm_{t−1}'}",
        right,
        "an estimate meets the step that was made for another one",
        by(OtherAverage, move, new),
    )


def one_upper_sample(right: str) -> Fault:
    """ξ for ξ'."""
    return on_sample(
        "one upper sample for both derivatives",
        SAMPLES,
        "∇_y F is taken on ξ, not on ξ'",
        right,
        "the errors of z and of ∇_x F are correlated",
        lambda sample: sample._replace(upper_y=sample.upper),
    )


def without_zeroing(right: str, *changes: Change) -> Fault:
    """Lower gradients that add up."""
    return fault(
        "no zeroing between inner steps",
        LOWER,
        "the lower gradients of earlier inner steps add up",
        right,
        "steps grow with the inner loop: 1, 2, 3 times the step size",
        *changes,
        where=f"{CLEANING}, stocbio.py:52-58, bo_rep.py:78-86; deep AUC, bo_rep.py:86-93",
    )


def inner_step_too_few(right: str, change: Change) -> Fault:
    """An inner loop that ends early."""
    return fault(
        "one inner step too few",
        LOWER,
        "the inner loop leaves its last step out",
        right,
        "y is behind by a step an iteration",
        change,
    )


def on_sample(
    name: str, part: str, wrong: str, right: str, later: str, change: Callable[[Any], Any]
) -> Fault:
    """A step on another sample."""
    return fault(name, part, wrong, right, later, by(OnSample, change))
