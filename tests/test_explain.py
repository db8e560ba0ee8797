"""``accbo explain``: every part of a step of any algorithm, and the first of hers that is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import cli
from accbo.conformance import from_function, from_tree
from accbo.conformance.methods import METHODS
from accbo.conformance.mistakes.lines import LINES
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import load
from accbo.conformance.verdict.explain import BESIDE, NOT_HERE, explain
from accbo.conformance.verdict.intermediates import intermediates, line_of


def usual(method: str) -> Any:
    """The vector that is explained where none is named."""
    return next(each for each in load(method=method) if each.kind == "trajectory")


def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
    return algorithm.step(problem, state, sample)


def shown(*given: Any) -> dict[str, np.ndarray]:
    return {name: made.value for name, made in intermediates(*given).items()}


WANTED = {
    "AccBO": ("z", "y", "y_average", "series up to q = 0 at the old point", "h at the new point"),
    "SLIP": ("grad_x F", "cross term", "h", "momentum", "hvp G", "z", "y"),
    "SABA": ("grad_y_lower", "cross_lower", "grad_x_upper", "z", "tables.hvp_lower.mean"),
    "SUSTAIN": ("size", "decay", "lower_momentum", "power q = 1 at the new point", "momentum"),
    "VRBO": ("estimate (1)", "lower_estimate (2)", "h at the old point (1)", "y"),
    "TTSA": ("x_size", "y_size", "series", "h"),
    "StocBiO": ("grad_y G (1)", "power q = 2", "series", "h"),
}


@pytest.mark.parametrize("method", METHODS)
def test_all_that_is_computed_has_a_name_and_a_line(method: str) -> None:
    found = {}
    for vector in load(method=method)[::9]:
        given = vector.problem, vector.algorithm, vector.before(0), vector.samples[0]
        made = intermediates(*given)
        right = vector.algorithm.step(*given[:1], *given[2:])
        for name in ("x", "y"):
            assert np.array_equal(made[name].value, getattr(right, name), equal_nan=True)
        found |= made
    assert set(WANTED.get(method, ())) <= set(found)
    assert [name for name, made in found.items() if not line_of(LINES[method], made.part)] == []


@pytest.mark.parametrize("method", METHODS)
def test_what_is_right_is_not_marked(method: str) -> None:
    runner = Runner(from_function(step, parts=shown, algorithm=method), "numpy")
    text, trouble = explain(runner, usual(method), 1)
    assert not trouble
    assert "that is off" not in text
    assert "may show" not in text
    assert "·" not in text


def test_another_order_of_a_sum_is_not_off() -> None:
    """Rounding is allowed for; a thousand times as much is not."""

    def rounded(size: float) -> Any:
        def parts(*given: Any) -> dict[str, np.ndarray]:
            return {
                name: value * (1 + size) if name == "h" else value
                for name, value in shown(*given).items()
            }

        return parts

    for size, off in ((2.0**-52, False), (2.0**-42, True)):
        made = from_function(step, parts=rounded(size), algorithm="SLIP")
        text, _ = explain(Runner(made, "numpy"), usual("SLIP"), 1)
        assert ("that is off" in text) is off


def wrong(name: str) -> Any:
    """All intermediates and fields, with ``name`` and all that comes after it doubled."""

    def parts(*given: Any) -> dict[str, np.ndarray]:
        made = shown(*given)
        late = list(made)[list(made).index(name) :]
        return {each: 2 * value if each in late else value for each, value in made.items()}

    return parts


@pytest.mark.parametrize(
    ("method", "name", "line"),
    [
        ("AccBO", "z", "z_t = y_t + γ"),
        ("AccBO", "series up to q = 1 at the old point", "S ∇_y F = (1/l)"),
        ("AccBO", "cross term at the new point", "h_t = ∇_x F − ∇²_xy G"),
        ("SLIP", "hvp G", "z_{t+1} = z_t − ν"),
        ("SABA", "grad_x_upper", "estimate = new − stored_i + mean"),
        ("SUSTAIN", "grad_y G at the old point", "u_t = ∇_y G"),
        ("VRBO", "estimate (1)", "u += ∇_y G(p_i)"),
        ("StocBiO", "power q = 2", "z = (1/l) Σ"),
    ],
)
def test_the_first_that_is_off_is_marked(method: str, name: str, line: str) -> None:
    made = from_function(step, parts=wrong(name), algorithm=method)
    text, _ = explain(Runner(made, "numpy"), usual(method), 1)
    lines = text.split("\n")
    (mark,) = [index for index, each in enumerate(lines) if "that is off" in each]
    label = next(each for each in reversed(lines[:mark]) if not each.startswith(" "))
    assert label.startswith(f"{name} ")
    assert lines[mark + 1].startswith("  right: ")
    assert line in lines[mark + 1]


def labels(text: str) -> list[str]:
    """The quantities of a table, in order."""
    return [line.split("  ")[0] for line in text.split("\n")[4:] if line[:1].strip()]


@pytest.mark.parametrize("method", METHODS)
def test_the_usual_table_is_short_and_has_the_state(method: str) -> None:
    """Inner loops by their first and last turn, a series by its sum; the whole if asked for."""
    runner, vector = Runner(from_function(step, algorithm=method), "numpy"), usual(method)
    text, _ = explain(runner, vector, 1)
    assert len(text.split("\n")) <= 50
    named = labels(text)
    assert set(vector.fields) <= set(named)
    assert not any("power q" in name or "up to q" in name for name in named)
    whole, _ = explain(runner, vector, 1, verbose=True)
    given = vector.problem, vector.algorithm, vector.before(0), vector.samples[0]
    every = list(intermediates(*given))
    assert [name for name in labels(whole) if name in every] == every
    assert f"of {len(every)} quantities; --verbose" in text


@pytest.mark.parametrize(
    "name", ["power q = 2 at the old point (2)", "y (2)", "norm of the direction"]
)
def test_what_is_off_inside_of_a_loop_is_shown_with_what_is_beside_it(name: str) -> None:
    vector = usual("VRBO")
    made = from_function(step, parts=wrong(name), algorithm="VRBO")
    text, _ = explain(Runner(made, "numpy"), vector, 1)
    given = vector.problem, vector.algorithm, vector.before(0), vector.samples[0]
    every = list(intermediates(*given))
    place = every.index(name)
    named = labels(text)
    assert set(every[max(0, place - BESIDE) : place + BESIDE + 1]) <= set(named)
    assert named.index(name) < named.index("^ the first of what you show that is off")
    value = intermediates(*given)[name].value
    assert all(f"{entry:.17g}" in text for entry in np.ravel(value))  # with all its digits
    assert len(text.split("\n")) <= 60


def test_the_iteration_is_the_first_that_departs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.py"
    target.write_text(
        "from accbo.conformance import from_function\n"
        "def late(p, a, s, sample):\n"
        "    after = a.step(p, s, sample)\n"
        "    return after if s.iteration < 3 else after._replace(y=2 * after.y)\n"
        "late = from_function(late)\n"
        "right = from_function(lambda p, a, s, sample: a.step(p, s, sample))\n"
    )
    assert cli.main(["explain", f"{target}:late"]) == 0
    said = capsys.readouterr().out
    assert "iteration 3: AccBO" in said
    assert "y is off" not in said
    assert cli.main(["explain", f"{target}:right", "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "iteration 1: AccBO" in said
    assert NOT_HERE in said
    assert "power q = 1 at the new point" in said


def test_names_that_are_none_are_told() -> None:
    def parts(*given: Any) -> dict[str, Any]:
        return {"h at new point": np.zeros(2), "momentun": 1.0}

    text, _ = explain(Runner(from_function(step, parts=parts), "numpy"), usual("AccBO"), 1)
    assert "'h at new point', which is none of these; did you mean 'h at the new point'?" in text
    assert "'momentun', which is none of these; did you mean 'momentum'?" in text
    assert "parts() may show" in text


def test_what_parts_does_wrong_is_hers() -> None:
    def parts(*given: Any) -> Any:
        raise KeyError("lost")

    made = from_function(step, parts=parts)
    _, trouble = explain(Runner(made, "numpy"), usual("AccBO"), 1)
    assert trouble.startswith("parts() raised KeyError: 'lost'")
    assert "test_explain.py" in trouble


def test_nests_are_shown_as_well() -> None:
    class Nested:
        algorithm = "MASOBA"

        def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
            self.given, self.state_before = (problem, algorithm), state

        def step(self, sample: Any) -> None:
            self.sample = sample

        def state(self) -> dict[str, Any]:
            return {"x": self.state_before.x}

        def parts(self) -> dict[str, Any]:
            x, y = self.state_before.x, self.state_before.y
            return {"grad_y F": self.given[0].grad_y_upper(x, y, self.sample.upper_y)}

    text, trouble = explain(Runner(from_tree(Nested), "numpy"), usual("MASOBA"), 2)
    assert not trouble
    (row,) = [line for line in text.split("\n") if line.startswith("grad_y F ")]
    assert float(row.split()[-1]) == 0


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_the_usual_vector_is_one_that_is_covered(
    order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"mine_{order}.py"
    target.write_text(
        "from accbo.conformance import from_function\n"
        "mine = from_function(lambda p, a, s, sample: a.step(p, s, sample),\n"
        f'    conventions={{"order": "{order}", "neumann_sampling": "chained"}})\n'
    )
    assert cli.main(["explain", f"{target}:mine"]) == 0
    said = capsys.readouterr().out
    assert f"iteration 1: AccBO, {order}, chained, I, Q = " in said
