"""A run is judged from the scalars that it logs: right ones pass, each mistake has its name."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accbo
from accbo.conformance.methods import METHODS
from accbo.tracing import Recorder, verify
from accbo.tracing.directions import factors
from accbo.tracing.fit import Values
from accbo.tracing.parts import Constants
from accbo.tracing.projection import Projector
from benchmarks.trace_cases import Case, declared, judged, right, seen_in_traces, write, wrong

WIDTH, NARROW = 48, 24
# seen, and not by their names: a mean over a batch of what is clipped, or solved for, sample by
# sample is no function of the means that a trace has
UNNAMED = {
    "StocBiO": {"mean of series", "lower gradient clipped"},
    "VRBO": {"conjugate gradients for the series", "hypergradient clipped"},
}
# further names: of what is the same on that run, or follows from the mistake
ALSO = {
    "clipping": {"ε in the norm"},
    "norm that underflows": {"no normalisation", "ε in the norm"},
    "old point at (x_{t−1}, y_t)": {"old point copied after the step"},
    "conjugate gradients for the series": {"one sample for all factors"},
    "x step normalised": {"hypergradient clipped"},
    "hypergradient clipped": {"x step normalised"},
    "y after x": {"no warm start"},
    "upper batch reused below": {"one batch for all inner steps"},
}
EVERYTHING = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def found(case: Case, tmp_path: Path) -> Any:
    return judged(case, tmp_path / "run.jsonl")


# --- directions and projections -------------------------------------------------------------------


def test_directions_to_the_bit() -> None:
    """The numbers that other languages must find (docs/traces.md)."""
    c, t = factors(0, "x", (3000, 5), 2)
    assert c.shape == (4, 2)
    assert t.shape == (1024, 2)
    places = (c[0, 0], 0, 0), (c[3, 1], 4, 3), (t[0, 0], 1, 0), (t[1023, 1], 5, 1023)
    for value, stream, index in places:
        assert float(value) == by_hand(0, stream, index)
    high = factors(2**64 - 1, "y", (1,), 1)[0]
    assert float(high[0, 0]) == by_hand(2**64 - 1, 2, 0)
    # SplitMix64's own first number from the seed 0 is the key of stream 0
    assert mixed(GOLDEN) == 0xE220A8397B1DCDAF
    assert np.array_equal(c, c.astype(np.float32))
    assert ((np.abs(c) >= 0.5) & (np.abs(c) < 1.5)).all()


GOLDEN = 0x9E3779B97F4A7C15


def mixed(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
    return word ^ (word >> 31)


def by_hand(seed: int, stream: int, index: int) -> float:
    key = mixed((seed + GOLDEN * (stream + 1)) % 2**64)
    word = mixed((key + GOLDEN * (index + 1)) % 2**64)
    size = 0.5 + (word >> 41) / 2**23
    return -size if word % 2 else size


def test_a_projection_is_the_sum_that_is_documented() -> None:
    leaves = [np.arange(2500.0) - 7, np.array([[2.0, -1.0], [0.5, 3.0]])]
    numbers = Projector(3, "y", (2500, 4), 2)(leaves)
    c, t = factors(3, "y", (2500, 4), 2)
    for k in range(2):
        long = sum(leaves[0][i] * c[i // 1024, k] * t[i % 1024, k] for i in range(2500))
        short = sum(v * c[3, k] * t[i, k] for i, v in enumerate(leaves[1].ravel()))
        assert numbers[1 + k] == pytest.approx(long + short, rel=1e-12)
    assert numbers[0] == pytest.approx(math.hypot(*map(np.linalg.norm, leaves)), rel=1e-15)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_neither_underflow_nor_overflow(scale: float) -> None:
    numbers = Projector(0, "x", (3,), 1)([scale * np.array([2.0, 3.0, 6.0])])
    assert numbers[0] == pytest.approx(7 * scale, rel=1e-15)
    long = Projector(0, "x", (2500,), 1)([np.full(2500, scale)])
    assert long[0] == pytest.approx(50 * scale, rel=1e-15)


# --- right runs and mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_runs_conform(method: str, dtype: str, tmp_path: Path) -> None:
    for seed in range(3):
        verdict = found(right(method, WIDTH, dtype, seed), tmp_path)
        assert verdict.departures == []
        judged_keys = sum(len(group.keys) for group in verdict.groups)
        assert judged_keys >= 10  # what is not judged cannot fail


@pytest.mark.parametrize("option", [
    {"order": "sequential"}, {"neumann_sampling": "independent"},
    {"neumann_sampling": "randomised"}, {"period": 3, "lower_steps": 2},
])  # fmt: skip
def test_every_convention_of_accbo(option: dict[str, Any], tmp_path: Path) -> None:
    case = right("AccBO", WIDTH)
    algorithm = accbo.AccBO(**{**vars_of(case.declared), **option})
    for seed in range(2):
        verdict = found(
            Case("AccBO", None, algorithm, algorithm, case.problem, 8, "float64", seed), tmp_path
        )
        assert verdict.departures == []
    other = declared("AccBO", "inner pair kept" if "period" not in option else None)
    if "period" in option or "order" in option or "neumann_sampling" in option:
        mixed = Case("AccBO", None, algorithm, declared("AccBO"), case.problem, 8)
        assert found(mixed, tmp_path).departures  # not what was declared
    assert other is not algorithm


def vars_of(algorithm: Any) -> dict[str, Any]:
    names = [name for name in algorithm.__dataclass_fields__ if name != "parts"]
    return {name: getattr(algorithm, name) for name in names}


@pytest.mark.parametrize("mistake", seen_in_traces("AccBO"))
def test_mistakes_of_accbo_have_their_names(mistake: str, tmp_path: Path) -> None:
    verdict = found(wrong("AccBO", mistake, WIDTH), tmp_path)
    assert verdict.departures
    assert mistake in verdict.names
    assert set(verdict.names) <= {mistake, *ALSO.get(mistake, ())}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "AccBO"])
def test_mistakes_of_the_rivals(method: str, tmp_path: Path) -> None:
    """A third of each catalogue, all of them in the nightly run."""
    missed, unseen = set(), set()
    names = seen_in_traces(method)
    for mistake in names if EVERYTHING else names[sum(map(ord, method)) % 3 :: 3]:
        verdict = found(wrong(method, mistake, NARROW), tmp_path)
        if not verdict.departures:
            unseen.add(mistake)
        elif mistake not in verdict.names:
            missed.add(mistake)
        assert set(verdict.names) <= {mistake, *ALSO.get(mistake, ())}
    assert missed <= UNNAMED.get(method, set())
    assert not unseen


# --- drifting constants ---------------------------------------------------------------------------


def test_a_decayed_step_is_reported_as_a_law(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hand_written(path, steps=60, eta=lambda t: 0.01 * 0.9 ** (t / 100))
    verdict = verify(path)
    (group,) = verdict.departures
    assert group.group.name == "step"
    (fitted,) = verdict.constants
    assert fitted.text == "η is 0.01·0.9^(t/100), declared 0.01"


def test_another_constant_is_reported_as_its_value(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hand_written(path, beta=0.85)
    (fitted,) = verify(path).constants
    assert fitted.text == "β is 0.85, declared 0.9"
    assert fitted.value == pytest.approx(0.85, abs=1e-9)


def test_a_sign_is_no_clamp(tmp_path: Path) -> None:
    """Its largest entry is one number too, and so is every other one."""
    for change, names in ((np.sign, []), (lambda m: np.clip(m, -0.7, 0.7), ["momentum clamped"])):
        hand_written(tmp_path / "run.jsonl", change=change)
        assert verify(tmp_path / "run.jsonl").names == names


def test_what_is_not_declared_is_fitted_and_no_departure(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hand_written(path, constants={"momentum": 0.9})
    verdict = verify(path)
    assert verdict.departures == []
    assert [one.text for one in verdict.constants] == ["η is 0.01, it is not declared"]


def test_power_laws_and_ranges() -> None:
    values = Values("momentum", "momentum", Constants({"momentum": 0.5}))
    t = np.arange(1, 40)
    values.take(t, 0.5 * (1.0 + t) ** -0.4, np.full(39, 1e-12), np.ones(39, bool))
    assert values.summary().text == "β is 0.5·(1 + t)^-0.4, declared 0.5"
    other = Values("momentum", "momentum", Constants())
    other.take(t, 0.5 + 0.1 * np.sin(t), np.full(39, 1e-12), np.ones(39, bool))
    assert "at t = 1" in other.summary().text


def hand_written(
    path: Path,
    *,
    steps: int = 20,
    eta: Any = lambda t: 0.01,
    beta: float = 0.9,
    constants: Any = None,
    log_old: bool = True,
    change: Any = lambda m: m,
) -> None:
    """A loop that logs x, m and h and nothing of the lower level."""
    rng = np.random.default_rng(5)
    x, x_old, m = rng.standard_normal(30), None, None
    declared_ = {"momentum": 0.9, "upper_step_size": 0.01} if constants is None else constants
    with Recorder(path, algorithm="AccBO", constants=declared_) as recorder:
        for t in range(steps):
            noise = rng.standard_normal(30)
            with recorder.step():
                new = np.tanh(x) + noise * x
                recorder.log(x=x)
                with recorder.part("new"):
                    recorder.log(h=new, upper_sample=t + 1)
                if m is None:
                    m = new
                else:
                    old = np.tanh(x_old) + noise * x_old
                    m = new + beta * (m - old)
                    if log_old:
                        with recorder.part("old"):
                            recorder.log(h=old, upper_sample=t + 1)
                m = change(m)
                recorder.log(momentum=m)
                x_old, x = x, x - eta(t) * m / np.linalg.norm(m)


def test_a_loop_that_logs_little_is_judged_on_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hand_written(path)
    verdict = verify(path)
    assert verdict.departures == []
    covered = {group.group.name for group in verdict.groups if group.judged}
    assert covered == {"momentum", "step", "pair", "fresh"}


def test_nothing_is_judged_where_nothing_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Recorder(path, algorithm="AccBO") as recorder:
        for _ in range(4):
            with recorder.step():
                recorder.log(x=np.ones(3))
    assert not verify(path).judged


def test_a_mistake_now_and_then_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hand_written(path, steps=300, eta=lambda t: 0.011 if t == 211 else 0.01)
    (group,) = verify(path).departures
    assert group.first == 211


# --- the file -------------------------------------------------------------------------------------


def test_the_file_is_lines_of_json_and_rotates(tmp_path: Path) -> None:
    case = right("AccBO", WIDTH)
    path = tmp_path / "run.jsonl"
    write(case, path)
    header, *rows = map(json.loads, path.read_text().splitlines())
    assert header["format"] == "accbo-trace"
    assert header["x"] == [WIDTH]
    assert [row["t"] for row in rows] == ["start", *range(9)]
    whole = verify(path)
    rng = np.random.default_rng(0)
    with Recorder(tmp_path / "cut.jsonl", algorithm="AccBO", rotate=300, buffer=1) as recorder:
        for _ in range(9):
            with recorder.step():
                recorder.log(x=rng.standard_normal(4))
    assert (tmp_path / "cut.2.jsonl").is_file()
    assert verify(tmp_path / "cut.jsonl").iterations == 9
    assert whole.iterations == 9
