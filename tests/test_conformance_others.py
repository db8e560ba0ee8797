"""The oracle for the algorithms beside AccBO: right ones conform, wrong ones are named."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from accbo import algorithms
from accbo._arrays import to_host
from accbo.cli import main
from accbo.conformance import check, from_function
from accbo.conformance.as_tests import VERDICT, AsTests
from accbo.conformance.check import select
from accbo.conformance.methods import METHODS, catalogue
from accbo.conformance.running.observation import Observation, departs, departures
from accbo.conformance.running.observe import Runner
from accbo.conformance.running.results import observations, read_results
from accbo.conformance.vectors.build import FOLDER, _differing
from accbo.conformance.vectors.conditions import run
from accbo.conformance.vectors.files import read_vectors
from accbo.conformance.vectors.generate import exact, make
from accbo.conformance.vectors.lint import lint
from accbo.conformance.vectors.long import LONG_RUN
from accbo.conformance.vectors.reading import VectorError
from accbo.conformance.vectors.sets import groups_of
from accbo.conformance.vectors.vector import SET, Vector, as_fields, as_state, encode, file_of, load
from accbo.conformance.verdict.judge import judge
from accbo.conformance.verdict.report import OTHER, PASS
from accbo.namespaces import like, move_to
from accbo.rounding import norms
from tests.backends import need
from tests.hand_written import factory
from tests.support import evidence
from tests.variants import implementation

OTHERS = list(METHODS)[1:]
FAULTS = [(method, name) for method in OTHERS for name in catalogue(method)]
WAYS = 1  # of a fault that are tried beside its plainest


def observed(factory: Any, name: str) -> list[Observation]:
    runner = Runner(factory, "numpy")
    vectors = evidence(factory.algorithm, name)
    return [one for vector in vectors for one in runner.observe(vector)]


def only_x(one: Observation) -> Observation:
    """What an implementation that shows x alone would have shown."""
    return dataclasses.replace(one, states=tuple({"x": state["x"]} for state in one.states))


# --- right, and wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("method", OTHERS)
def test_the_reference_conforms_on_every_case(method: str) -> None:
    found = check(implementation(lambda algorithm: [algorithm], method), name="mine")
    assert found.conforms
    assert set(found.counts) == {PASS}
    assert found.algorithm == method
    assert found.counts[PASS] > len(load(method=method))
    assert found.not_shown == ()


def in_turn() -> list[Any]:
    """Every mistake in the first and the last algorithm that has it; in the others slow."""
    having: dict[str, list[str]] = {}
    for method, name in FAULTS:
        having.setdefault(name, []).append(method)
    ends = {(method, name) for name, all_ in having.items() for method in (all_[0], all_[-1])}
    return [pytest.param(*each, marks=[] if each in ends else pytest.mark.slow) for each in FAULTS]


@pytest.mark.parametrize(("method", "name"), in_turn())
def test_every_fault_is_rejected_and_named(method: str, name: str) -> None:
    fault = catalogue(method)[name]
    made = implementation(lambda a: [one(a) for one in fault.variants(a)[0]], method)
    seen = observed(made, name)
    for given, joint in ((seen, JOINT), (list(map(only_x, seen)), {**JOINT, **JOINT_IN_X})):
        found = judge(given, implementation="mine", strict=True)
        if given is not seen and (method, name) in NOT_IN_X:
            assert found.exit_code == 0
            continue
        assert found.exit_code == 1
        assert found.severity == OTHER or fault.edge
        assert (name,) in found.names
        others = {other for names in found.names for other in names} - {name}
        assert others <= joint.get((method, name), set()), others
        assert f"{name} (" in found.text()


# x moves by the average, or by the v, that was there before: what the step makes shows in it later
NOT_IN_X = {
    ("MASOBA", "cross derivative transposed"),
    ("MASOBA", "y projected"),
    ("VRBO", "cross derivative transposed"),
}
# there are no samples for a wrong refresh
JOINT = {("BOREP", "never refreshes"): {"period off by one"}}
# what x alone cannot tell apart: there it does not move on z in a single step
JOINT_IN_X = {("MASOBA", "sign of the implicit term"): {"z step with the wrong sign"}}


def until_two_depart(runner: Runner, vectors: Sequence[Vector]) -> list[Observation]:
    seen: list[Observation] = []
    off = 0
    for vector in sorted(vectors, key=lambda vector: vector.kind != "trajectory"):
        seen += (these := runner.observe(vector))
        off += any(departs(found) for one in these for found in departures(one))
        if off == 2:
            break
    return seen


@pytest.mark.parametrize(("method", "name"), FAULTS)
def test_every_way_to_make_a_fault_is_named(method: str, name: str) -> None:
    """The other ways, on trajectories first, until two cases depart."""
    fault = catalogue(method)[name]
    typical = load(method=method)[0].algorithm
    count = len(fault.variants(typical))
    for index in range(1, count, max(1, count // WAYS)):
        made = implementation(
            lambda a, index=index: [one(a) for one in fault.variants(a)[index]],  # type: ignore[misc]
            method,
        )
        runner = Runner(made, "numpy")
        seen = until_two_depart(runner, load(method=method))
        found = judge(seen, implementation="mine", strict=True)
        assert found.exit_code == 1
        assert (name,) in found.names, index


# --- arrangements that are the same mathematics ------------------------------------------------


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("seed", range(6))
def test_no_rearrangement_is_accused(method: str, seed: int) -> None:
    """Hand-written loops: other sums, work in place, one replicate after the other."""
    found = check(factory(method, seed), on_fail="return", strict=True)
    assert found.conforms, found.text(3)
    assert found.counts[PASS] > len(load(method=method))
    assert found.names == ()


@pytest.mark.parametrize(
    ("wrong", "name", "methods"),
    [
        ("sign", "sign of the implicit term", OTHERS),
        ("leak", "upper gradient leaks", OTHERS),
        ("no zeroing", "no zeroing between inner steps", ["BOREP", "VRBO", "StocBiO"]),
        ("another index", "control variate from another index", ["SABA"]),
        ("another q", "different random index at the two points", ["SUSTAIN"]),
        ("two old", "two-iterations-old momentum", ["SUSTAIN"]),
        ("old is new", "old point copied after the step", ["SUSTAIN"]),
        ("blind", "first difference does not see x move", ["VRBO"]),
    ],
)
def test_a_mistake_in_the_hand_written_loops_is_named(
    wrong: str, name: str, methods: list[str]
) -> None:
    """Programs that share nothing with the catalogue's."""
    for method in methods:
        found = check(factory(method, 5, wrong), on_fail="return")
        assert found.exit_code == 1
        assert found.names == ((name,),), method
        assert found.algorithm == method


