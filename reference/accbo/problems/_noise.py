"""The noise that the shared problems put on F and G, and its derivatives.

    F(x, y; ξ) = f + a_x n1·x + ½ b_x n2·x² + a_y n3·y + ½ b_y n4·y²
    G(x, y; ζ) = g + a n·y + ½ c s·y² − e (s'∘y)·Cx

n are normal, two-point or of a law of one's own (mean 0, variance 1, independent), s and s' are
signs. So ∇_x F has noise a_x n1 + b_x n2∘x, ∇²_yy G has c·diag(s), which is bounded: with c < μ
every realisation is strongly convex. A scale of 0 removes its field from the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accbo._arrays import Array, dot, traceable
from accbo._law import Law, expect_law
from accbo.problem import Noise, NoiseFields, Sample


@traceable
@dataclass(frozen=True)
class UpperNoise:
    """Scales of ξ: additive a, multiplicative b, in x and in y; ``law`` as in ``Noise``,
    ``normal``, ``two_point`` or a function.

    ``probability`` is that of the positive value of a two-point law: 0.1 is skewed.
    Raises ``ValueError`` for a negative or non-finite scale or an unknown law.
    """

    additive_x: float = 0.0
    multiplicative_x: float = 0.0
    additive_y: float = 0.0
    multiplicative_y: float = 0.0
    law: Law = "normal"
    probability: float = 0.1

    def __post_init__(self) -> None:
        _validate(self, ("additive_x", "multiplicative_x", "additive_y", "multiplicative_y"))

    def fields(self, d_x: int, d_y: int) -> NoiseFields:
        """The declaration: only fields whose scale is not 0."""
        law = (self.law, self.probability if self.law == "two_point" else None)
        shapes = {
            "additive_x": d_x,
            "multiplicative_x": d_x,
            "additive_y": d_y,
            "multiplicative_y": d_y,
        }
        return {
            name: Noise(law[0], (size,), law[1])
            for name, size in shapes.items()
            if getattr(self, name) != 0
        }

    def value(self, value: Array, x: Array, y: Array, sample: Sample) -> Array:
        """f with its noise, shape ``(...)``."""
        for name, variable in (("x", x), ("y", y)):
            if sample and f"additive_{name}" in sample:
                scale = getattr(self, f"additive_{name}")
                value = value + scale * dot(sample[f"additive_{name}"] + 0 * variable, variable)
            if sample and f"multiplicative_{name}" in sample:
                scale = getattr(self, f"multiplicative_{name}")
                weighted = sample[f"multiplicative_{name}"] * variable
                value = value + 0.5 * scale * dot(weighted, variable)
        return value

    def grad_x(self, gradient: Array, x: Array, sample: Sample) -> Array:
        """∇_x f with its noise, shape ``(..., d_x)``."""
        if sample and "additive_x" in sample:
            gradient = gradient + self.additive_x * sample["additive_x"]
        if sample and "multiplicative_x" in sample:
            gradient = gradient + (self.multiplicative_x * sample["multiplicative_x"]) * x
        return gradient

    def grad_y(self, gradient: Array, y: Array, sample: Sample) -> Array:
        """∇_y f with its noise, shape ``(..., d_y)``."""
        if sample and "additive_y" in sample:
            gradient = gradient + self.additive_y * sample["additive_y"]
        if sample and "multiplicative_y" in sample:
            gradient = gradient + (self.multiplicative_y * sample["multiplicative_y"]) * y
        return gradient


@traceable
@dataclass(frozen=True)
class LowerNoise:
    """Scales of ζ: additive a, curvature c, coupling e; ``law`` is that of the additive part.

    Raises ``ValueError`` for a negative or non-finite scale or an unknown law.
    """

    additive: float = 0.0
    curvature: float = 0.0
    coupling: float = 0.0
    law: Law = "normal"
    probability: float = 0.1

    def __post_init__(self) -> None:
        _validate(self, ("additive", "curvature", "coupling"))

    def fields(self, d_y: int) -> NoiseFields:
        """What ∇_y G depends on."""
        parameter = self.probability if self.law == "two_point" else None
        own = {"additive": Noise(self.law, (d_y,), parameter)} if self.additive else {}
        return {**own, **self.hessian_fields(d_y), **self.cross_fields(d_y)}

    def hessian_fields(self, d_y: int) -> NoiseFields:
        """What ∇²_yy G depends on."""
        return {"curvature": Noise("sign", (d_y,))} if self.curvature else {}

    def cross_fields(self, d_y: int) -> NoiseFields:
        """What ∇²_xy G depends on."""
        return {"coupling": Noise("sign", (d_y,))} if self.coupling else {}

    def value(self, value: Array, y: Array, coupled: Array, sample: Sample) -> Array:
        """g with its noise; ``coupled`` is Cx, shape ``(..., d_y)``."""
        if sample and "additive" in sample:
            value = value + self.additive * dot(sample["additive"] + 0 * y, y)
        if sample and "curvature" in sample:
            value = value + 0.5 * self.curvature * dot(sample["curvature"] * y, y)
        if sample and "coupling" in sample:
            value = value - self.coupling * dot(sample["coupling"] * y, coupled)
        return value

    def grad_y(self, gradient: Array, y: Array, coupled: Array, sample: Sample) -> Array:
        """∇_y g with its noise, shape ``(..., d_y)``."""
        if sample and "additive" in sample:
            gradient = gradient + self.additive * sample["additive"]
        if sample and "curvature" in sample:
            gradient = gradient + (self.curvature * sample["curvature"]) * y
        if sample and "coupling" in sample:
            gradient = gradient - (self.coupling * sample["coupling"]) * coupled
        return gradient

    def hvp(self, product: Array, v: Array, sample: Sample) -> Array:
        """∇²_yy g v with its noise, shape ``(..., d_y)``."""
        if sample and "curvature" in sample:
            product = product + (self.curvature * sample["curvature"]) * v
        return product

    def coupled(self, v: Array, sample: Sample) -> Array:
        """v with the coupling's noise: ∇²_xy G v = −Cᵀ (v + e s'∘v)."""
        if sample and "coupling" in sample:
            v = v + (self.coupling * sample["coupling"]) * v
        return v


def _validate(noise: UpperNoise | LowerNoise, scales: tuple[str, ...]) -> None:
    for name in scales:
        value = getattr(noise, name)
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not (real and math.isfinite(value) and value >= 0):
            raise ValueError(
                f"{type(noise).__name__}.{name} must be finite and >= 0, got {value!r}"
            )
        object.__setattr__(noise, name, float(value))
    expect_law(noise.law, f"{type(noise).__name__}.law", ("normal", "two_point"))
    if not 0 < noise.probability < 1:
        raise ValueError(
            f"{type(noise).__name__}.probability must lie in (0, 1), got {noise.probability!r}"
        )
