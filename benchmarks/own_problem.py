"""A problem of the user's own in PyTorch: ``from_torch`` beside a loop written by hand.

``python -m benchmarks own [--json FILE]`` times one AccBO iteration of hyper-cleaning, with a
network of two layers and with an LSTM below, at R = 1 in float32 (and float64), on one thread. The
loop by hand is the same method on the same rows: ``torch.autograd.grad`` on the module's
parameters, both points of the momentum one after the other. Both are run in turns, there and back;
they must agree to rounding first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import environment

ROUNDS, STEPS, BATCH, ROWS = 9, 20, 32, 256
FEATURES, HIDDEN, LENGTH = 32, 32, 6
SIZES = {"alpha": 0.1, "gamma": 0.5, "tau": 0.2, "beta": 0.9, "eta": 0.05, "Q": 5, "l": 4.0}
ALLOWED = 1.3  # of the loop's time


class Case(NamedTuple):
    """One network: ``ours`` and ``hand`` take a number of steps and return the last x."""

    name: str
    ours: Callable[[int], Any]
    hand: Callable[[int], Any]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print the table; exit code 1 where ours takes more than ALLOWED."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks own", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    options = parser.parse_args(arguments)
    environment.one_thread()
    try:
        import torch
    except ImportError as error:
        print(f"benchmarks: PyTorch cannot be imported ({error})", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = [
        measured(build(torch, kind, getattr(torch, dtype)), options.rounds) | {"dtype": dtype}
        for kind in ("two layers", "LSTM")
        for dtype in ("float32", "float64")
    ]
    for row in rows:
        print(
            f"{row['name']:12}{row['dtype']:9} from_torch {row['ours_ms']:7.2f} ms a step, by hand "
            f"{row['hand_ms']:7.2f} ms, ratio {row['ratio']:.2f}"
        )
    if options.json is not None:
        from accbo._pieces.files import write

        content = {"environment": environment.describe(), "allowed": ALLOWED, "rows": rows}
        write(options.json, json.dumps(content, indent=1) + "\n")
    return int(any(row["ratio"] > ALLOWED for row in rows))


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Median milliseconds a step in turns, and the median of the rounds' ratios."""
    apart = float(abs(case.ours(STEPS) - case.hand(STEPS)).max())
    if not apart < 1e-3:
        raise AssertionError(f"{case.name}: x differs by {apart:.1e} from the loop by hand")
    spent: dict[str, list[float]] = {"ours": [], "hand": []}
    for number in range(rounds):
        pair = [("ours", case.ours), ("hand", case.hand)]
        for name, run in pair if number % 2 == 0 else reversed(pair):
            start = time.process_time()
            run(STEPS)
            spent[name].append((time.process_time() - start) / STEPS * 1e3)
    ratios = [a / b for a, b in zip(spent["ours"], spent["hand"], strict=True)]
    return {
        "name": case.name,
        "ours_ms": statistics.median(spent["ours"]),
        "hand_ms": statistics.median(spent["hand"]),
        "ratio": statistics.median(ratios),
        "apart": apart,
        "rounds": rounds,
    }


def build(torch: Any, kind: str, dtype: Any) -> Case:
    """The network called ``kind`` below, and a weight for each of ROWS samples above."""
    import accbo

    torch.manual_seed(0)
    nn: Any = torch.nn
    functional, module = nn.functional, nn.Module

    class Recurrent(module):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
            self.out = nn.Linear(HIDDEN, 1)

        def forward(self, inputs: Any) -> Any:
            return self.out(self.cells(inputs)[0][:, -1])[:, 0]

    flat = nn.Sequential(
        nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1), nn.Flatten(0)
    )
    net = (Recurrent() if kind == "LSTM" else flat).to(dtype)
    shape = (ROWS, LENGTH, FEATURES) if kind == "LSTM" else (ROWS, FEATURES)
    inputs = torch.randn(shape, dtype=dtype)
    labels = (inputs.flatten(1)[:, 0] > 0).to(dtype)

    def upper(x: Any, y: Any, batch: Any) -> Any:
        given, label = batch
        return functional.binary_cross_entropy_with_logits(y(given), label)

    def lower(x: Any, y: Any, batch: Any) -> Any:
        given, label, index = batch
        each = functional.binary_cross_entropy_with_logits(y(given), label, reduction="none")
        ridge = sum((p * p).sum() for p in y.parameters())
        return (torch.sigmoid(x[index]) * each).mean() + 0.05 * ridge

    above, below = (inputs, labels), (inputs, labels, torch.arange(ROWS))
    problem = accbo.problems.from_torch(
        upper,
        lower,
        x=torch.zeros(ROWS, dtype=dtype),
        y=net,
        upper_data=above,
        lower_data=below,
        upper_batch=BATCH,
        lower_batch=BATCH,
    )
    s = SIZES
    algorithm = accbo.AccBO(
        lower_step_size=s["alpha"],
        lower_momentum=s["gamma"],
        averaging=s["tau"],
        momentum=s["beta"],
        upper_step_size=s["eta"],
        neumann_terms=int(s["Q"]),
        neumann_scale=s["l"],
    )

    def ours(steps: int) -> Any:
        return accbo.run(algorithm, problem, steps=steps, progress=False).state.x

    stream_of = accbo.Tape(0).open

    def hand(steps: int) -> Any:
        x = torch.zeros(ROWS, dtype=dtype)
        stream = stream_of(x)
        start = stream.start(algorithm.draw_start(problem, 0, 1))
        block = stream.block(algorithm.draw(problem), steps)
        parameters = [p.detach().clone() for p in net.parameters()]
        loop = _Loop(torch, net, (upper, lower), (above, below))
        return loop.run(x, parameters, start.first, block, steps)

    return Case(kind, ours, hand)


