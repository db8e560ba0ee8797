"""The eight other algorithms, from section 9 of VECTORS.md and the pseudo-code it points to.

Each is a pair (start, step): the state after iteration 0, and after an iteration t ≥ 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accbo.conformance.vectors.proof.lists import (
    Numbers,
    Part,
    add,
    each,
    mean,
    row,
    rows,
    scale,
    sub,
)
from accbo.conformance.vectors.proof.parts import (
    Sample,
    descend,
    direction,
    hypergradient,
    normalised,
    plain,
)
from accbo.conformance.vectors.proof.problems import Problem

State = dict[str, Any]


def start_of(name: str) -> Callable[..., State]:
    """The start of the algorithm of this name."""
    return _ALGORITHMS[name][0]


def step_of(name: str) -> Callable[..., State]:
    """Its step."""
    return _ALGORITHMS[name][1]


# --- SLIP, BO-REP, MA-SOBA: a moving average above, one step on the linear system ---------------


def _moving(normalise: bool, moves_by_new: bool) -> tuple[Callable[..., State], ...]:
    """``moves_by_new``: x moves by m_t, else by m_{t−1}."""

    def advance(
        k: Any, problem: Problem, a: Sample, x: Any, y: Any, z: Any, by: Any, m: Any, sample: Sample
    ) -> State:
        eta, nu = k.number(a["upper_step_size"]), k.number(a["linear_step_size"])
        system = sub(
            problem.hvp_lower(x, y, z, sample["hessian"]),
            problem.grad_y_upper(x, y, sample["upper_y"]),
        )
        return {
            "x": normalised(k, x, by, eta) if normalise else plain(x, eta, by),
            "y": descend(k, problem, x, y, sample["lower"], k.number(a["lower_step_size"])),
            "z": plain(z, nu, system),
            "momentum": m,
        }

    def start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
        y = descend(k, problem, x, y, start["warm_start"], k.number(a["lower_step_size"]))
        z, first = [k.number(0.0) for _ in y], start["first"]
        pairs = zip(each(first["upper"]), each(first["cross"]), strict=True)
        m = mean(k, [direction(problem, x, y, z, *pair) for pair in pairs])
        by = m if moves_by_new else [k.number(0.0) for _ in x]
        return advance(k, problem, a, x, y, z, by, m, first)

    def step(k: Any, problem: Problem, a: Sample, state: State, sample: Sample, _: int) -> State:
        x, y, z, m = (state[name] for name in ("x", "y", "z", "momentum"))
        beta = k.number(a["momentum"])
        fresh = direction(problem, x, y, z, sample["upper"], sample["cross"])
        new = add(k, scale(beta, m), scale(1 - beta, fresh))
        return advance(k, problem, a, x, y, z, new if moves_by_new else m, new, sample)

    return start, step


# --- TTSA, SUSTAIN: sizes that shrink -----------------------------------------------------------


def _randomised(a: Sample) -> Sample:
    return {**a, "neumann_sampling": "randomised"}


def _ttsa_start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
    size = k.number(a["lower_step_size"]) * k.power(k.number(a["offset"]), -2, 5)
    y = descend(k, problem, x, y, start["warm_start"], size)
    return _ttsa_step(k, problem, a, {"x": x, "y": y}, start["first"], 0)


def _ttsa_step(k: Any, problem: Problem, a: Sample, state: State, sample: Sample, t: int) -> State:
    x, w_t = state["x"], k.number(a["offset"]) + t
    y = descend(
        k,
        problem,
        x,
        state["y"],
        sample["lower"],
        k.number(a["lower_step_size"]) * k.power(w_t, -2, 5),
    )
    size = k.number(a["upper_step_size"]) * k.power(w_t, -3, 5)
    return {"x": plain(x, size, hypergradient(k, problem, x, y, sample, _randomised(a))), "y": y}


def _sustain_start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
    size = k.number(a["lower_step_size"]) * k.power(k.number(a["offset"]), -1, 3)
    y = descend(k, problem, x, y, start["warm_start"], size)
    first = start["first"]
    samples = [
        {part: row(first[part], s) for part in ("upper", "cross", "hessian", "power")}
        for s in range(rows(first["upper"]))
    ]
    m = mean(k, [hypergradient(k, problem, x, y, one, _randomised(a)) for one in samples])
    u = problem.grad_y_lower(x, y, row(first["lower"], 0))
    return _sustain_move(k, a, x, y, u, m, 0)


def _sustain_step(
    k: Any, problem: Problem, a: Sample, state: State, sample: Sample, t: int
) -> State:
    new, old = (state["x"], state["y"]), (state["x_previous"], state["y_previous"])
    root = k.power(k.number(a["offset"]) + (t - 1), -1, 3)
    noise = row(sample["lower"], 0)

    def recursive(gradient: Callable[..., Numbers], before: Numbers, c: float) -> Numbers:
        decay = 1 - k.number(c) * (root * root)
        return add(k, gradient(*new), scale(decay, sub(before, gradient(*old))))

    u = recursive(
        lambda x, y: problem.grad_y_lower(x, y, noise),
        state["lower_momentum"],
        a["lower_averaging"],
    )
    m = recursive(
        lambda x, y: hypergradient(k, problem, x, y, sample, _randomised(a)),
        state["momentum"],
        a["upper_averaging"],
    )
    return _sustain_move(k, a, *new, u, m, t)


def _sustain_move(k: Any, a: Sample, x: Any, y: Any, u: Any, m: Any, t: int) -> State:
    root = k.power(k.number(a["offset"]) + t, -1, 3)
    return {
        "x": plain(x, k.number(a["upper_step_size"]) * root, m),
        "x_previous": x,
        "y": plain(y, k.number(a["lower_step_size"]) * root, u),
        "y_previous": y,
        "lower_momentum": u,
        "momentum": m,
    }


# --- StocBiO: every derivative a mean over its batch ----------------------------------------------


def _over(k: Any, gradient: Callable[[Part], Numbers], batch: Part) -> Numbers:
    return mean(k, [gradient(one) for one in each(batch)])


def _stocbio_lower(k: Any, problem: Problem, a: Sample, x: Any, y: Any, lower: Part) -> Numbers:
    for batch in each(lower):
        at = y
        gradient = _over(k, lambda one, at=at: problem.grad_y_lower(x, at, one), batch)  # type: ignore[misc]
        y = k.settled(plain(y, k.number(a["lower_step_size"]), gradient))
    return y


def _stocbio_start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
    y = _stocbio_lower(k, problem, a, x, y, start["warm_start"])
    return _stocbio_step(k, problem, a, {"x": x, "y": y}, start["first"], 0)


def _stocbio_step(
    k: Any, problem: Problem, a: Sample, state: State, sample: Sample, _: int
) -> State:
    x, l_ = state["x"], k.number(a["neumann_scale"])
    y = _stocbio_lower(k, problem, a, x, state["y"], sample["lower"])
    p = _over(k, lambda one: problem.grad_y_upper(x, y, one), sample["upper"])
    terms = [p]
    for batch in each(sample["hessian"]):
        at = p
        product = _over(k, lambda one, at=at: problem.hvp_lower(x, y, at, one), batch)  # type: ignore[misc]
        p = k.settled(sub(p, [entry / l_ for entry in product]))
        terms.append(p)
    z = k.settled([entry / l_ for entry in add(k, *terms)])
    above = _over(k, lambda one: problem.grad_x_upper(x, y, one), sample["upper"])
    below = _over(k, lambda one: problem.cross_lower(x, y, z, one), sample["cross"])
    return {"x": plain(x, k.number(a["upper_step_size"]), sub(above, below)), "y": y}


# --- VRBO: differences inside an inner loop -------------------------------------------------------


def _vrbo_batch(batch: Sample) -> list[Sample]:
    """The samples of a batch, each a sample of both levels."""
    return [
        {
            **{part: row(batch[part], i) for part in ("upper", "cross", "lower")},
            "hessian": {
                field: [factor[i] for factor in factors]
                for field, factors in batch["hessian"].items()
            },
        }
        for i in range(rows(batch["upper"]))
    ]


def _vrbo_start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
    y = descend(k, problem, x, y, start["warm_start"], k.number(a["lower_step_size"]))
    return _vrbo_step(k, problem, a, {"x": x, "y": y}, start["first"], 0)


def _vrbo_step(k: Any, problem: Problem, a: Sample, state: State, sample: Sample, _: int) -> State:
    a = {**a, "neumann_sampling": "chained"}
    x, y = state["x"], state["y"]
    large = _vrbo_batch(sample["large"])
    if large:
        u = mean(k, [problem.grad_y_lower(x, y, one["lower"]) for one in large])
        v = mean(k, [hypergradient(k, problem, x, y, one, a) for one in large])
    else:
        u, v = state["lower_estimate"], state["estimate"]
    old, new = (x, y), (k.settled(plain(x, k.number(a["upper_step_size"]), v)), y)
    inner = sample["inner"]

    def lower_change(one: Sample) -> Numbers:
        return sub(*(problem.grad_y_lower(*point, one["lower"]) for point in (new, old)))

    def upper_change(one: Sample) -> Numbers:
        return sub(*(hypergradient(k, problem, *point, one, a) for point in (new, old)))

    for i in range(rows(inner["upper"])):
        batch = _vrbo_batch({part: row(inner[part], i) for part in inner})
        u = k.settled(add(k, u, mean(k, [lower_change(one) for one in batch])))
        v = k.settled(add(k, v, mean(k, [upper_change(one) for one in batch])))
        old, new = new, (new[0], k.settled(plain(new[1], k.number(a["lower_step_size"]), u)))
    return {"x": old[0], "y": old[1], "lower_estimate": u, "estimate": v}


# --- SABA: tables ---------------------------------------------------------------------------------

_BELOW, _ABOVE = ("grad_y_lower", "hvp_lower", "cross_lower"), ("grad_y_upper", "grad_x_upper")


def _saba_terms(problem: Problem, x: Any, y: Any, z: Any, below: int, above: int) -> State:
    i, j = {"index": [below]}, {"index": [above]}
    return {
        "grad_y_lower": problem.grad_y_lower(x, y, i),
        "hvp_lower": problem.hvp_lower(x, y, z, i),
        "cross_lower": problem.cross_lower(x, y, z, i),
        "grad_y_upper": problem.grad_y_upper(x, y, j),
        "grad_x_upper": problem.grad_x_upper(x, y, j),
    }


def _saba_start(k: Any, problem: Problem, a: Sample, x: Any, y: Any, start: Sample) -> State:
    y = descend(k, problem, x, y, start["warm_start"], k.number(a["lower_step_size"]))
    z = [k.number(0.0) for _ in y]
    n, m = len(problem.data["lower_labels"]), len(problem.data["upper_labels"])
    below = [_saba_terms(problem, x, y, z, i, 0) for i in range(n)]
    above = [_saba_terms(problem, x, y, z, 0, j) for j in range(m)]
    tables = {name: [terms[name] for terms in below] for name in _BELOW}
    tables |= {name: [terms[name] for terms in above] for name in _ABOVE}
    means = {name: mean(k, table) for name, table in tables.items()}
    return _saba_move(k, a, x, y, z, means, tables, means)


def _saba_step(k: Any, problem: Problem, a: Sample, state: State, sample: Sample, _: int) -> State:
    x, y, z = state["x"], state["y"], state["z"]
    i, j = int(sample["lower"]["index"][0][0]), int(sample["upper"]["index"][0])
    estimates, tables, means = {}, {}, {}
    for name, new in _saba_terms(problem, x, y, z, i, j).items():
        table, index = state[f"tables.{name}.stored"], i if name in _BELOW else j
        change, before = sub(new, table[index]), state[f"tables.{name}.mean"]
        estimates[name] = add(k, change, before)
        tables[name] = [new if at == index else entry for at, entry in enumerate(table)]
        means[name] = add(k, before, [entry / k.number(len(table)) for entry in change])
    return _saba_move(k, a, x, y, z, estimates, tables, means)


def _saba_move(
    k: Any, a: Sample, x: Any, y: Any, z: Any, estimates: State, tables: State, means: State
) -> State:
    upper = sub(estimates["grad_x_upper"], estimates["cross_lower"])
    system = sub(estimates["hvp_lower"], estimates["grad_y_upper"])
    return {
        "x": plain(x, k.number(a["upper_step_size"]), upper),
        "y": plain(y, k.number(a["lower_step_size"]), estimates["grad_y_lower"]),
        "z": plain(z, k.number(a["linear_step_size"]), system),
        **{f"tables.{name}.stored": table for name, table in tables.items()},
        **{f"tables.{name}.mean": entry for name, entry in means.items()},
    }


_ALGORITHMS: dict[str, tuple[Callable[..., State], ...]] = {
    "SLIP": _moving(normalise=True, moves_by_new=True),
    "BOREP": _moving(normalise=True, moves_by_new=True),
    "MASOBA": _moving(normalise=False, moves_by_new=False),
    "TTSA": (_ttsa_start, _ttsa_step),
    "SUSTAIN": (_sustain_start, _sustain_step),
    "StocBiO": (_stocbio_start, _stocbio_step),
    "VRBO": (_vrbo_start, _vrbo_step),
    "SABA": (_saba_start, _saba_step),
}
