"""Random problems, algorithms and cases.

Floats come from Hypothesis, so that a failure shrinks; matrices and points come from seeds it
draws. Ranges keep every realisation of G strongly convex and every iterate finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from accbo import AccBO, Tape, move
from accbo._arrays import Array, namespace
from accbo.problems import (
    LowerNoise,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from accbo.relations.case import Case

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ("quadratic", "relaxed", "nonquadratic", "finite_sum")
LAWS = st.sampled_from(("normal", "two_point"))
SHAPES = ((), (3,), (1, 4), (2, 3))


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Finite floats of ordinary size in [low, high]."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def scales(high: float) -> st.SearchStrategy[float]:
    """A scale of noise: 0, which removes its field, or not small."""
    return st.one_of(st.just(0.0), numbers(0.05, high))


@st.composite
def upper_noises(draw: Any) -> UpperNoise:
    """Noise of F, any part of which may be missing."""
    return UpperNoise(*(draw(scales(1.0)) for _ in range(4)), draw(LAWS), draw(numbers(0.1, 0.5)))


@st.composite
def lower_noises(draw: Any, mu: float) -> LowerNoise:
    """Noise of G; that of the curvature stays below half of μ."""
    return LowerNoise(
        additive=draw(scales(1.0)),
        curvature=draw(scales(0.5)) * mu,
        coupling=draw(scales(0.5)),
        law=draw(LAWS),
    )


def spectra(dimensions: st.SearchStrategy[int]) -> st.SearchStrategy[list[float]]:
    """Eigenvalues of H, a condition number of at most 8."""
    return dimensions.flatmap(lambda d: st.lists(numbers(0.5, 4.0), min_size=d, max_size=d))


@st.composite
def finite_sums(draw: Any, dimensions: st.SearchStrategy[int], forms: tuple[str, ...]) -> Any:
    """A finite sum with batches of its own on each level."""
    return finite_sum(
        draw(st.integers(1, 6)),
        draw(dimensions),
        draw(dimensions),
        upper_samples=draw(st.integers(1, 6)),
        upper_ridge=draw(numbers(0.2, 2.0)),
        lower_ridge=draw(numbers(0.5, 2.0)),
        upper_batch=draw(st.integers(1, 4)),
        lower_batch=draw(st.integers(1, 4)),
        scale=draw(numbers(0.3, 1.5)),
        form=draw(st.sampled_from(forms)),
        seed=draw(SEEDS),
    )


@st.composite
def problems(
    draw: Any,
    kinds: tuple[str, ...] = KINDS,
    dimensions: st.SearchStrategy[int] = st.integers(1, 5),
    forms: tuple[str, ...] = ("shared", "matmul"),
    noisy: bool = True,
) -> Any:
    """A problem of one of the kinds, on the host; a finite sum has its noise in any case."""
    kind = draw(st.sampled_from(kinds))
    if kind == "finite_sum":
        return draw(finite_sums(dimensions, forms))
    spectrum = draw(spectra(dimensions))
    options: dict[str, Any] = {
        "coupling": draw(numbers(0.1, 2.0)),
        "target": draw(numbers(-2.0, 2.0)),
        "form": draw(st.sampled_from(forms)),
        "seed": draw(SEEDS),
    }
    if noisy:
        options["noise_upper"] = draw(upper_noises())
        options["noise_lower"] = draw(lower_noises(min(spectrum)))
    d_x = draw(dimensions)
    if kind == "relaxed":
        shape = {"rate": draw(numbers(0.3, 1.5)), "ripple": draw(scales(0.3))}
        return relaxed_smooth(spectrum, d_x, **shape, frequency=draw(numbers(0.5, 3.0)), **options)
    options["weights"] = draw(numbers(0.2, 2.0))
    if kind == "quadratic":
        return quadratic(spectrum, d_x, **options)
    shape = {"strength": draw(numbers(0.1, 1.0)), "shift": draw(numbers(0.0, 1.5))}
    return nonquadratic(spectrum, d_x, **shape, **options)


@st.composite
def algorithms(
    draw: Any,
    curvature: float,
    terms: st.SearchStrategy[int] = st.integers(1, 5),
    decays: st.SearchStrategy[float] = numbers(0.0, 0.99),
) -> AccBO:
    """AccBO with every option; α l ≤ 1 and l at least the largest curvature."""
    scale = curvature * draw(numbers(1.0, 1.5))
    return AccBO(
        lower_step_size=draw(numbers(0.05, 1.0)) / scale,
        lower_momentum=draw(numbers(0.0, 0.95)),
        averaging=draw(numbers(0.05, 1.0)),
        momentum=draw(decays),
        upper_step_size=draw(numbers(0.001, 0.3)),
        neumann_terms=draw(terms),
        neumann_scale=scale,
        neumann_sampling=draw(st.sampled_from(("chained", "independent", "randomised"))),
        period=draw(st.sampled_from((None, None, 1, 2, 3))),
        lower_steps=draw(st.integers(1, 3)),
        order=draw(st.sampled_from(("simultaneous", "sequential"))),
    )


@st.composite
def cases(
    draw: Any,
    like: Array,
    *,
    shapes: tuple[tuple[int, ...], ...] = SHAPES,
    dtypes: tuple[str, ...] = ("float32", "float64"),
    small: bool = False,
) -> Case:
    """A case in the library of ``like``.

    ``small`` fixes dimensions, terms, the shape and the dtype (the last of each): an eager library
    that compiles for every shape and dtype anew would do little else.
    """
    dimensions = st.just(2) if small else st.integers(1, 5)
    problem = draw(problems(dimensions=dimensions))
    terms = st.just(3) if small else st.integers(1, 5)
    algorithm = draw(algorithms(problem.constants.curvature, terms))
    dtype = getattr(namespace(like), dtypes[-1] if small else draw(st.sampled_from(dtypes)))
    shape = shapes[-1] if small else draw(st.sampled_from(shapes))
    generator = np.random.default_rng(draw(SEEDS))
    x, y = (generator.standard_normal((*shape, d)) for d in (problem.d_x, problem.d_y))
    return Case(
        algorithm,
        *(move(part, like, dtype) for part in (problem, x, y)),
        noise=Tape(draw(SEEDS), lower_scale=draw(st.sampled_from((1.0, 0.3)))),
        steps=2 if small else draw(st.integers(2, 4)),
        warm_start=0 if small else draw(st.integers(0, 2)),
        first=1 if small else draw(st.integers(1, 3)),
    )