class _Loop:
    """AccBO as one writes it in PyTorch: lists of tensors and ``autograd.grad``."""

    def __init__(self, torch: Any, net: Any, objectives: Any, data: Any) -> None:
        self.torch, self.net = torch, net
        self.upper, self.lower = objectives
        self.above, self.below = data
        self.names = [name for name, _ in net.named_parameters()]
        # MKL-DNN's LSTM has no second derivative in float32
        torch.backends.mkldnn.set_flags(not isinstance(getattr(net, "cells", None), torch.nn.LSTM))

    def run(self, x: Any, y: list[Any], first: Any, block: Any, steps: int) -> Any:
        """x after ``steps`` iterations; the 0th has one sample in m_0."""
        s: dict[str, Any] = SIZES
        rows: dict[str, Any] = {k: v.get("rows") for k, v in first._asdict().items()}
        average = [p.clone() for p in y]
        m = self.gradient(x, average, rows["upper"][0], rows["cross"][0], rows["hessian"][0])
        y_next = self.lower_step(x, y, y, rows["lower"][0])
        average_next = [
            (1 - s["tau"]) * a + s["tau"] * b for a, b in zip(average, y_next, strict=True)
        ]
        x_next = x - s["eta"] * m / m.norm()
        for t in range(steps - 1):
            x_old, average_old, x, average = x, average, x_next, average_next
            y_previous, y = y, y_next
            upper, cross = block.upper["rows"][t], block.cross["rows"][t]
            hessian = block.hessian["rows"][t]
            new = self.gradient(x, average, upper, cross, hessian)
            old = self.gradient(x_old, average_old, upper, cross, hessian)
            m = new + s["beta"] * (m - old)
            y_next = self.lower_step(x, y, y_previous, block.lower["rows"][t, 0])
            average_next = [
                (1 - s["tau"]) * a + s["tau"] * b for a, b in zip(average, y_next, strict=True)
            ]
            x_next = x - s["eta"] * m / m.norm()
        return x_next

    def gradient(self, x: Any, y: Sequence[Any], upper: Any, cross: Any, hessian: Any) -> Any:
        """h(x, y) with a chained series."""
        grad = self.torch.autograd.grad
        x, y = x.detach().requires_grad_(), [p.detach().requires_grad_() for p in y]
        value = self.upper(x, self.bound(y), [part[upper] for part in self.above])
        v = grad(value, y)
        power = total = v
        for rows in hessian:
            slope = grad(self.below_value(x, y, rows), y, create_graph=True)
            bent = grad(slope, y, grad_outputs=power)
            power = [p - h / SIZES["l"] for p, h in zip(power, bent, strict=True)]
            total = [a + b for a, b in zip(total, power, strict=True)]
        slope = grad(self.below_value(x, y, cross), y, create_graph=True)
        implicit = grad(slope, x, grad_outputs=[a / SIZES["l"] for a in total])[0]
        return -implicit  # the upper loss does not see x

    def lower_step(self, x: Any, y: Sequence[Any], previous: Sequence[Any], rows: Any) -> list[Any]:
        """Nesterov's step."""
        z = [
            (a + SIZES["gamma"] * (a - b)).requires_grad_()
            for a, b in zip(y, previous, strict=True)
        ]
        slope = self.torch.autograd.grad(self.below_value(x, z, rows), z)
        return [(a - SIZES["alpha"] * g).detach() for a, g in zip(z, slope, strict=True)]

    def below_value(self, x: Any, y: Sequence[Any], rows: Any) -> Any:
        return self.lower(x, self.bound(y), [part[rows] for part in self.below])

    def bound(self, y: Sequence[Any]) -> Any:
        from accbo.problems.from_torch import Bound

        return Bound(self.net, dict(zip(self.names, y, strict=True)))
