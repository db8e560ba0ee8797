"""Problems made of other problems: scaled, padded, rotated, translated, without noise, …"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import (
    Array,
    device,
    dot,
    matvec,
    namespace,
    rmatvec,
    traceable,
)
from accbo.problem import BilevelProblem, NoiseFields, Sample

DERIVATIVES = ("grad_y_lower", "hvp_lower", "cross_lower", "grad_y_upper", "grad_x_upper")


@traceable
@dataclass(frozen=True, eq=False)
class Wrapped:
    """The problem inside, unchanged; a wrapper overrides what it changes.

    ``inner`` takes a point to the coordinates of the problem inside, ``inner_v`` a vector
    shaped like y; ``outer_x`` and ``outer_y`` take derivatives back; ``sample`` is what it is
    told of the noise, ``above`` and ``below`` where F and G are told different things.
    ``forth`` takes a point of the inner problem to the wrapper's
    coordinates, ``back`` takes (x, y, ŷ, m) of a state to the inner problem's.
    """

    problem: BilevelProblem

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        return self.problem.d_x

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        return self.problem.d_y

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""
        return self.problem.upper_noise

    @property
    def lower_noise(self) -> NoiseFields:
        """The fields of ζ that ∇_y G depends on."""
        return self.problem.lower_noise

    @property
    def hessian_noise(self) -> NoiseFields:
        """Those of them that ∇²_yy G depends on."""
        return self.problem.hessian_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """Those of them that ∇²_xy G depends on."""
        return self.problem.cross_noise

    def forth(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The wrapper's coordinates of a point."""
        return x, y

    def back(self, state: Any) -> tuple[Array, Array, Array, Array]:
        """x, y, ŷ, m in the inner problem's coordinates."""
        return state.x, state.y, state.y_average, state.momentum

    def inner(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The inner problem's coordinates of a point."""
        return x, y

    def inner_v(self, v: Array) -> Array:
        """The inner problem's coordinates of a vector shaped like y."""
        return v

    def outer_x(self, derivative: Array) -> Array:
        """The wrapper's coordinates of a derivative by x."""
        return derivative

    def outer_y(self, derivative: Array) -> Array:
        """The wrapper's coordinates of a derivative by y."""
        return derivative

    def sample(self, sample: Sample) -> Sample:
        """The noise that the inner problem sees."""
        return sample

    def above(self, sample: Sample) -> Sample:
        """The noise that the inner F sees."""
        return self.sample(sample)

    def below(self, sample: Sample) -> Sample:
        """The noise that the inner G sees."""
        return self.sample(sample)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ), shape ``(...)``."""
        return self.problem.upper(*self.inner(x, y), self.above(sample))

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F, shape ``(..., d_x)``."""
        inner = self.inner(x, y)
        return self.outer_x(self.problem.grad_x_upper(*inner, self.above(sample)))

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F, shape ``(..., d_y)``."""
        inner = self.inner(x, y)
        return self.outer_y(self.problem.grad_y_upper(*inner, self.above(sample)))

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G(x, y; ζ), shape ``(...)``."""
        return self.problem.lower(*self.inner(x, y), self.below(sample))

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G, shape ``(..., d_y)``."""
        inner = self.inner(x, y)
        return self.outer_y(self.problem.grad_y_lower(*inner, self.below(sample)))

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v, shape ``(..., d_y)``."""
        inner = (*self.inner(x, y), self.inner_v(v))
        return self.outer_y(self.problem.hvp_lower(*inner, self.below(sample)))

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v, shape ``(..., d_x)``."""
        inner = (*self.inner(x, y), self.inner_v(v))
        return self.outer_x(self.problem.cross_lower(*inner, self.below(sample)))


@dataclass(frozen=True, eq=False)
class Perturbed(Wrapped):
    """Every oracle call on disturbed arguments, with a disturbed result; not pure."""

    near: Callable[[np.ndarray], np.ndarray]

    def inner(self, x: Array, y: Array) -> tuple[Array, Array]:
        """A point near (x, y)."""
        return self.near(x), self.near(y)

    def inner_v(self, v: Array) -> Array:
        """A vector near v."""
        return self.near(v)

    def outer_x(self, derivative: Array) -> Array:
        """A derivative near this one."""
        return self.near(derivative)

    def outer_y(self, derivative: Array) -> Array:
        """A derivative near this one."""
        return self.near(derivative)


@dataclass(frozen=True, eq=False)
class Altered(Wrapped):
    """Some derivatives, by name, as ``change`` makes them of the right ones and the sample."""

    names: tuple[str, ...]
    change: Callable[[Array, Sample], Array]

    def _made(self, name: str, value: Array, sample: Sample) -> Array:
        return self.change(value, sample) if name in self.names else value

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F, shape ``(..., d_x)``."""
        return self._made("grad_x_upper", super().grad_x_upper(x, y, sample), sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F, shape ``(..., d_y)``."""
        return self._made("grad_y_upper", super().grad_y_upper(x, y, sample), sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G, shape ``(..., d_y)``."""
        return self._made("grad_y_lower", super().grad_y_lower(x, y, sample), sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v, shape ``(..., d_y)``."""
        return self._made("hvp_lower", super().hvp_lower(x, y, v, sample), sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v, shape ``(..., d_x)``."""
        return self._made("cross_lower", super().cross_lower(x, y, v, sample), sample)


@traceable
@dataclass(frozen=True, eq=False)
class ScaledUpper(Wrapped):
    """``factor`` · F with all its noise over the same G."""

    factor: float

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """c F, shape ``(...)``."""
        return self.factor * super().upper(x, y, sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """c ∇_x F, shape ``(..., d_x)``."""
        return self.factor * super().grad_x_upper(x, y, sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """c ∇_y F, shape ``(..., d_y)``."""
        return self.factor * super().grad_y_upper(x, y, sample)


@traceable
@dataclass(frozen=True, eq=False)
class NoiseFree(Wrapped):
    """The expectation of F and G: no fields, samples ignored."""

    @property
    def upper_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def lower_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def hessian_noise(self) -> NoiseFields:
        """None."""
        return {}

    @property
    def cross_noise(self) -> NoiseFields:
        """None."""
        return {}

    def sample(self, sample: Sample) -> Sample:
        """The expectation."""
        return None


@traceable
@dataclass(frozen=True, eq=False)
class Padded(Wrapped):
    """``more_x`` coordinates that F and G ignore, ``more_y`` that touch no x.

    Those of y have G += ½ c ‖·‖² and F += ½ ‖·‖²: they move, but ∇²_xy G v is 0 for them.
    """

    more_x: int
    more_y: int
    curvature: float

    @property
    def d_x(self) -> int:
        """Dimension of x with the padding."""
        return self.problem.d_x + self.more_x

    @property
    def d_y(self) -> int:
        """Dimension of y with the padding."""
        return self.problem.d_y + self.more_y

    def forth(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The point with ½ in every new coordinate."""
        return _beside(x, _constant(x, self.more_x, 0.5)), _beside(
            y, _constant(y, self.more_y, 0.5)
        )

    def back(self, state: Any) -> tuple[Array, Array, Array, Array]:
        """The old coordinates."""
        x, y = slice(self.problem.d_x), slice(self.problem.d_y)
        return state.x[..., x], state.y[..., y], state.y_average[..., y], state.momentum[..., x]

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F of the old coordinates and ½ ‖·‖² of the new ones of y."""
        inner, extra = self._split(x, y)
        return self.problem.upper(*inner, sample) + 0.5 * dot(extra, extra)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F, and 0."""
        inner, _ = self._split(x, y)
        return _beside(self.problem.grad_x_upper(*inner, sample), _constant(x, self.more_x, 0.0))

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F of both parts."""
        inner, extra = self._split(x, y)
        return _beside(self.problem.grad_y_upper(*inner, sample), extra)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G of the old coordinates and ½ c ‖·‖² of the new ones of y."""
        inner, extra = self._split(x, y)
        return self.problem.lower(*inner, sample) + 0.5 * self.curvature * dot(extra, extra)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G of both parts."""
        inner, extra = self._split(x, y)
        return _beside(self.problem.grad_y_lower(*inner, sample), self.curvature * extra)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v of both parts."""
        inner, _ = self._split(x, y)
        old, new = v[..., : self.problem.d_y], v[..., self.problem.d_y :]
        return _beside(self.problem.hvp_lower(*inner, old, sample), self.curvature * new)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v, and 0."""
        inner, _ = self._split(x, y)
        old = self.problem.cross_lower(*inner, v[..., : self.problem.d_y], sample)
        return _beside(old, _constant(v, self.more_x, 0.0))

    def _split(self, x: Array, y: Array) -> tuple[tuple[Array, Array], Array]:
        d_y = self.problem.d_y
        return (x[..., : self.problem.d_x], y[..., :d_y]), y[..., d_y:]


def _constant(like: Array, size: int, value: float) -> Array:
    shape = (*like.shape[:-1], size)
    return namespace(like).full(shape, value, dtype=like.dtype, device=device(like))


def _beside(left: Array, right: Array) -> Array:
    return namespace(left).concat((left, right), axis=-1)


@traceable
@dataclass(frozen=True, eq=False)
class Rotated(Wrapped):
    """The problem in the coordinates x' = U x, y' = V y; U, V orthogonal.

    The operators are conjugated, so that every noise, diagonal noise included, is mapped.
    """

    rotation_x: Array
    rotation_y: Array

    def forth(self, x: Array, y: Array) -> tuple[Array, Array]:
        """U x, V y."""
        return self.outer_x(x), self.outer_y(y)

    def back(self, state: Any) -> tuple[Array, Array, Array, Array]:
        """Uᵀ and Vᵀ of everything."""
        x, y = self.inner(state.x, state.y)
        momentum, y_average = self.inner(state.momentum, state.y_average)
        return x, y, y_average, momentum

    def inner(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Uᵀ x, Vᵀ y."""
        return rmatvec(self.rotation_x, x), rmatvec(self.rotation_y, y)

    def inner_v(self, v: Array) -> Array:
        """Vᵀ v."""
        return rmatvec(self.rotation_y, v)

    def outer_x(self, derivative: Array) -> Array:
        """U ∇_x."""
        return matvec(self.rotation_x, derivative)

    def outer_y(self, derivative: Array) -> Array:
        """V ∇_y."""
        return matvec(self.rotation_y, derivative)


@traceable
@dataclass(frozen=True, eq=False)
class Translated(Wrapped):
    """The problem in the coordinates x' = x + a, y' = y + b."""

    shift_x: Array
    shift_y: Array

    def forth(self, x: Array, y: Array) -> tuple[Array, Array]:
        """x + a, y + b."""
        return x + self.shift_x, y + self.shift_y

    def back(self, state: Any) -> tuple[Array, Array, Array, Array]:
        """The old coordinates; m is a direction and stays."""
        x, y = self.inner(state.x, state.y)
        return x, y, state.y_average - self.shift_y, state.momentum

    def inner(self, x: Array, y: Array) -> tuple[Array, Array]:
        """x' − a, y' − b."""
        return x - self.shift_x, y - self.shift_y


@traceable
@dataclass(frozen=True, eq=False)
class Isotropic(Wrapped):
    """G' = ½ l ‖y‖² + ⟨y, ∇_y G(x, 0; ζ)⟩: ∇²_yy G' = l I, for every realisation."""

    scale: float

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½ l ‖y‖² + ⟨y, ∇_y G(x, 0)⟩."""
        return 0.5 * self.scale * dot(y, y) + dot(
            y, self.problem.grad_y_lower(x, 0 * y, sample) + 0 * y
        )

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """l y + ∇_y G(x, 0)."""
        return self.scale * y + self.problem.grad_y_lower(x, 0 * y, sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """l v."""
        return self.scale * v

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G(x, 0) v."""
        return self.problem.cross_lower(x, 0 * y, v, sample)


@traceable
@dataclass(frozen=True, eq=False)
class LinearSystem(NoiseFree):
    """F = ⟨b, y⟩ over G = ½⟨y, Ay⟩ − ⟨y, x⟩: the hypergradient estimate is S b itself.

    A = ∇²_yy g and b = ∇_y f of the inner problem at the point (``at_x``, ``at_y``); x and y
    are shaped like its y.
    """

    at_x: Array
    at_y: Array

    @property
    def d_x(self) -> int:
        """d_y of the inner problem."""
        return self.problem.d_y

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """⟨b, y⟩."""
        return dot(self.grad_y_upper(x, y), y)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """0."""
        return 0 * x

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """b."""
        return self.problem.grad_y_upper(self.at_x, self.at_y)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """½⟨y, Ay⟩ − ⟨y, x⟩."""
        return dot(y, 0.5 * self.hvp_lower(x, y, y) - x)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Ay − x."""
        return self.hvp_lower(x, y, y) - x

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Av."""
        return self.problem.hvp_lower(self.at_x, self.at_y, v)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−v."""
        return -v


@dataclass(frozen=True, eq=False)
class Autodiff(Wrapped):
    """Every derivative by JAX from the values F and G alone.

    Sums are differentiated: replicates are independent, so the gradient of a sum holds the
    gradient of each.
    """

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x Σ F."""
        import jax

        return jax.grad(lambda x: self.problem.upper(x, y, sample).sum())(x)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y Σ F."""
        import jax

        return jax.grad(lambda y: self.problem.upper(x, y, sample).sum())(y)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y Σ G."""
        import jax

        return jax.grad(lambda y: self.problem.lower(x, y, sample).sum())(y)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """The derivative of ∇_y G along v."""
        import jax

        x, y = self._widen(x, v), self._widen(y, v)
        return jax.jvp(lambda y: self.grad_y_lower(x, y, sample), (y,), (v,))[1]

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇_x Σ ⟨∇_y G, v⟩."""
        import jax

        x, y = self._widen(x, v), self._widen(y, v)
        return jax.grad(lambda x: (self.grad_y_lower(x, y, sample) * v).sum())(x)

    def _widen(self, z: Array, v: Array) -> Array:
        return namespace(z).broadcast_to(z, (*v.shape[:-1], z.shape[-1]))