def of_new_y(problem: Any, algorithm: Any, state: Any, y: Any, sample: Any) -> Any:
    """z_{t+1} at the new y, written out."""
    y_next = y - algorithm.lower_step_size * problem.grad_y_lower(
        state.x, y, {key: leaf[0] for key, leaf in sample.lower.items()}
    )
    slope = problem.hvp_lower(state.x, y_next, state.z, sample.hessian)
    pull = slope - problem.grad_y_upper(state.x, y_next, sample.upper_y)
    return state.z - algorithm.linear_step_size * pull


@pytest.mark.parametrize("in_the_start", [False, True])
def test_z_at_the_new_y_is_named_in_the_start_as_well(in_the_start: bool) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        z = of_new_y(problem, algorithm, state, state.y, sample)
        return algorithm.step(problem, state, sample)._replace(z=z)

    def start(problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> Any:
        after = algorithm.init(problem, x, y, samples)
        if not in_the_start:
            return after
        y = algorithm.warm_start(problem, x, y, samples.warm_start)
        before = after._replace(x=x, z=0 * after.z)
        return after._replace(z=of_new_y(problem, algorithm, before, y, samples.first))

    made = from_function(step, start=start, batched=True, algorithm="SLIP")
    found = check(made, on_fail="return")
    assert found.names == (("z at the new point",),)


def test_a_pair_is_named_where_one_of_it_moves_nothing_on_its_own() -> None:
    """With one entry in x a normalised step sees nothing of a wrong average, a plain one does."""

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        after = algorithm.step(problem, state, sample)
        weight = algorithm.momentum
        fresh = (after.momentum - weight * state.momentum) / (1 - weight)
        m = (1 - weight) * state.momentum + weight * fresh
        return after._replace(momentum=m, x=state.x - algorithm.upper_step_size * m)

    found = check(from_function(step, batched=True, algorithm="BOREP"), on_fail="return")
    assert found.names == (("momentum weights swapped", "no normalisation"),)


def test_a_weight_decay_is_read_off_several_inner_steps() -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        y = state.y
        for index in range(len(next(iter(sample.lower.values())))):
            pi = {key: leaf[index] for key, leaf in sample.lower.items()}
            slope = problem.grad_y_lower(state.x, y, pi) + 3e-3 * y
            y = y - algorithm.lower_step_size * slope
        return algorithm.step(problem, state, sample)._replace(y=y)

    made = from_function(step, batched=True, algorithm="BOREP")
    assert check(made, on_fail="return").names == (("weight decay on y",),)


def test_what_is_in_no_catalogue_is_located_and_not_named() -> None:
    found = check(factory("TTSA", 5, "two steps"), on_fail="return")
    assert found.exit_code == 1
    assert found.names == ()
    assert found.offending == ("y",)
    assert "no mistake of the catalogue, and no two of them" in found.text()


@pytest.mark.parametrize(
    "method", ["SLIP", *(pytest.param(each, marks=pytest.mark.slow) for each in ("SABA", "VRBO"))]
)
def test_single_precision_inside_is_named(method: str) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        single, double = (np.zeros(1, dtype) for dtype in (np.float32, np.float64))
        given = (move_to(part, single) for part in (problem, state, sample))
        after = algorithm.step(*given)
        assert after.x.dtype == np.float32
        return move_to(after, double)

    found = check(from_function(step, batched=True, algorithm=method), on_fail="return")
    assert found.exit_code == 1
    assert found.names == (("silent float32",),)


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("SLIP", "z"),
        ("SLIP", "x"),
        ("SABA", "tables.hvp_lower.mean"),
        ("SUSTAIN", "lower_momentum"),
        ("VRBO", "estimate"),
    ],
)
def test_a_wrong_field_is_located(method: str, field: str) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        fields = as_fields(algorithm.step(problem, state, sample))
        fields[field] = fields[field] * (1 + 1e-9)
        return as_state(method, fields, state.iteration + 1)

    found = check(from_function(step, batched=True, algorithm=method), on_fail="return")
    assert found.exit_code == 1
    assert found.names == ()
    assert field in found.offending


