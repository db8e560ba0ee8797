"""AccBO by another hand, and slips that real code makes, as overrides of one rule each.

Nothing is taken from the package but the derivatives and the layout of the samples.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from accbo.conformance import factors, rows


class Hand:
    """One replicate of AccBO, from the specification alone."""

    def __init__(self, problem: Any, algorithm: Any, state: Any = None) -> None:
        self.p, self.a = problem, self.declared(SimpleNamespace(**vars(algorithm)))
        if state is not None:
            self.load(state)

    def declared(self, a: Any) -> Any:
        """The hyper-parameters as they are used."""
        return a

    @classmethod
    def start(cls, problem: Any, algorithm: Any, x: Any, y: Any, start: Any) -> Hand:
        made = cls(problem, algorithm)
        made.x = np.array(x)
        made.y = made.h = kept = made.descend(np.array(y), np.array(y), start.warm_start)
        if made.a.order == "simultaneous":
            made.m = made.first(start.first)
        made.lower(start.first.lower, made.y)
        if made.a.order == "sequential":
            made.m = made.first(start.first)
        made.h_old = kept
        made.upper()
        return made

    def first(self, first: Any) -> Any:
        count = len(list(rows(first.upper)))
        parts = {name: part for name, part in first._asdict().items() if name != "lower"}
        total = 0.0
        for index in range(count):
            one = {n: {k: leaf[index] for k, leaf in part.items()} for n, part in parts.items()}
            total = total + self.estimate(self.x, self.h, first._replace(**one))
        return total / count

    def load(self, s: Any) -> None:
        fields = (s.x, s.x_previous, s.y, s.y_previous, s.y_average, s.y_average_previous)
        self.x, self.x_old, self.y, self.y_old, self.h, self.h_old = map(np.array, fields)
        self.m = np.array(s.momentum)

    def state(self) -> dict[str, Any]:
        return {"x": self.x, "y": self.y, "y_average": self.h, "momentum": self.m}

    def step(self, sample: Any) -> None:
        if self.a.order == "simultaneous":
            self.momentum(sample, self.h, self.h_old)
        before = self.h
        self.lower(sample.lower, self.y_old)
        if self.a.order == "sequential":
            self.momentum(sample, self.h, before)
        self.h_old = before
        self.upper()

    def lower(self, batches: Any, y_old: Any) -> None:
        before = self.y
        self.y = self.descend(before, before if self.a.period else y_old, batches)
        self.h = (1 - self.a.averaging) * self.h + self.a.averaging * self.y
        self.y_old = before

    def descend(self, y: Any, y_old: Any, batches: Any) -> Any:
        for pi in rows(batches):
            z = y + self.a.lower_momentum * (y - y_old)
            y, y_old = z - self.a.lower_step_size * self.gradient(z, pi), y
        return y

    def gradient(self, y: Any, pi: Any) -> Any:
        return self.p.grad_y_lower(self.x, y, pi)

    def momentum(self, sample: Any, y: Any, y_old: Any) -> None:
        old = self.estimate(self.x_old, y_old, sample)
        self.m = self.estimate(self.x, y, sample) + self.a.momentum * (self.m - old)

    def estimate(self, x: Any, y: Any, sample: Any) -> Any:
        v = self.p.grad_y_upper(x, y, sample.upper)
        z = self.series(x, y, v, sample)
        return self.p.grad_x_upper(x, y, sample.upper) - self.p.cross_lower(x, y, z, sample.cross)

    def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        terms = factors(self.a, sample)
        if self.a.neumann_sampling == "randomised":
            drawn = terms[int(sample.power["power"][0])]
            return self.a.neumann_terms * self.product(x, y, v, drawn)
        return sum(self.product(x, y, v, zetas) for zetas in terms)

    def product(self, x: Any, y: Any, v: Any, zetas: Any) -> Any:
        for zeta in zetas:
            v = v - self.hvp(x, y, v, zeta) / self.a.neumann_scale
        return v / self.a.neumann_scale

    def hvp(self, x: Any, y: Any, v: Any, zeta: Any) -> Any:
        return self.p.hvp_lower(x, y, v, zeta)

    def upper(self) -> None:
        self.x_old, largest = self.x, np.max(np.abs(self.m))
        if largest > 0:
            unit = self.m / largest
            self.x = self.x - self.a.upper_step_size * unit / np.linalg.norm(unit)


def floats(a: Any, to: Any) -> Any:
    """The hyper-parameters, those that are floats rounded."""
    rounded = {k: float(to(v)) if isinstance(v, float) else v for k, v in vars(a).items()}
    return SimpleNamespace(**rounded)


class HalfConstants(Hand):
    def declared(self, a: Any) -> Any:
        return floats(a, np.float16)


class SingleConstants(Hand):
    def declared(self, a: Any) -> Any:
        return floats(a, np.float32)


class DefaultBeta(Hand):
    def declared(self, a: Any) -> Any:
        return SimpleNamespace(**{**vars(a), "momentum": a.momentum or 0.87})


class DefaultGamma(Hand):
    def declared(self, a: Any) -> Any:
        return SimpleNamespace(**{**vars(a), "lower_momentum": a.lower_momentum or 0.5})


class Clipped(Hand):
    top = 1.0

    def estimate(self, x: Any, y: Any, sample: Any) -> Any:
        g = super().estimate(x, y, sample)
        return g * min(1.0, self.top / (np.linalg.norm(g) + 1e-6))


class ClippedFarOut(Clipped):
    top = 10.0


class ProjectedY(Hand):
    def descend(self, y: Any, y_old: Any, batches: Any) -> Any:
        y = super().descend(y, y_old, batches)
        size = np.linalg.norm(y)
        return y * (8.0 / size) if size > 8 else y


class PyTorchNesterov(Hand):
    def descend(self, y: Any, y_old: Any, batches: Any) -> Any:
        a = self.a
        buffer = (y_old - y) / a.lower_step_size
        for pi in rows(batches):
            g = self.gradient(y, pi)
            buffer = a.lower_momentum * buffer + g
            y = y - a.lower_step_size * (g + a.lower_momentum * buffer)
        return y


class WeightedVelocity(Hand):
    def descend(self, y: Any, y_old: Any, batches: Any) -> Any:
        gamma = self.a.lower_momentum
        for pi in rows(batches):
            pull = (1 - gamma) * self.a.lower_step_size * self.gradient(y, pi)
            y, y_old = y + gamma * (y - y_old) - pull, y
        return y


class WeightDecay(Hand):
    def gradient(self, y: Any, pi: Any) -> Any:
        return super().gradient(y, pi) + 3e-4 * y


class Summed(Hand):
    def gradient(self, y: Any, pi: Any) -> Any:
        count = pi["index"].shape[-1] if "index" in pi else 1
        return count * super().gradient(y, pi)


class GaussNewton(Hand):
    def hvp(self, x: Any, y: Any, v: Any, zeta: Any) -> Any:
        g = self.p.grad_y_lower(x, y, zeta)
        return g * (g @ v)


class ByLowerStep(Hand):
    def product(self, x: Any, y: Any, v: Any, zetas: Any) -> Any:
        for zeta in zetas:
            v = v - self.a.lower_step_size * self.hvp(x, y, v, zeta)
        return self.a.lower_step_size * v


class Aliased(Hand):
    conventions: ClassVar = {"neumann_sampling": "chained"}

    def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        total = v = v.copy()
        for zeta in rows(sample.hessian):
            v -= self.hvp(x, y, v, zeta) / self.a.neumann_scale
            total += v
        return total / self.a.neumann_scale


class UnitSamples(Hand):
    def estimate(self, x: Any, y: Any, sample: Any) -> Any:
        h = super().estimate(x, y, sample)
        largest = np.max(np.abs(h))
        return h / largest / np.linalg.norm(h / largest) if largest > 0 else h


class OneSampleATerm(Hand):
    def product(self, x: Any, y: Any, v: Any, zetas: Any) -> Any:
        return super().product(x, y, v, zetas[:1] * len(zetas))


class LowerClipped(Hand):
    def gradient(self, y: Any, pi: Any) -> Any:
        g = super().gradient(y, pi)
        return g * min(1.0, 0.37 / np.linalg.norm(g))


class ConjugateGradients(Hand):
    conventions: ClassVar = {"neumann_sampling": "chained"}

    def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        given = list(rows(sample.hessian))
        u, r, d = np.zeros_like(v), v.copy(), v.copy()
        for _ in range(self.a.neumann_terms):
            if r @ r < 1e-28:
                break
            image = self.hvp(x, y, d, given[0] if given else None)
            size = (r @ r) / (d @ image)
            u, after = u + size * d, r - size * image
            d, r = after + (after @ after) / (r @ r) * d, after
        return u


NAMES = {
    HalfConstants: "constants in low precision",
    SingleConstants: "constants in low precision",
    DefaultBeta: "default that overrides 0",
    DefaultGamma: "default that overrides 0",
    Clipped: "hypergradient clipped",
    ClippedFarOut: "hypergradient clipped",
    ProjectedY: "y projected",
    PyTorchNesterov: "PyTorch's form of Nesterov",
    WeightedVelocity: "velocity with 1 − γ",
    WeightDecay: "weight decay on y",
    Summed: "sum for mean",
    GaussNewton: "Gauss-Newton for the Hessian",
    ByLowerStep: "series scaled by the lower step",
    UnitSamples: "samples normalised",
    OneSampleATerm: "one sample for all factors",
    LowerClipped: "lower gradient clipped",
    Aliased: "series added up in place",
    ConjugateGradients: "conjugate gradients for the series",
}
