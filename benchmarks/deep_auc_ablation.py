"""``python -m benchmarks.deep_auc_ablation [--seeds N] [--json FILE]``.

What holds the deep AUC task below a logistic regression on words: the optimiser, the penalty, the
start, the size of the model, or the amount of text? One thing is changed at a time, on draws of
the data that `accbo run deep-auc` does not use. AccBO runs at the trial that the task's search
chose; in its place Adam on the whole training set, with the dual solved exactly before every
step, takes noise and normalisation away. Either is judged on the test texts at its best
validation point. Exit code 0 when done, 2 when it could not run, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import environment

SCHEMA = "accbo-deep-auc-ablation/1"
FIRST_SEED = 11  # the comparison uses 0 to 5
BUDGET = 25_000  # oracle calls, the task's
PATH, LOWER = 64.0, 0.25  # of the trial that the search chose for AccBO
ADAM_STEPS, ADAM_SIZE, EVERY = 120, 0.01, 4


class Scores(NamedTuple):
    """Areas under the curve of one run at its best validation point, and of the regression."""

    training: float
    validation: float
    test: float
    training_at_the_end: float
    regression: float


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "AccBO, the task's model": ("accbo", {}),
    "AccBO, four times the calls": ("longer", {}),
    "AccBO, no penalty": ("accbo", {"ridge": 0.0}),
    "Adam, the task's model": ("adam", {}),
    "Adam, no penalty": ("adam", {"ridge": 0.0}),
    "Adam, penalty 0.01": ("adam", {"ridge": 0.01}),
    "Adam, embedding of full size": ("adam", {"small": 1.0}),
    "Adam, 64 hidden units": ("adam", {"hidden": 64}),
    "Adam, half of the texts": ("adam", {"kept": 0.5}),
    "AccBO, half of the texts": ("accbo", {"kept": 0.5}),
}


def main(arguments: list[str] | None = None) -> int:
    """Run every variant on every seed and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deep_auc_ablation")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds must be at least 2, for an interval; got {options.seeds}")
    environment.one_thread()
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    # only now, with the threads settled, may NumPy be imported
    from tqdm import tqdm

    from accbo._pieces.files import write
    from accbo.data import DataError
    from accbo.tasks.sentiment import build

    found: dict[str, list[Scores]] = {}
    with tqdm(total=len(VARIANTS) * options.seeds, unit="run", delay=2) as bar:
        for name, (optimiser, changed) in VARIANTS.items():
            bar.set_description(name)
            found[name] = []
            for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                try:
                    instance = build(seed, **changed)
                except DataError as error:
                    print(f"benchmarks: {error}", file=sys.stderr)
                    return 2
                found[name].append(judge(instance, points(instance, optimiser, seed)))
                bar.update()
    print(table(found))
    if options.json is not None:
        runs = {name: [score._asdict() for score in scores] for name, scores in found.items()}
        document = {"schema": SCHEMA, "environment": environment.describe(), "runs": runs}
        write(options.json, json.dumps(document, indent=1) + "\n")
    return 0


def points(instance: Any, optimiser: str, seed: int) -> list[tuple[Any, Any]]:
    """(x, y) along a run."""
    if optimiser == "adam":
        return adam(instance)
    return accbo(instance, 4 * BUDGET if optimiser == "longer" else BUDGET, seed)


def accbo(instance: Any, budget: int, seed: int) -> list[tuple[Any, Any]]:
    """AccBO as the comparison runs it, the path in proportion to the steps."""
    from accbo import Tape, run
    from accbo.tasks.methods import Trial, build, first_gradient
    from accbo.tasks.trial import POINTS, WARM_START, steps_for

    steps = steps_for("AccBO", instance, budget)
    trial = Trial(PATH * budget / BUDGET, LOWER)
    result = run(
        build("AccBO", instance, trial, steps, first_gradient(instance)),
        instance.problem,
        instance.x,
        instance.y,
        steps=steps,
        noise=Tape(seed),
        warm_start=WARM_START,
        record={"x": lambda state: state.x, "y": lambda state: state.y_average},
        every=max(1, steps // POINTS * BUDGET // budget),
        progress=False,
    )
    return list(zip(result.records["x"], result.records["y"], strict=True))


def adam(instance: Any) -> list[tuple[Any, Any]]:
    """Adam on f(x, y*(x)); one Newton step solves the dual, which is quadratic."""
    import numpy as np

    problem, x = instance.problem, instance.x.copy()
    mean, square, found = np.zeros_like(x), np.zeros_like(x), []
    for t in range(1, ADAM_STEPS + 1):
        y = np.zeros(1)
        y = y - problem.grad_y_lower(x, y) / instance.curvature
        gradient = problem.grad_x_upper(x, y)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**t)) + 1e-8
        x = x - ADAM_SIZE * mean / (1 - 0.9**t) / root
        if t % EVERY == 0:
            found.append((x, y))
    return found


def judge(instance: Any, run: list[tuple[Any, Any]]) -> Scores:
    """At the point of the run where the validation texts are ranked best."""
    import numpy as np

    from accbo.problems.deep_auc import auc

    (validate,), (test,) = instance.measures.values(), instance.test.values()
    (regression,) = instance.references().values()
    table = instance.problem.problem.upper_texts
    tokens, labels = table[:, : table.shape[-1] // 2].astype(int), table[:, -1]

    def training(x: Any) -> float:
        return float(auc(instance.problem.problem.scores(x, tokens), labels))

    scores = [validate(x, y) for x, y in run]
    x, y = run[int(np.argmax(scores))]
    return Scores(training(x), max(scores), test(x, y), training(run[-1][0]), regression)


def table(found: dict[str, list[Scores]]) -> str:
    """Means over the seeds; the gain over regression with a 95 % interval, paired by seed."""
    heads = ("training", "validation", "test", "training at the end")
    lines = [f"{'variant':30}" + "".join(f"{head:>21}" for head in heads) + "   test − regression"]
    for name, scores in found.items():
        means = [_mean(scores, part) for part in (lambda s: s.training, lambda s: s.validation)]
        means += [
            _mean(scores, part) for part in (lambda s: s.test, lambda s: s.training_at_the_end)
        ]
        gain, half = interval([score.test - score.regression for score in scores])
        row = "".join(f"{mean:21.3f}" for mean in means)
        lines.append(f"{name:30}{row}   {gain:+.3f} ± {half:.3f}")
    first = next(iter(found.values()))
    lines.append(f"logistic regression on words: test {_mean(first, lambda s: s.regression):.3f}")
    return "\n".join(lines)


def _mean(scores: list[Scores], part: Callable[[Scores], float]) -> float:
    return sum(map(part, scores)) / len(scores)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half of Student's 95 % interval."""
    from accbo.tasks import summary

    return summary.interval(values)


if __name__ == "__main__":
    sys.exit(main())
