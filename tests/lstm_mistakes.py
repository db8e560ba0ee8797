"""The loop of examples/traced_lstm.py with the mistakes that people make in such a loop."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from accbo.tracing import Recorder
from examples.traced_lstm import (
    ALPHA,
    BETA,
    ETA,
    GAMMA,
    TAU,
    L,
    Net,
    Q,
    at,
    batches,
    combined,
    inner,
    length,
)

# by their names in the catalogue; what a mistake does is beside its name below
MISTAKES = (
    "stale sample",
    "different sample",
    "no correction",
    "correction without β",
    "β and 1−β swapped",
    "old point at (x_{t−1}, ŷ_t)",
    "old point copied after the step",
    "two-iterations-old momentum",
    "norm per block",
    "no normalisation",
    "samples normalised",
    "gradient at y",
    "y_{t−1} overwritten",
    "γ as 1−γ",
    "upper gradient leaks",
    "upper batch reused below",
    "no averaging",
    "τ and 1−τ swapped",
    "hypergradient at y",
    "series from q = 1",
    "one term too few",
    "one term too many",
    "1/l missing",
    "random term without Q",
    "one sample for all factors",
    "sign of the implicit term",
    "cross derivative at the wrong point",
)


def hypergradient(net: Net, x: list, y: list, s: dict, log: Any, wrong: str) -> list:
    x, y = at(x), at(y)
    gradients = torch.autograd.grad(net.upper(x, y, s["upper"]), [*x, *y])
    grad_x, grad_y = list(gradients[: len(x)]), list(gradients[len(x) :])
    log(x=x, y=y, grad_x=grad_x, grad_y=grad_y, upper_sample=s["upper"])
    zero = [0 * p for p in grad_y]
    power = grad_y
    total = zero if wrong == "series from q = 1" else grad_y
    terms = Q + (wrong == "one term too many") - (wrong == "one term too few")
    for q in range(terms - 1):
        batch = s["hessian"][0 if wrong == "one sample for all factors" else q]
        slope = torch.autograd.grad(net.lower(x, y, batch), y, create_graph=True)
        product = list(torch.autograd.grad(inner(slope, power), y))
        log(power=power, product=product, hessian_sample=batch)
        power = combined(1.0, power, -1 / L, product)
        total = power if wrong == "random term without Q" else combined(1.0, total, 1.0, power)
    scale = 1.0 if wrong == "1/l missing" else L
    inverse = [p / scale for p in total]
    y_cross = at(zero) if wrong == "cross derivative at the wrong point" else y
    slope = torch.autograd.grad(net.lower(x, y_cross, s["cross"]), y_cross, create_graph=True)
    cross = list(torch.autograd.grad(inner(slope, inverse), x))
    sign = 1.0 if wrong == "sign of the implicit term" else -1.0
    h = combined(1.0, grad_x, sign, cross)
    log(inverse=inverse, cross=cross, cross_sample=s["cross"], h=h)
    if y_cross is not y:
        log(cross_x=x, cross_y=y_cross)
    return h


def momentum(new: list, old: list, m: list, older: list, wrong: str) -> list:
    beta = 1 - BETA if wrong == "β and 1−β swapped" else BETA
    if wrong == "no correction":
        return combined(1 - beta, new, beta, m)
    if wrong == "two-iterations-old momentum":
        m = older
    if wrong == "correction without β":
        return combined(1.0, new, 1.0, combined(1.0, m, -1.0, old))
    return combined(1.0, new, beta, combined(1.0, m, -1.0, old))


def moved(x: list, m: list, wrong: str) -> list:
    if wrong == "no normalisation":
        return combined(1.0, x, -ETA, m)
    if wrong == "norm per block":
        return [p - ETA / float(length([q])) * q for p, q in zip(x, m, strict=True)]
    return combined(1.0, x, -ETA / float(length(m)), m)


def train(net: Net, recorder: Recorder, steps: int, wrong: str = "", seed: int = 0) -> None:
    x, y = net.x0, net.y0
    x_old, y_old, ya, ya_old = x, y, y, y
    m, older, stored, left = None, None, None, [0 * p for p in y]
    other = batches(seed + 1, net.batch)
    for sample in itertools.islice(batches(seed, net.batch), steps):
        sample["hessian"].append(next(other)["lower"])
        if wrong == "upper batch reused below":
            sample["lower"] = sample["upper"]
        with recorder.step():
            recorder.log(x=x, y=y, y_average=ya)
            hat = y if wrong == "hypergradient at y" else ya
            with recorder.part("new"):
                new = hypergradient(net, x, hat, sample, recorder.log, wrong)
            if m is None:
                made = new
            else:
                x_o = x if wrong == "old point copied after the step" else x_old
                y_o = {"hypergradient at y": y_old, "old point at (x_{t−1}, ŷ_t)": ya}.get(
                    wrong, ya if wrong == "old point copied after the step" else ya_old
                )
                used = next(other) if wrong == "different sample" else sample
                if wrong == "stale sample":
                    old = stored
                else:
                    with recorder.part("old"):
                        old = hypergradient(net, x_o, y_o, used, recorder.log, wrong)
                pair = new, old
                if wrong == "samples normalised":
                    pair = tuple([p / length(v) for p in v] for v in pair)
                made = momentum(*pair, m, older, wrong)
            older, m, stored = (m or made), made, new
            x_next = moved(x, m, wrong)

            gamma = {"γ as 1−γ": 1 - GAMMA, "y_{t−1} overwritten": 0.0}.get(wrong, GAMMA)
            extrapolated = combined(1 + gamma, y, -gamma, y_old)
            z = at(y if wrong == "gradient at y" else extrapolated)
            gradient = list(torch.autograd.grad(net.lower(x, z, sample["lower"]), z))
            with recorder.part("lower"):
                recorder.log(x=x, y=z, gradient=gradient, sample=sample["lower"])
            if wrong == "upper gradient leaks":
                point = at(ya)
                left = list(torch.autograd.grad(net.upper(x, point, sample["upper"]), point))
                gradient = combined(1.0, gradient, 1.0, left)
            y_next = combined(1.0, extrapolated, -ALPHA, gradient)
            tau = {"no averaging": 1.0, "τ and 1−τ swapped": 1 - TAU}.get(wrong, TAU)
            ya_next = combined(1 - tau, ya, tau, y_next)

            recorder.log(momentum=m, move=combined(1.0, x_next, -1.0, x))
            x_old, y_old, ya_old = x, y, ya
            x, y, ya = x_next, y_next, ya_next
