"""AccBO by hand on an LSTM in PyTorch, traced: what ``accbo trace verify`` judges.

x are the LSTM's parameters, y those of the linear head that is fitted below; the loop's own lines
are those of the paper, the recorder's stand between them. Run it, then judge what it logged:

    python examples/traced_lstm.py run.jsonl
    accbo trace verify run.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from accbo.tracing import Recorder

ALPHA, GAMMA, TAU, BETA, ETA, Q, L = 0.3, 0.6, 0.3, 0.8, 0.02, 3, 4.0
CONSTANTS = {
    "lower_step_size": ALPHA,
    "lower_momentum": GAMMA,
    "averaging": TAU,
    "momentum": BETA,
    "upper_step_size": ETA,
    "neumann_terms": Q,
    "neumann_scale": L,
}


class Net:
    """The losses F (validation) and G (training, with a ridge on the head)."""

    def __init__(
        self,
        hidden: int = 8,
        features: int = 5,
        dtype: Any = torch.float32,
        batch: int = 8,
        length: int = 6,
    ) -> None:
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(features, hidden, batch_first=True).to(dtype)
        self.names = [name for name, _ in self.lstm.named_parameters()]
        self.x0 = [p.detach().clone() for p in self.lstm.parameters()]
        self.y0 = [torch.zeros(hidden, 2, dtype=dtype), torch.zeros(2, dtype=dtype)]
        self.batch = batch
        self.inputs = torch.randn(64, length, features).to(dtype)
        self.labels = torch.randint(0, 2, (64,))

    def loss(self, x: list[Any], y: list[Any], batch: torch.Tensor) -> torch.Tensor:
        parameters = dict(zip(self.names, x, strict=True))
        out, _ = torch.func.functional_call(self.lstm, parameters, (self.inputs[batch],))
        logits = out[:, -1] @ y[0] + y[1]
        return torch.nn.functional.cross_entropy(logits, self.labels[batch])

    def upper(self, x: list[Any], y: list[Any], batch: torch.Tensor) -> torch.Tensor:
        return self.loss(x, y, batch)

    def lower(self, x: list[Any], y: list[Any], batch: torch.Tensor) -> torch.Tensor:
        return self.loss(x, y, batch) + 0.5 * sum((p * p).sum() for p in y)


def at(values: list[Any]) -> list[Any]:
    """The same numbers, to differentiate by."""
    return [v.detach().requires_grad_() for v in values]


def combined(a: float, u: list[Any], b: float, v: list[Any]) -> list[Any]:
    """a u + b v."""
    return [a * p + b * q for p, q in zip(u, v, strict=True)]


def inner(u: Any, v: list[Any]) -> torch.Tensor:
    return sum((p * q).sum() for p, q in zip(u, v, strict=True))


def length(v: list[Any]) -> torch.Tensor:
    return torch.sqrt(sum((p.double() ** 2).sum() for p in v)).to(v[0].dtype)


def hypergradient(
    net: Net, x: list[Any], y: list[Any], sample: dict[str, Any], log: Any
) -> list[Any]:
    """h(x, y) on one sample, with the chained series."""
    x, y = at(x), at(y)
    gradients = torch.autograd.grad(net.upper(x, y, sample["upper"]), [*x, *y])
    grad_x, grad_y = list(gradients[: len(x)]), list(gradients[len(x) :])
    log(x=x, y=y, grad_x=grad_x, grad_y=grad_y, upper_sample=sample["upper"])
    power, total = grad_y, grad_y
    for q in range(Q - 1):
        slope = torch.autograd.grad(net.lower(x, y, sample["hessian"][q]), y, create_graph=True)
        product = list(torch.autograd.grad(inner(slope, power), y))
        log(power=power, product=product, hessian_sample=sample["hessian"][q])
        power = combined(1.0, power, -1 / L, product)
        total = combined(1.0, total, 1.0, power)
    inverse = [p / L for p in total]
    slope = torch.autograd.grad(net.lower(x, y, sample["cross"]), y, create_graph=True)
    cross = list(torch.autograd.grad(inner(slope, inverse), x))
    h = combined(1.0, grad_x, -1.0, cross)
    log(inverse=inverse, cross=cross, cross_sample=sample["cross"], h=h)
    return h


def batches(seed: int, size: int) -> Iterator[dict[str, Any]]:
    """Fresh batches for every use."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> torch.Tensor:
        return torch.randint(0, 64, (size,), generator=generator)

    while True:
        hessian = [draw() for _ in range(Q - 1)]
        yield {"upper": draw(), "cross": draw(), "hessian": hessian, "lower": draw()}


def train(net: Net, recorder: Recorder, steps: int, seed: int = 0) -> list[Any]:
    """AccBO's loop, Option I."""
    x, y = net.x0, net.y0
    x_old, y_old, y_average, y_average_old, m = x, y, y, y, None
    for _, sample in zip(range(steps), batches(seed, net.batch), strict=False):
        with recorder.step():
            recorder.log(x=x, y=y, y_average=y_average)
            with recorder.part("new"):
                new = hypergradient(net, x, y_average, sample, recorder.log)
            if m is None:
                m = new
            else:
                with recorder.part("old"):
                    old = hypergradient(net, x_old, y_average_old, sample, recorder.log)
                m = combined(1.0, new, BETA, combined(1.0, m, -1.0, old))
            x_next = combined(1.0, x, -ETA / float(length(m)), m)

            z = at(combined(1 + GAMMA, y, -GAMMA, y_old))
            gradient = list(torch.autograd.grad(net.lower(x, z, sample["lower"]), z))
            with recorder.part("lower"):
                recorder.log(x=x, y=z, gradient=gradient, sample=sample["lower"])
            y_next = combined(1.0, [p.detach() for p in z], -ALPHA, gradient)
            y_average_next = combined(1 - TAU, y_average, TAU, y_next)

            recorder.log(momentum=m)
            x_old, y_old, y_average_old = x, y, y_average
            x, y, y_average = x_next, y_next, y_average_next
    return x


def main(path: str = "run.jsonl") -> None:
    with Recorder(path, algorithm="AccBO", constants=CONSTANTS) as recorder:
        train(Net(), recorder, steps=20)


if __name__ == "__main__":
    main(*sys.argv[1:])
