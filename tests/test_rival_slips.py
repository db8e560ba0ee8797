"""Slips of the rivals as a stranger makes them: the plain programs with other words in one place.

Each stands in the catalogue in substance, and was not named: a number that must be read off, one
step size of several, one table of five, one constant, a norm without care, a sum over samples.
"""

from __future__ import annotations

from typing import Any

import pytest

from accbo.conformance import check
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import load
from accbo.conformance.verdict.locate import offending
from tests.catalogue_sweep import named
from tests.wrong_programs import SOURCE, Program, factory

LOWER, TTSA_X = "p.grad_y_lower(x, y, pi)", "a.upper_step_size / (a.offset + t) ** 0.6 * d"
SUSTAIN_Y = 's["y"] = y - a.lower_step_size * size * s["lower_momentum"]'
ABOVE = "mean([p.grad_y_upper(x, y, xi) for xi in rows(sample.upper)])"
BELOW = "mean([p.grad_y_lower(x, y, one.lower)"
OF_BATCH = "mean([p.grad_y_lower(x, y, pi) for pi in rows(batch)])"
NAMED = {  # what stands there, what stands there instead, the name
    "TTSA, a threshold": (
        LOWER,
        f"[g * min(1, 1.5 / np.linalg.norm(g)) for g in [{LOWER}]][0]",
        "lower gradient clipped",
    ),
    "SABA, one table": (
        "average + change / len(stored)",
        'average + (0 if name == "hvp_lower" else change) / len(stored)',
        "table mean not updated",
    ),
    "StocBiO, one sum": (f"v = {ABOVE}", f"v = sum({ABOVE[5:]}", "sum for mean"),
    "StocBiO, roundings": (
        OF_BATCH,
        f"{OF_BATCH}.astype(np.float32).astype(y.dtype)",
        "silent float32",
    ),
    "SABA, rows": (
        "stored[index] = new",
        "stored[index] = new.astype(np.float32)",
        "silent float32",
    ),
    "TTSA, a norm": (TTSA_X, f"{TTSA_X} / np.linalg.norm(d)", "x step normalised"),
    "VRBO, a decay": (
        "p.grad_y_lower(x, y, one.lower)",
        "(p.grad_y_lower(x, y, one.lower) + 0.003 * y)",
        "weight decay on y",
    ),
    "VRBO, one level": (f"return {BELOW}", f"return sum({BELOW[5:]}", "sum for mean"),
    "SUSTAIN, a decay outside": (
        SUSTAIN_Y,
        SUSTAIN_Y.replace('s["lower', '(0.07 * y + s["lower') + ")",
        "weight decay on y",
    ),
    "SUSTAIN, one size": (SUSTAIN_Y, SUSTAIN_Y.replace("* size ", ""), "one fixed step size"),
    "SUSTAIN, one clock": (
        "(a.offset + t - 1) ** (2 / 3)",
        "(a.offset + t) ** (2 / 3)",
        "sizes of another iteration",
    ),
}
QUICK = 3  # of them


def slip(method: str, right: str, wrong: str) -> Any:
    """A program of ``method`` with ``wrong`` wherever ``right`` stood."""
    assert right in SOURCE
    space: dict[str, Any] = {}
    exec(compile(SOURCE.replace(right, wrong), "slip", "exec"), space)
    name = method.lower()
    return factory(Program(method, space[name], space[f"{name}_start"]))


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(which, marks=[pytest.mark.slow] if index >= QUICK else [])
        for index, which in enumerate(NAMED)
    ],
)
def test_it_is_named(which: str) -> None:
    right, wrong, name = NAMED[which]
    found = check(slip(which.partition(",")[0], right, wrong), on_fail="return")
    assert (found.exit_code, found.names[:1]) == (1, ((name,),))


@pytest.mark.slow
def test_a_pair_with_a_number_that_is_read_off() -> None:
    """The decay is inside both gradients of the momentum below, the other mistake above."""
    cross = "p.cross_lower(x, {}, z, sample.cross)"
    decayed = slip("SUSTAIN", cross.format("y"), cross.format("0 * y"))

    def lower(problem: Any) -> Any:
        class Decayed:
            def __getattr__(self, name: str) -> Any:
                return getattr(problem, name)

            def grad_y_lower(self, x: Any, y: Any, pi: Any) -> Any:
                return problem.grad_y_lower(x, y, pi) + 5e-3 * y

        return Decayed()

    class Both(decayed):  # type: ignore[misc]
        def __init__(self, problem: Any, a: Any, state: Any) -> None:
            super().__init__(lower(problem), a, state)

        @classmethod
        def start(cls, problem: Any, a: Any, x: Any, y: Any, start: Any) -> Any:
            return decayed.start(lower(problem), a, x, y, start)

    found = check(Both, on_fail="return")
    assert found.names[:1] == (("cross derivative at the wrong point", "weight decay on y"),)


@pytest.mark.slow
def test_momenta_that_start_at_zero() -> None:
    start = 's["momentum"] = mean([drawn(p, a, x, y, one) for one in cells(start.first, "lower")])'
    zero = f'{start}; s["momentum"] = 0 * x; s["lower_momentum"] = 0 * y'
    found = check(slip("SUSTAIN", start, zero), on_fail="return")
    assert found.names[:1] == (("momentum from zero",),)


def test_a_mistake_that_shows_where_another_one_reads_a_derivative() -> None:
    """At Q = 1 the series has no Hessian in it: conjugate gradients do, whichever it is."""
    pair = ("conjugate gradients for the series", "Gauss-Newton for the Hessian")
    assert named("TTSA", pair, "in both").first


# --- in some iterations alone -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a norm by squares, at the edge
def test_every_second_iteration() -> None:
    at_times = f"{TTSA_X} / (np.linalg.norm(d) if t % 2 else 1)"
    found = check(slip("TTSA", TTSA_X, at_times), on_fail="return")
    assert found.names == (("x step normalised",),)
    assert "matches “x step normalised” where t mod 2 = 1 alone" in found.text()


@pytest.mark.slow
def test_what_is_wrong_at_times_and_no_known_mistake_is_not_named() -> None:
    found = check(slip("TTSA", TTSA_X, f"{TTSA_X} * (1 + t % 2)"), on_fail="return")
    assert (found.exit_code, found.names) == (1, ())


# --- what is made of another wrong quantity, unseen, is not accused -----------------------------


@pytest.mark.parametrize(
    ("method", "right", "wrong", "quantities"),
    [
        (
            "VRBO",
            's["lower_estimate"] = lower_mean(p, x, y, sample.large)',
            's["lower_estimate"] = 2 * lower_mean(p, x, y, sample.large)',
            ("lower_estimate", "y"),  # each is made of the other's values inside the loop
        ),
        (
            "VRBO",
            's["x"] = x - a.upper_step_size * s["estimate"]\n    old',
            's["x"] = x - 2 * a.upper_step_size * s["estimate"]\n    old',
            ("x",),
        ),
        (
            "SABA",
            "p.hvp_lower(x, y, z, below)",
            "2 * p.hvp_lower(x, y, z, below)",
            ("tables.hvp_lower.stored", "tables.hvp_lower.mean"),
        ),
    ],
)
def test_the_quantity(method: str, right: str, wrong: str, quantities: tuple[str, ...]) -> None:
    runner = Runner(slip(method, right, wrong), "numpy")
    seen = [one for vector in load(method=method) for one in runner.observe(vector)]
    assert offending([one for one in seen if not one.missing]) == (quantities, "")
