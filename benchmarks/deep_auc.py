"""``python -m benchmarks.deep_auc [--hidden H …] [--rounds N] [--json FILE]``.

Seconds per iteration of AccBO on deep AUC maximisation: ours, with a backward pass by hand in the
array API on NumPy, against the same method on the same model in PyTorch with autograd. Same
weights, same batches, one thread each, float32, in turns. PyTorch is given what a careful user
would write: ∇_x F and ∇_y F from one forward and backward pass, the curvature of the dual, which
is a known number, without a pass, no derivative of a derivative, and its fused recurrent layer
(``torch.rnn_tanh``) as well as a loop; the faster of the two is the one we are compared with.

Both are first held against each other: a benchmark of two different computations means nothing.
Exit code 0 when everything was timed, 2 when it could not run, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from accbo._extras import for_module
from benchmarks import environment

SCHEMA = "accbo-deep-auc/1"
HIDDEN = (32, 128, 1024)
TARGETS = {32: 0.6, 128: 0.6, 1024: 1.1}  # of the time of PyTorch
WORDS, LENGTH, WIDTH, BATCH, TEXTS = 2000, 24, 32, 32, 1024
STEPS, TERMS, SECONDS = 6, 3, 0.25  # SECONDS of one timing
TOLERANCE = 2e-3  # of x after STEPS steps in float32, against the 0.01 of each step


class DisagreementError(ValueError):
    """The two do not compute the same: their times would mean nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Time every size and print the table."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    environment.one_thread()
    if importlib.util.find_spec("torch") is None:
        said = "PyTorch is not installed: there is nothing to compare with"
        print(said + for_module("torch"), file=sys.stderr)
        return 2
    try:
        rows = [row for hidden in options.hidden for row in measure(hidden, options.rounds)]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except DisagreementError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(rows))
    if options.json is not None:
        from accbo._pieces.files import write  # late: threads are chosen before NumPy

        written = {"schema": SCHEMA, **environment.describe(), "rows": rows}
        write(options.json, json.dumps(written, indent=1) + "\n")
    return 0


class Case(NamedTuple):
    """A problem in float32, AccBO, a state on the way, and the samples of ``STEPS`` steps."""

    problem: Any
    algorithm: Any
    state: Any
    block: Any


