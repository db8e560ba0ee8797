"""Known answers: steps small enough to do by hand, with the hand's values and their derivation.

In one dimension, with F = ½ w x² + ½ (y − t)² and G = ½ H y² − C x y,

    ∇_x F = w x    ∇_y F = y − t    ∇_y G = H y − C x    ∇²_yy G = H    ∇²_xy G = −C
    h = w x + C · S (y − t),   S = (1/l) (1 + (1 − H/l) + (1 − H/l)² + …), Q terms

and unless a vector says otherwise w = 2, t = H = C = 1, α = γ = τ = ¼, η = ⅛, β = 0, Q = 1, l = 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo.algorithms import AccBO, AccBOSample, AccBOState
from accbo.problems import (
    FiniteSum,
    LowerNoise,
    NonQuadratic,
    Quadratic,
    RelaxedSmooth,
    UpperNoise,
)
from accbo.sampling import Start

Parts = Mapping[str, Mapping[str, Any]]  # part of a sample → field → values
Hand = Mapping[str, Sequence[float]]  # field of a state → values

SIMPLE = "by hand"


@dataclass(frozen=True, kw_only=True)
class Known:
    """One known answer: ``hand`` holds x, y, ŷ and m after each iteration."""

    slug: str
    problem: str
    algorithm: AccBO
    hand: tuple[Hand, ...]
    line: str
    note: str
    state: AccBOState | None = None
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    start: Start | None = None
    samples: tuple[AccBOSample, ...]
    dtype: str = "float64"
    since: int = 1


# --- problems -------------------------------------------------------------------------------


def _simple(d_x: int = 1, d_y: int = 1, **changes: Any) -> Quadratic:
    options: dict[str, Any] = {
        "weights": np.full(d_x, 2.0),
        "target": np.ones(d_y),
        "hessian": np.eye(d_y),
        "coupling": np.ones((d_y, d_x)),
        "form": "matmul",
    }
    return Quadratic(**{**options, **changes})


def known_problems() -> dict[str, Any]:
    """The problems of the known answers by name."""
    zero, both = np.zeros(1), np.zeros((1, 2))
    scalars: dict[str, Any] = {"target": np.ones(1), "hessian": np.eye(1), "form": "matmul"}
    shifted = UpperNoise(additive_x=1.0, additive_y=1.0)
    found = {
        "simple": _simple(),
        "two of x": _simple(2, weights=np.ones(2), target=zero, coupling=both),
        "two of x, F = 0 at y = 0": _simple(2, weights=np.zeros(2), target=zero),
        "two of x, F of 2^-664": _simple(
            2, weights=np.full(2, 2.0**-664), target=zero, coupling=both
        ),
        "two of x, F of 2^-80": _simple(
            2, weights=np.full(2, 2.0**-80), target=zero, coupling=both
        ),
        "two of y": _simple(1, 2, target=np.array([1.0, 0.0]), hessian=np.diag([1.0, 2.0])),
        "noise in the Hessian": _simple(noise_lower=LowerNoise(curvature=0.5)),
        "noise above": _simple(noise_upper=UpperNoise(1.0, 1.0)),
        "noise below": _simple(
            hessian=np.full((1, 1), 2.0),
            noise_lower=LowerNoise(additive=1.0, curvature=0.5, coupling=0.5),
        ),
        "noise above and below": _simple(
            noise_upper=UpperNoise(1.0), noise_lower=LowerNoise(additive=1.0)
        ),
        "log cosh below": NonQuadratic(
            weights=np.full(1, 2.0),
            coupling=np.ones((1, 1)),
            shift=np.full((1, 1), 2.0),
            noise_upper=UpperNoise(additive_y=1.0),
            **scalars,
        ),
        "cosh above": RelaxedSmooth(
            coupling=np.ones((1, 1)), ripple=0.5, noise_upper=shifted, **scalars
        ),
        "two samples": FiniteSum(
            upper_features=np.array([[1.0], [2.0]]),
            upper_offsets=np.array([[2.0], [4.0]]),
            upper_labels=np.array([1.0, -1.0]),
            lower_features=np.array([[2.0], [1.0]]),
            lower_offsets=np.array([[1.0], [3.0]]),
            lower_labels=np.array([1.0, 1.0]),
            upper_batch=1,
            lower_batch=1,
        ),
    }
    return {f"{SIMPLE}/{name}": problem for name, problem in found.items()}


_PROBLEMS = known_problems()


# --- how one is written down ------------------------------------------------------------------


def _algorithm(**changes: Any) -> AccBO:
    options: dict[str, Any] = {
        "lower_step_size": 0.25,
        "lower_momentum": 0.25,
        "averaging": 0.25,
        "momentum": 0.0,
        "upper_step_size": 0.125,
        "neumann_terms": 1,
        "neumann_scale": 2.0,
    }
    return AccBO(**{**options, **changes})


def _sample(layout: Any, given: Parts) -> Any:
    """``layout`` filled with ``given``; a field that is not given must be without numbers."""
    made: dict[str, dict[str, np.ndarray]] = {}
    for name, part in layout._asdict().items():
        made[name] = {}
        for field, draw in part.items():
            values = given.get(name, {}).get(field, ())
            dtype = np.int64 if draw.noise.law == "index" else np.float64
            shape = (*draw.leading, *draw.noise.shape)
            made[name][field] = np.asarray(values, dtype=dtype).reshape(shape)
    return type(layout)(**made)


def _step(
    slug: str,
    problem: str,
    state: Mapping[str, Any],
    hand: Mapping[str, Any],
    note: str,
    line: str,
    sample: Parts = {},  # noqa: B006  never written to
    t: int = 5,
    dtype: str = "float64",
    **changes: Any,
) -> Known:
    """One step. ``state``: what is not given is 0, and the past is as the present."""
    name = f"{SIMPLE}/{problem}"
    made, algorithm = _PROBLEMS[name], _algorithm(**changes)
    arrays = {key: np.atleast_1d(np.asarray(value, float)) for key, value in state.items()}
    arrays = {"x": np.zeros(made.d_x), "y": np.zeros(made.d_y), **arrays}
    arrays = {"y_average": np.zeros(made.d_y), "momentum": np.zeros(made.d_x), **arrays}
    before = AccBOState(
        x_previous=arrays.pop("x_previous", arrays["x"]),
        y_previous=arrays.pop("y_previous", arrays["y"]),
        y_average_previous=arrays.pop("y_average_previous", arrays["y_average"]),
        iteration=t,
        **arrays,
    )
    return Known(
        slug=slug,
        problem=name,
        algorithm=algorithm,
        hand=({key: np.atleast_1d(value).tolist() for key, value in hand.items()},),
        line=line,
        note=note,
        state=before,
        samples=(_sample(algorithm.draw(made, algorithm.refreshes(t)), sample),),
        dtype=dtype,
    )


# --- the answers ------------------------------------------------------------------------------


def known_answers() -> list[Known]:
    """All of them, newest last."""
    return [answer for part in (_upper, _series, _lower, _second, _other) for answer in part()]


def _upper() -> Iterator[Known]:
    """The upper step and the momentum."""
    yield _step(
        "normalised-step",
        "two of x",
        {"x": [3.0, 4.0]},
        {"x": [3 - 3 / 8, 4 - 1 / 2], "momentum": [3.0, 4.0], "y": 0.0, "y_average": 0.0},
        "w = 1, C = 0: m = h = x = (3, 4), ‖m‖ = 5; η = 5/8: x − (5/8)(3, 4)/5 = (21/8, 7/2)",
        "x_{t+1} = x_t − η m_t/‖m_t‖",
        upper_step_size=0.625,
    )
    yield _step(
        "zero-momentum",
        "two of x, F = 0 at y = 0",
        {"x": [3.0, 4.0], "y": 1.0},
        {"x": [3.0, 4.0], "momentum": [0.0, 0.0], "y": 5 / 2, "y_average": 5 / 8},
        "w = t = 0 and ŷ = 0: both gradients of F vanish, m = 0 and x stays; "
        "∇_y G = 1 − 7 = −6, y = 1 + 6/4 = 5/2; ŷ = ¼ · 5/2",
        "m_t = 0: x does not move",
    )
    for exponent, dtype in ((-664, "float64"), (-80, "float32")):
        yield _step(
            f"underflow-{dtype}",
            f"two of x, F of 2^{exponent}",
            {"x": [3.0, 4.0], "y": 1.0},
            {
                "x": [3 - 3 / 8, 4 - 1 / 2],
                "momentum": [3 * 2.0**exponent, 4 * 2.0**exponent],
                "y": 3 / 4,
                "y_average": 3 / 16,
            },
            f"w = 2^{exponent}, C = 0, ŷ = t = 0: m = 2^{exponent} (3, 4), whose squares underflow "
            f"in {dtype}; x = (21/8, 7/2) as without the factor; ∇_y G = 1, y = 1 − ¼",
            "a tiny m whose square underflows still moves x by η: scale by max|m| first",
            dtype=dtype,
            upper_step_size=0.625,
        )
    yield _step(
        "recursive-momentum",
        "noise above",
        {
            "x": 1.0,
            "x_previous": 2.0,
            "y": 1.0,
            "y_average": 2.0,
            "y_average_previous": 3.0,
            "momentum": 8.0,
        },
        {"x": 7 / 8, "momentum": 35 / 8, "y": 1.0, "y_average": 7 / 4},
        "∇_x F = 2x + ½ + 1·x = 3x + ½ on this sample, S = ½: h(1, 2) = 3½ + ½ = 4, "
        "h(2, 3) = 6½ + 1 = 7½; β = ¾: m = 4 + ¾ (8 − 7½) = 35/8; ∇_y G = 1 − 1 = 0",
        "m_t = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1}))",
        {"upper": {"additive_x": [0.5], "multiplicative_x": [1.0]}},
        momentum=0.75,
    )


_AT = {"x": 0.5, "y": 1.0, "y_average": 3.0}


def _series() -> Iterator[Known]:
    """The Neumann series, in every sampling."""
    line = "h_t: (1/l) Σ_{q=0..Q−1} Π_{j=1..q} (I − ∇²_yy G(ζ^{q,j})/l)"
    yield _step(
        "neumann",
        "simple",
        _AT,
        {"x": 3 / 8, "momentum": 11 / 4, "y": 7 / 8, "y_average": 79 / 32},
        "Q = 3, l = 2, H = 1: S = ½ (1 + ½ + ¼) = 7/8; h = 2·½ + 7/8 · (3 − 1) = 11/4; "
        "∇_y G = 1 − ½, y = 1 − ⅛ = 7/8; ŷ = ¾·3 + ¼·7/8 = 79/32",
        line,
        neumann_terms=3,
    )
    below = {"curvature": [[1.0]]}
    after = {"x": 3 / 8, "y": 3 / 4, "y_average": 39 / 16}
    factors = "H is 3/2 or ½: the factors 1 − H/2 are ¼ (sign +) and ¾ (sign −); ∇_yF = 2; "
    rest = "; ∇_y G = 1 − ½ + ½, y = ¾; ŷ = ¾·3 + ¼·¾ = 39/16"
    yield _step(
        "neumann-chained",
        "noise in the Hessian",
        _AT,
        {**after, "momentum": 39 / 16},
        factors + "signs (+, −): p_1 = ¼, p_2 = ¾·¼ = 3/16, S = ½ (1 + ¼ + 3/16) = 23/32; "
        "h = 1 + 23/16" + rest,
        line,
        {"hessian": {"curvature": [[1.0], [-1.0]]}, "lower": below},
        neumann_terms=3,
    )
    yield _step(
        "neumann-independent",
        "noise in the Hessian",
        _AT,
        {**after, "momentum": 183 / 64},
        factors + "Q = 4, rows j = 1: q = 1, 2, 3 (+, −, +); j = 2: q = 2, 3 (−, −); "
        "j = 3: q = 3 (+). Terms 1, ¼, ¾·¾ = 9/16, ¼·¾·¼ = 3/64; S = ½ · 119/64; h = 1 + 119/64"
        + rest,
        line,
        {
            "hessian": {"curvature": [[1.0], [-1.0], [1.0], [-1.0], [-1.0], [1.0]]},
            "lower": below,
        },
        neumann_terms=4,
        neumann_sampling="independent",
    )
    for power, inverse in ((0, "(3/2)·2 = 3"), (2, "(3/2)·¼·¾·2 = 9/16")):
        yield _step(
            f"neumann-randomised-{power}",
            "noise in the Hessian",
            _AT,
            {**after, "momentum": 4.0 if power == 0 else 25 / 16},
            factors + f"q = {power} of Q = 3, signs (+, −): S·2 = (Q/l)·… = {inverse}; h = 1 + "
            "that" + rest,
            line,
            {
                "hessian": {"curvature": [[1.0], [-1.0]]},
                "power": {"power": [power]},
                "lower": below,
            },
            neumann_terms=3,
            neumann_sampling="randomised",
        )
    yield _step(
        "two-of-y",
        "two of y",
        {"x": 0.5, "y": [1.0, 1.0], "y_average": [2.0, 2.0]},
        {
            "x": 3 / 8,
            "momentum": 35 / 16,
            "y": [7 / 8, 5 / 8],
            "y_average": [55 / 32, 53 / 32],
        },
        "H = diag(1, 2), l = 4, Q = 2: S = ¼ (2 − H/4) = diag(7/16, 3/8); ŷ − t = (1, 2); "
        "h = 1 + 7/16 + 6/8 = 35/16; ∇_y G = (1 − ½, 2 − ½); ŷ = ¾·2 + ¼ (7/8, 5/8)",
        line,
        neumann_terms=2,
        neumann_scale=4.0,
    )


def _lower() -> Iterator[Known]:
    """The lower step, the average and the two orders."""
    yield _step(
        "lower-step",
        "noise below",
        {"x": 0.25, "y": 1.0, "y_previous": 0.5, "y_average": 2.0},
        {"x": 1 / 8, "momentum": 7 / 8, "y": 21 / 64, "y_average": 405 / 256},
        "z = 1 + ¼ (1 − ½) = 9/8; H = 2: ∇_y G = 2z − x + ½ + ½ z + ½ x = 9/4 − 1/4 + 1/2 + 9/16 "
        "+ 1/8 = 51/16; y = 9/8 − 51/64 = 21/64; ŷ = ¾·2 + 21/256; "
        "above, l = 4: h = ½ + (1 + ½)·¼·1 = 7/8",
        "z_t = y_t + γ (y_t − y_{t−1}); y_{t+1} = z_t − α ∇_y G(x_t, z_t; π_t)",
        {
            "lower": {"additive": [[0.5]], "curvature": [[1.0]], "coupling": [[-1.0]]},
            "cross": {"coupling": [1.0]},
        },
        neumann_scale=4.0,
    )
    yield _step(
        "averaging",
        "simple",
        {"x": 1.0, "y": 1.0, "y_average": 5.0, "momentum": 8.0},
        {"x": 7 / 8, "momentum": 7.0, "y": 1.0, "y_average": 4.0},
        "∇_y G = 1 − 1 = 0, so y stays; ŷ = ¾·5 + ¼·1 = 4; h = 2 + ½·4 = 4 at both points, "
        "m = 4 + ¾ (8 − 4) = 7",
        "ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}",
        momentum=0.75,
    )
    yield _step(
        "sequential",
        "simple",
        {"x": 0.5, "x_previous": 1.0, "y": 1.0, "y_average": 2.0, "momentum": 3.0}
        | {"y_average_previous": 7.0},
        {"x": 3 / 8, "momentum": 111 / 64, "y": 7 / 8, "y_average": 55 / 32},
        "first y = 1 − ¼·½ = 7/8, ŷ = ¾·2 + 7/32 = 55/32; then h(½, 55/32) = 1 + ½·23/32 = 87/64, "
        "the old point is (x_{t−1}, ŷ_t) = (1, 2): h = 2 + ½; m = 87/64 + ¾ (3 − 5/2) = 111/64",
        "Sequential: y_{t+1}, ŷ_{t+1}, then m_t from (x_t, ŷ_{t+1}), old point (x_{t−1}, ŷ_t)",
        order="sequential",
        momentum=0.75,
    )


def _second() -> Iterator[Known]:
    """Option II."""
    line = "Option II: if t mod I = 0, restart the pair at (y_t, y_t) and do N steps"
    options: dict[str, Any] = {"period": 3, "lower_steps": 2}
    before = {"x": 0.5, "y": 1.0, "y_previous": 3.0, "y_average": 2.0}
    yield _step(
        "option-ii-idle",
        "simple",
        before,
        {"x": 3 / 8, "momentum": 3 / 2, "y": 1.0, "y_average": 7 / 4},
        "I = 3, t = 4: y stays, ŷ = ¾·2 + ¼·1 = 7/4 all the same; h = 1 + ½·1",
        line,
        t=4,
        **options,
    )
    yield _step(
        "option-ii-idle-sequential",
        "simple",
        before,
        {"x": 3 / 8, "momentum": 11 / 8, "y": 1.0, "y_average": 7 / 4},
        "I = 3, t = 4: y stays, ŷ = 7/4, then h(½, 7/4) = 1 + ½·¾ = 11/8",
        line,
        t=4,
        order="sequential",
        **options,
    )
    yield _step(
        "option-ii-refresh",
        "simple",
        before,
        {"x": 3 / 8, "momentum": 3 / 2, "y": 97 / 128, "y_average": 865 / 512},
        "I = 3, t = 6, N = 2: from (1, 1), not (1, 3): 1 − ¼·½ = 7/8; z = 7/8 − ¼·⅛ = 27/32, "
        "y = 27/32 − ¼ (27/32 − ½) = 97/128; ŷ = 3/2 + 97/512",
        line,
        t=6,
        **options,
    )


def _other() -> Iterator[Known]:
    """The other kinds of problems where their functions are 0 or ½, and the start."""
    yield _step(
        "log-cosh",
        "log cosh below",
        {"x": 0.5, "y": 1.0, "y_average": 1.0},
        {"x": 3 / 8, "momentum": 17 / 8, "y": 7 / 8, "y_average": 31 / 32},
        "y = ŷ = Wx = t = 1: tanh = 0, sech² = 1; ∇_y F = 0 + 1; H + k = 2, l = 4, Q = 2: "
        "S = ¼ (1 + ½) = 3/8; C + kW = 3: h = 1 + 3·3/8 = 17/8; ∇_y G = 1 − ½ + 0",
        "h_t with second derivatives that move",
        {"upper": {"additive_y": [1.0]}},
        neumann_terms=2,
        neumann_scale=4.0,
    )
    yield _step(
        "cosh",
        "cosh above",
        {"y": 1.0, "y_average": 1.0},
        {"x": -1 / 8, "momentum": 7 / 4, "y": 3 / 4, "y_average": 15 / 16},
        "x = 0 and ŷ = t: sinh = sin = tanh = 0, the gradients of F are their noise, 1 and 1; "
        "Q = 2: S = ½ (1 + ½) = ¾; h = 1 + ¾; ∇_y G = 1",
        "h_t",
        {"upper": {"additive_x": [1.0], "additive_y": [1.0]}},
        neumann_terms=2,
    )
    yield _step(
        "finite-sum",
        "two samples",
        {},
        {"x": -1 / 8, "momentum": 27 / 16, "y": 1 / 8, "y_average": 1 / 32},
        "x = y = 0: margins 0, σ = ½, σ' = ¼. ξ = 1: ∇_x F = ½·4 = 2, ∇_y F = ½·2 = 1. Hessian of "
        "sample 0: ½ + ¼·4 = 3/2, Q = 2: S = ½ (1 + ¼) = 5/8. Cross derivative of sample 0: "
        "¼·1·2 = ½: h = 2 − 5/16 = 27/16. π = 1: ∇_y G = −½, y = ⅛",
        "h_t on index batches, one for each of ξ, ζ⁰, ζ and π",
        {
            "upper": {"index": [1]},
            "cross": {"index": [0]},
            "hessian": {"index": [[0]]},
            "lower": {"index": [[1]]},
        },
        neumann_terms=2,
    )
    yield _start()


def _start() -> Known:
    name, algorithm = f"{SIMPLE}/noise above and below", _algorithm(momentum=0.75)
    problem = _PROBLEMS[name]
    layout = algorithm.draw_start(problem, 1, 2)
    first: Parts = {"upper": {"additive_x": [[1.0], [2.0]]}, "lower": {"additive": [[-0.5]]}}
    start = Start(warm_start={"additive": np.array([[0.5]])}, first=_sample(layout.first, first))
    sample: Parts = {"upper": {"additive_x": [0.5]}, "lower": {"additive": [[0.0]]}}
    return Known(
        slug="start",
        problem=name,
        algorithm=algorithm,
        x=np.array([0.5]),
        y=np.array([2.0]),
        start=start,
        samples=(_sample(algorithm.draw(problem), sample),),
        hand=(
            {"x": [3 / 8], "momentum": [11 / 4], "y": [11 / 8], "y_average": [47 / 32]},
            {"x": [1 / 4], "momentum": [143 / 64], "y": [141 / 128], "y_average": [705 / 512]},
        ),
        line="start: T0 steps from (y_init, y_init), y_0 = y_{−1} = ŷ_0; m_0 the mean over S",
        note="T0 = 1: ∇_y G = 2 − ½ + ½, y_0 = 2 − ½ = 3/2 = ŷ_0. Iteration 0: ∇_y G = 3/2 − ½ − ½,"
        " y_1 = 3/2 − ⅛ = 11/8, ŷ_1 = ¾·3/2 + ¼·11/8 = 47/32; m_0 = 1 + ½·½ + (1 + 2)/2 = 11/4. "
        "Iteration 1: z = 11/8 − ¼·⅛ = 43/32, y_2 = 43/32 − ¼ (43/32 − 3/8) = 141/128; "
        "h(3/8, 47/32) = ¾ + ½ + 15/64 = 95/64, h(½, 3/2) = 7/4, m_1 = 95/64 + ¾ (11/4 − 7/4)",
    )
