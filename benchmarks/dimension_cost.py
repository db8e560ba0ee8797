"""What a step costs and holds against d: without matrices, with them, NumPy and JAX.

One run (R = 1), Q = 10, chained, every noise switched on, samples drawn beforehand.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from tqdm import tqdm

from accbo import AccBO, AccBOSample, AccBOState, Tape, move, run
from accbo._arrays import row
from accbo.problems import LowerNoise, UpperNoise
from accbo.run import BLOCK_BYTES, BLOCK_STEPS
from accbo.sampling import TapeStream, sample_bytes
from benchmarks.case import Case
from benchmarks.dimension_plan import LEAST, Plan
from benchmarks.matrix_free import Chain, dense
from benchmarks.timing import Times, measure
from benchmarks.variants import Variant, check

ALGORITHM = AccBO(
    lower_step_size=0.05,
    lower_momentum=0.7,
    averaging=0.2,
    momentum=0.9,
    upper_step_size=0.01,
    neumann_terms=10,
    neumann_scale=2.5,
)
FITTED = 3  # the largest sizes, none below ``LEAST``, on which a growth exponent is fitted
FREE, DENSE = "matrix-free", "dense"


class Sized(NamedTuple):
    """One size: what ``variants.check`` and ``timing.measure`` read of a ``Case``."""

    replicates: int
    dimension: int  # the larger one
    problem: Chain
    algorithm: AccBO
    state: AccBOState
    block: AccBOSample
    steps: int  # in a block, as ``accbo.run`` cuts them
    stream: TapeStream  # for timing the drawing


def study(plan: Plan, with_jax: bool) -> dict[str, Any]:
    """Rows of times, rows of memory, and growth exponents, ready for JSON."""
    sizes = [(d, d) for d in plan.together]
    sizes += [(d, LEAST) for d in plan.apart if d > LEAST]
    sizes += [(LEAST, d) for d in plan.apart if d > LEAST]
    prepared = []
    for d_x, d_y in tqdm(sizes, desc="compiling, comparing", unit="size"):
        case = build(d_x, d_y)
        names = (FREE, DENSE) if d_x == d_y and d_x in plan.dense else (FREE,)
        variants = _variants(case, names, with_jax)
        check(cast(Case, case), variants)
        prepared.append((case, variants))
    times = _measure(plan, prepared)
    rows = [
        _row(case, name, time)
        for (case, _), found in zip(prepared, times, strict=True)
        for name, time in found.items()
    ]
    memory = [
        {"d": d, "form": form, "bytes": peak(d, form)}
        for form, dimensions in ((FREE, plan.together), (DENSE, plan.dense))
        for d in tqdm(dimensions, desc=f"memory, {form}", unit="size")
    ]
    return {"cost": rows, "memory": memory, "growth": growth(rows, memory)}


def chain(d_x: int, d_y: int) -> Chain:
    """The instance that is timed."""
    return Chain(
        d_x,
        d_y,
        noise_upper=UpperNoise(0.1, 0.1, 0.1, 0.1),
        noise_lower=LowerNoise(0.1, 0.1, 0.1),
    )


def build(d_x: int, d_y: int) -> Sized:
    """Problem, state after iteration 0 and one block of samples of a single run."""
    problem = chain(d_x, d_y)
    x, y = np.zeros((1, d_x)), np.zeros((1, d_y))
    stream = Tape(0).open(x)
    layout = ALGORITHM.draw(problem)
    steps = max(1, min(BLOCK_STEPS, BLOCK_BYTES // sample_bytes(layout, 1)))
    start = stream.start(ALGORITHM.draw_start(problem, 3, 2))
    return Sized(
        replicates=1,
        dimension=max(d_x, d_y),
        problem=problem,
        algorithm=ALGORITHM,
        state=ALGORITHM.init(problem, x, y, start),
        block=stream.block(layout, steps),
        steps=steps,
        stream=stream,
    )


def peak(d: int, form: str) -> int:
    """Bytes held at the peak of iterations 0 and 1, the problem's own included."""
    x, y = np.zeros((1, d)), np.zeros((1, d))
    tracemalloc.start()
    try:
        problem = chain(d, d) if form == FREE else dense(chain(d, d))
        tracemalloc.reset_peak()  # what only building a dense problem needs does not count
        run(ALGORITHM, problem, x, y, steps=2, progress=False)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(
    rows: Sequence[dict[str, Any]], memory: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Exponents p of cost ∝ d^p over the ``FITTED`` largest sizes of every curve."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for each in rows:
        for along in _along(each["d_x"], each["d_y"]):
            key = (each["variant"], along)
            curves.setdefault(key, []).append((max(each["d_x"], each["d_y"]), each["us_min"]))
    for each in memory:
        curves.setdefault((f"bytes, {each['form']}", "d_x = d_y"), []).append(
            (each["d"], each["bytes"])
        )
    found = []
    for (what, along), points in curves.items():
        last = sorted(point for point in points if point[0] >= LEAST)[-FITTED:]
        if len(last) < 2:
            continue
        sizes, values = np.log(np.array(last, dtype=float)).T
        found.append(
            {
                "what": what,
                "along": along,
                "from": last[0][0],
                "to": last[-1][0],
                "exponent": float(np.polyfit(sizes, values, 1)[0]),
            }
        )
    return found


def _along(d_x: int, d_y: int) -> list[str]:
    """The curves that a size lies on."""
    names = {"d_x = d_y": d_x == d_y, "d_x alone": d_y == LEAST, "d_y alone": d_x == LEAST}
    return [name for name, belongs in names.items() if belongs]


def _measure(plan: Plan, prepared: list[tuple[Sized, list[Variant]]]) -> list[dict[str, Times]]:
    """Times of every size; there and back, so that a slow minute does not hit one size alone."""
    best: list[dict[str, Times]] = [{} for _ in prepared]
    total = 100 * plan.sweeps * len(prepared)
    with tqdm(total=total, unit="%", bar_format="{l_bar}{bar}| {elapsed}") as bar:
        for sweep in range(plan.sweeps):
            order = range(len(prepared)) if sweep % 2 == 0 else reversed(range(len(prepared)))
            for index in order:
                case, variants = prepared[index]
                bar.set_description(f"timing d_x={case.problem.d_x} d_y={case.problem.d_y}")
                found = measure(
                    cast(Case, case), variants, plan.seconds, lambda share: bar.update(100 * share)
                )
                for name, times in found.items():
                    best[index][name] = min(times, best[index].get(name, times))
    return best


def _row(case: Sized, name: str, times: Times) -> dict[str, Any]:
    return {
        "d_x": case.problem.d_x,
        "d_y": case.problem.d_y,
        "variant": name,
        "us_min": times.minimum,
        "us_median": times.median,
        "rounds": times.rounds,
    }


def _variants(case: Sized, forms: Sequence[str], with_jax: bool) -> list[Variant]:
    found = []
    for form in forms:
        problem = case.problem if form == FREE else dense(case.problem)
        found.append(Variant(f"numpy, {form}", "numpy", _loop(case, problem), False))
        if with_jax:
            found.append(Variant(f"jax, {form}", "jax", _scan(case, problem), True))
    return found


def _loop(case: Sized, problem: Any) -> Callable[[int], Any]:
    def run(steps: int) -> Any:  # the loop of accbo.run
        state = case.state
        for index in range(steps):
            state = case.algorithm.step(problem, state, row(case.block, index))
        return state

    return run


def _scan(case: Sized, problem: Any) -> Callable[[int], Any]:
    import jax
    import jax.numpy as jnp

    from accbo.run import _Scan, _Segment

    like = jnp.zeros(1)
    engine = _Scan(case.algorithm, move(problem, like), {})
    state, block = move(case.state, like), move(case.block, like)
    segment = _Segment(first=1, refresh=True, groups=1, length=case.steps, recorded=False)

    def run(_: int) -> Any:  # the block as accbo.run carries it out
        return jax.block_until_ready(engine.advance(state, block, segment)[0])

    return run