def build(hidden: int) -> Case:
    """Random texts: what they say does not change how long they take."""
    import numpy as np

    import accbo
    from accbo.problems import deep_auc
    from accbo.problems.deep_auc import initial_weights
    from accbo.sampling import Tape

    generator = np.random.default_rng(0)
    # words as frequent as in a language, one in four texts shorter than the longest
    tokens = np.minimum(generator.zipf(1.3, size=(TEXTS, LENGTH)), WORDS - 1)
    tokens[::4, : LENGTH // 3] = 0
    labels = np.where(generator.random(TEXTS) < 0.7, 1.0, -1.0)
    half = TEXTS // 2
    problem = deep_auc(
        *(tokens[:half], labels[:half], tokens[half:], labels[half:]),
        words=WORDS,
        width=WIDTH,
        hidden=hidden,
        upper_batch=BATCH,
        lower_batch=BATCH,
    )
    x = initial_weights(problem).astype(np.float32)
    problem = accbo.move(problem, x)
    algorithm = accbo.AccBO(
        lower_step_size=0.5,
        lower_momentum=0.5,
        averaging=0.25,
        momentum=0.875,
        upper_step_size=0.01,
        neumann_terms=TERMS,
        neumann_scale=2 * problem.curvature,
    )
    y = np.zeros(1, np.float32)
    # two steps past the start: x, x_previous and the averages then differ
    state = accbo.run(algorithm, problem, x, y, steps=3, noise=1).state
    block = Tape(2).open(x).block(algorithm.draw(problem), STEPS)
    return Case(problem, algorithm, state, block)


def numpy_steps(case: Case) -> Callable[[], Any]:
    """Our steps, as ``accbo.run`` takes them."""
    from accbo._arrays import row

    step, problem, samples = case.algorithm.step, case.problem, case.block

    def run() -> Any:
        state = case.state
        for index in range(STEPS):
            state = step(problem, state, row(samples, index))
        return state.x

    return run


def torch_steps(case: Case, fused: bool) -> Callable[[], Any]:
    """The same steps in PyTorch, each tensor of x on its own, as modules keep them."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    problem, algorithm = case.problem, case.algorithm
    share, margin = problem.share, problem.margin
    T = LENGTH
    tables = {}
    for level in ("upper", "lower"):
        texts = np.asarray(getattr(problem, f"{level}_texts"))
        tables[level] = (
            torch.tensor(texts[:, :T].astype(np.int64)),
            torch.tensor(texts[:, T:-1]),
            torch.tensor(texts[:, -1]),
        )
    indices = {
        name: torch.tensor(np.asarray(getattr(case.block, name)["index"]))
        for name in ("upper", "cross", "lower")
    }

    def apart(x: Any) -> list[Any]:
        parts = [torch.tensor(np.array(part)) for part in problem._split(np.asarray(x))]
        # rnn_tanh takes its matrices transposed
        return [
            part.mT.contiguous() if fused and i in (1, 2) else part for i, part in enumerate(parts)
        ]

    none = torch.zeros(1, BATCH, problem.hidden), torch.zeros(problem.hidden)

    def scores(weights: list[Any], tokens: Any, pooling: Any) -> Any:
        embedding, inward, recurrent, bias, outward = weights[:5]
        inputs = torch.nn.functional.embedding(tokens.mT, embedding)
        if fused:
            matrices = [inward, recurrent, bias[0], none[1]]
            states, _ = torch.rnn_tanh(inputs, none[0], matrices, True, 1, 0.0, True, False, False)
        else:
            driven = inputs @ inward + bias
            state = torch.tanh(driven[0])
            kept = [state]
            for t in range(1, T):
                state = torch.tanh(torch.addmm(driven[t], state, recurrent))
                kept.append(state)
            states = torch.stack(kept)
        return ((states @ outward)[..., 0] * pooling.mT).sum(0)

    def batch(level: str, name: str, t: int) -> tuple[Any, Any, Any, Any]:
        rows = indices[name][t].reshape(-1)
        tokens, pooling, z = (part[rows] for part in tables[level])
        return tokens, pooling, (1 - share) * z, share * (1 - z)

    def loss(weights: list[Any], y: Any, given: tuple[Any, Any, Any, Any]) -> Any:
        tokens, pooling, good, bad = given
        h, both = scores(weights, tokens, pooling), share * (1 - share)
        square = good * (h - weights[5]) ** 2 + bad * (h - weights[6]) ** 2
        return (square + 2 * y * (both * margin + (bad - good) * h) - both * y**2).mean()

    def hypergradient(weights: list[Any], y: Any, above: Any, below: Any) -> list[Any]:
        weights = [part.detach().requires_grad_(True) for part in weights]
        y = y.detach().requires_grad_(True)
        *to_x, to_y = torch.autograd.grad(loss(weights, y, above), [*weights, y])
        power = total = to_y
        for _ in range(1, algorithm.neumann_terms):
            power = power - problem.curvature / algorithm.neumann_scale * power
            total = total + power
        v = total / algorithm.neumann_scale
        tokens, pooling, good, bad = below
        slope = -2 * v * ((bad - good) * scores(weights[:5], tokens, pooling)).mean()
        cross = torch.autograd.grad(slope.sum(), weights[:5])
        return [a - b for a, b in zip(to_x, cross, strict=False)] + to_x[5:]

    def slope_below(weights: list[Any], z: Any, given: Any) -> Any:
        with torch.no_grad():
            tokens, pooling, good, bad = given
            led = ((bad - good) * scores(weights, tokens, pooling)).mean()
            return -2 * led - problem.curvature * (margin - z)

    s = case.state
    start = [apart(s.x), apart(s.x_previous), apart(s.momentum)]
    below = [
        torch.tensor(np.asarray(v)) for v in (s.y, s.y_previous, s.y_average, s.y_average_previous)
    ]

    def run() -> Any:
        (x, x_old, m), (y, y_old, mean, mean_old) = start, below
        for t in range(STEPS):
            above, cross = batch("upper", "upper", t), batch("lower", "cross", t)
            new = hypergradient(x, mean, above, cross)
            old = hypergradient(x_old, mean_old, above, cross)
            beta = algorithm.momentum
            m = [a + beta * (c - b) for a, b, c in zip(new, old, m, strict=True)]
            norm = torch.sqrt(sum((part * part).sum() for part in m))
            z = y + algorithm.lower_momentum * (y - y_old)
            y_new = z - algorithm.lower_step_size * slope_below(x, z, batch("lower", "lower", t))
            x_old, x = (
                x,
                [a - algorithm.upper_step_size * b / norm for a, b in zip(x, m, strict=True)],
            )
            y_old, y = y, y_new
            weight = algorithm.averaging
            mean_old, mean = mean, (1 - weight) * mean + weight * y_new
        parts = [part.mT if fused and i in (1, 2) else part for i, part in enumerate(x)]
        return torch.cat([part.reshape(-1) for part in parts]).numpy()

    return run


def measure(hidden: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One row per variant of one size; processor time, least and median over the rounds."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    case = build(hidden)
    with threadpool_limits(1):
        variants = {
            "numpy, by hand": numpy_steps(case),
            "torch, loop": torch_steps(case, fused=False),
            "torch, fused": torch_steps(case, fused=True),
        }
        ends = {name: np.asarray(run()) for name, run in variants.items()}
        ours = ends["numpy, by hand"]
        for name, end in ends.items():
            away = float(np.linalg.norm(end - ours))
            if not away <= TOLERANCE or (name != "numpy, by hand" and away == 0):
                raise DisagreementError(
                    f"hidden {hidden}: '{name}' ends {away:.2g} from ours after {STEPS} steps"
                )
        spent: dict[str, list[float]] = {name: [] for name in variants}
        for done in range(rounds):
            # there and back: otherwise each would always meet the caches its neighbour leaves
            for name in list(variants)[:: 1 if done % 2 == 0 else -1]:
                spent[name].append(_seconds(variants[name]) / STEPS)
    fastest = min(min(spent[name]) for name in variants if name.startswith("torch"))
    middle = min(statistics.median(spent[n]) for n in variants if n.startswith("torch"))
    for name, values in spent.items():
        yield {
            "hidden": hidden,
            "variant": name,
            "milliseconds": 1e3 * min(values),
            "median": 1e3 * statistics.median(values),
            "ratio": min(values) / fastest,
            "ratio_of_medians": statistics.median(values) / middle,
            "target": TARGETS.get(hidden),
        }


def _seconds(run: Callable[[], Any]) -> float:
    """Processor time of one call, from as many as fill ``SECONDS``."""
    begin, calls = time.process_time(), 0
    while calls == 0 or time.process_time() - begin < SECONDS:
        run()
        calls += 1
    return (time.process_time() - begin) / calls


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = ["hidden  variant          ms/iteration   median   of PyTorch's time   target"]
    for row in rows:
        ours = row["variant"] == "numpy, by hand"
        target = f"{row['target']:.1f}" if ours and row["target"] else ""
        lines.append(
            f"{row['hidden']:6d}  {row['variant']:15s} {row['milliseconds']:12.3f} "
            f"{row['median']:9.3f} {row['ratio']:13.2f} ({row['ratio_of_medians']:.2f}) "
            f"{target:>6s}"
        )
    return "\n".join(lines)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deep_auc")
    parser.add_argument("--hidden", type=int, nargs="+", default=list(HIDDEN), metavar="H")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if min(options.hidden) < 1 or options.rounds < 1:
        parser.error("--hidden and --rounds must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