# --- which algorithm ------------------------------------------------------------------------


def right(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
    return algorithm.step(problem, state, sample)


def test_the_oracle_knows_all_nine() -> None:
    shipped = {name for name in algorithms.__all__ if f"{name}State" in algorithms.__all__}
    assert set(METHODS) == shipped
    assert len(METHODS) == 9


def test_the_catalogues_hold_what_was_found_in_published_code() -> None:
    found = {
        "SABA": ["control variate from another index"],
        "SUSTAIN": [
            "two-iterations-old momentum",
            "old point copied after the step",
            "different random index at the two points",
        ],
        "StocBiO": ["no zeroing between inner steps", "series from q = 1"],
        "BOREP": ["no zeroing between inner steps", "norm per block"],
        "MASOBA": ["upper gradient leaks", "updates one after the other"],
        "VRBO": ["first difference does not see x move", "two-iterations-old estimate"],
        "TTSA": ["random term without Q"],
    }
    for method, names in found.items():
        assert all(catalogue(method)[name].found for name in names), method
    for method, name in FAULTS:
        fault = catalogue(method)[name]
        assert fault.name == name
        assert all((fault.part, fault.wrong, fault.right, fault.later))
        assert {"upper gradient leaks", "sign of the implicit term"} <= set(catalogue(method))


@pytest.mark.parametrize("name", ["SUSTAN", "sustein"])
def test_an_unknown_algorithm_is_answered_with_the_nearest(name: str) -> None:
    message = rf"there is no algorithm '{name}'; did you mean SUSTAIN\? Known: AccBO, SLIP"
    with pytest.raises(ValueError, match=message):
        check(from_function(right), algorithm=name)
    with pytest.raises(ValueError, match=message):
        check(from_function(right, algorithm=name))
    with pytest.raises(ValueError, match=message):
        catalogue(name)


def test_the_published_spelling_is_understood() -> None:
    for spelling in ("BO-REP", "bo_rep", "borep", "BOREP"):
        made = from_function(right, batched=True, algorithm=spelling)
        assert check(made, fast=True).algorithm == "BOREP"
        assert catalogue(spelling) is METHODS["BOREP"].faults
    with pytest.raises(ValueError, match=r"did you mean BOREP\?"):
        catalogue("BO-REB")


def test_the_argument_wins_over_the_factory() -> None:
    made = from_function(right, batched=True, algorithm="SLIP")
    assert check(made).algorithm == "SLIP"
    assert check(made, algorithm="TTSA").algorithm == "TTSA"


def test_a_nested_state_is_read_as_dotted_names() -> None:
    found = check(from_function(right, batched=True, algorithm="SABA"))
    assert found.not_shown == ()
    assert "tables.grad_y_lower.stored" in load(method="SABA")[0].fields


def test_pytest_asks_the_factory_for_its_algorithm() -> None:
    made = [name for name, _ in AsTests(from_function(right, algorithm="TTSA")).checks()]
    assert made[-4:] == ["deterministic (step)", "deterministic (trajectory)", "start", VERDICT]
    assert made[:-4]
    assert all(name.removeprefix(LONG_RUN).startswith("ttsa-") for name in made[:-4])


TARGET = """
from accbo.conformance import from_function

def step(problem, algorithm, state, sample):
    {line}

slip = from_function(step, batched=True, algorithm="SLIP")
plain = from_function(step, batched=True)
"""


@pytest.mark.parametrize("how", ["slip", "plain"])
def test_the_command_line(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / f"mine_{how}.py"
    target.write_text(TARGET.format(line="return algorithm.step(problem, state, sample)"))
    options = [] if how == "slip" else ["--algorithm", "SLIP"]
    out = tmp_path / "report.json"
    assert main(["conform", f"{target}:{how}", *options, "--json", str(out)]) == 0
    assert f"SLIP, case set {SET}" in capsys.readouterr().out
    assert json.loads(out.read_text())["algorithm"] == "SLIP"
    assert main(["explain", f"{target}:{how}", *options]) == 0
    assert "slip-trajectory-nonquadratic-2x3/0, iteration 1: SLIP" in capsys.readouterr().out
    assert main(["conform", f"{target}:{how}", "--algorithm", "SLIPP"]) == 2
    assert "did you mean SLIP?" in capsys.readouterr().err


def test_the_command_line_names_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "after = algorithm.step(problem, state, sample); return after._replace(x=state.x - "
    line += "algorithm.upper_step_size * after.momentum)"
    target = tmp_path / "mine_wrong.py"
    target.write_text(TARGET.format(line=line))
    assert main(["conform", f"{target}:slip", "--fast"]) == 1
    said = capsys.readouterr().out
    assert "matches “no normalisation”" in said
    assert f"accbo explain {target}:slip --algorithm SLIP --check slip-" in said


def test_the_command_line_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--algorithm", "SABA"]) == 0
    assert "control variate from another index" in capsys.readouterr().out
    assert main(["faults", "--algorithm", "SABA", "table row not stored"]) == 0
    assert "mean and rows drift apart" in capsys.readouterr().out
    assert main(["faults", "--algorithm", "SABA", "stale sample"]) == 2
    assert "accbo faults --algorithm SABA lists them" in capsys.readouterr().err
    assert main(["vectors", "list", "--algorithm", "SABA", "--fault", "mean missing"]) == 0
    assert capsys.readouterr().out.startswith("saba-trajectory-finite-sum-2x3-terms/0")
    assert main(["vectors", "generate", "--algorithm", "TTSA", "--check"]) == 0
    assert "as the generator makes it" in capsys.readouterr().out


# --- the vectors ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", OTHERS)
def test_a_count_in_a_file_makes_nothing_large(method: str, tmp_path: Path) -> None:
    values = document(method)
    counts = {k: 1000 for k, v in values["vectors"][0]["algorithm"].items() if isinstance(v, int)}
    values["vectors"][0]["algorithm"] |= counts
    file = tmp_path / "many.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    begin = time.process_time()
    if counts:
        with pytest.raises(VectorError, match="expected shape"):
            read_vectors(file)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("method", OTHERS)
def test_the_files_are_small_and_the_linter_has_nothing_to_say(method: str) -> None:
    path = FOLDER / file_of(method)
    assert path.stat().st_size <= 400_000
    assert lint([path], whole=True) == []  # among other things: every fault in three vectors
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [encode(vector) for vector in read_vectors(path)] == document["vectors"]
    assert {vector["algorithm"]["name"] for vector in document["vectors"]} == {method}


@pytest.mark.parametrize("method", OTHERS)
def test_the_vectors_are_generic(method: str) -> None:
    vectors = load(method=method)
    for setting in METHODS[method].settings:
        assert not {0, 0.5, 1} & {v for v in setting.values() if isinstance(v, float)}
    for vector in vectors:
        assert vector.problem.upper_noise
        assert getattr(vector.algorithm, "neumann_scale", 2.0) != 1
    sizes = {(vector.problem.d_x, vector.problem.d_y) for vector in vectors}
    assert sizes >= {(2, 3), (3, 2) if method == "SABA" else (3, 4)}
    assert any(vector.replicates for vector in vectors)
    assert sum(vector.kind == "trajectory" for vector in vectors) >= 3
    assert any(vector.fast for vector in vectors)
    assert len(select(fast=True, algorithm=method)) < len(vectors)


@pytest.mark.parametrize("method", OTHERS)
def test_the_shipped_vectors_are_those_of_the_generator(method: str) -> None:
    shipped = {vector.id: encode(vector) for vector in load(method=method)}
    for group in groups_of(method)[-2:]:
        made = {f"{group.slug}/{n}": encode(make(group, n)) for n in range(group.count)}
        assert _differing({name: shipped[name] for name in made}, made) == []


@pytest.mark.parametrize("method", OTHERS)
def test_fifty_digits_are_enough_and_are_used(method: str) -> None:
    vector = load(method=method)[0]
    few = exact(vector, 10)
    for fifty, sixty in zip(vector.expected, exact(vector, 60), strict=True):
        for name in vector.fields:
            np.testing.assert_array_equal(fifty[name], sixty[name])
    assert any(np.any(a["x"] != b["x"]) for a, b in zip(vector.expected, few, strict=True))


@pytest.mark.parametrize("name", ["numpy", "strict", "torch"])
@pytest.mark.parametrize("method", OTHERS)
def test_errors_of_the_libraries_stay_within_tolerances(method: str, name: str) -> None:
    need(name)
    ratios = []
    for vector in load(method=method):
        states = run(vector, like(name))
        reference = zip(vector.expected, vector.tolerance, strict=True)
        for state, (expected, tolerance) in zip(states, reference, strict=True):
            for field, value in as_fields(state).items():
                error = norms(to_host(value) - expected[field])
                assert np.all(error <= tolerance[field]), (vector.id, field)
                ratios += list(np.ravel(error / np.where(error > 0, tolerance[field], 1.0)))
    print(f"{name}: median {np.median(ratios):.4f}, largest {np.max(ratios):.4f}")
    assert np.max(ratios) > 0.01  # the tolerances are not far from what is seen


# --- files from outside -----------------------------------------------------------------------


def document(method: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / file_of(method)).read_text(encoding="utf-8"))
    return found


def changed(values: Any, path: Sequence[Any], value: Any) -> Any:
    """``values`` with another value at ``path``."""
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["algorithm"], "SABBA", "Expected `str` matching regex"),
        (["vectors", 0, "algorithm", "name"], "SLIP", "it is of SLIP"),
        (["vectors", 0, "algorithm", "lower_step_size"], -1.0, "lower_step_size must lie in"),
        (["vectors", 0, "algorithm", "period"], 3, "the hyper-parameters of SABA do not fit"),
        (["vectors", 0, "algorithm", "period"], 10**6, "Expected `int` <= 1000"),
        (["vectors", 0, "flags", 0], "stale", "unknown flags 'stale'"),
        (["vectors", 0, "samples", 0, "upper", "index"], [9], r"integers in \[0, 8\)"),
        (["vectors", 0, "expected", 0, "x"], [1.0], r"x: expected shape \(2,\), got \(1,\)"),
        (["vectors", 0, "expected", 0, "tables.z.mean"], [1.0], "a state holds"),
        (
            ["vectors", 0, "tolerance", 0, "tables.hvp_lower.stored"],
            [1.0],
            r"expected shape \(8,\)",
        ),
        (["vectors", 1, "state", "tables.hvp_lower.stored"], [[1.0, 2.0, 3.0]], r"shape \(8, 3\)"),
        (["vectors", 1, "state", "y"], [1.0], r"y: expected shape \(3,\), got \(1,\)"),
        (["vectors", 1, "state", "z"], [1.0], r"z: expected shape \(3,\), got \(1,\)"),
        (["vectors", 1, "state", "y"], [[1.0], [2.0, 3.0]], "y: expected numbers of shape"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_a_sentence(
    path: Sequence[Any], value: Any, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "saba.json"
    file.write_text(json.dumps(changed(document("SABA"), path, value)), encoding="utf-8")
    with pytest.raises(VectorError, match=message):
        read_vectors(file)


def results(method: str, **changes: Any) -> dict[str, Any]:
    """A results file of the expected values."""
    shown = {
        vector.id: [{k: v.tolist() for k, v in state.items()} for state in vector.expected]
        for vector in load(method=method)
    }
    head = {"format": "accbo-results/1", "set": SET, "implementation": "expected"}
    return {**head, "algorithm": method, "results": shown, **changes}


def judged(values: Any, folder: Path) -> Any:
    path = folder / "results.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    found = read_results(path)
    return judge(observations(found), implementation=found.implementation)


@pytest.mark.parametrize("method", ["SABA", "VRBO"])
def test_results_of_another_language_are_judged(method: str, tmp_path: Path) -> None:
    values = results(method)
    schema = json.loads((FOLDER.parent / "results.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(values)
    found = judged(values, tmp_path)
    assert found.conforms
    assert found.algorithm == method
    assert set(found.counts) == {PASS}
    assert main(["vectors", "verify", str(tmp_path / "results.json")]) == 0
    first = next(iter(values["results"]))
    values["results"][first][0]["x"][0] += 1e-9
    assert judged(values, tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"y": [1.0, 2.0, 3.0]}, "x must be there"),
        ({"x": [1.0, 2.0], "momentum": [1.0]}, "x must be there, and any of x, y, z, tables"),
        ({"x": [1.0]}, "1 elements where 2 belong"),
    ],
)
def test_results_that_do_not_fit_are_refused(state: Any, message: str, tmp_path: Path) -> None:
    name = "saba-step-finite-sum-2x3-terms/0"
    with pytest.raises(VectorError, match=message):
        judged(results("SABA", results={name: [state]}), tmp_path)
