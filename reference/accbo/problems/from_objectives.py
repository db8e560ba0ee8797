"""A problem of the user's own: two scalar functions, and derivatives by automatic differentiation.

    upper(x, y, sample) = F(x, y; ξ)        lower(x, y, sample) = G(x, y; ζ)

Both see one point: x of shape (d_x,), y of shape (d_y,), and a sample without replicates; vmap
adds the leading axes. Second derivatives are products, the gradients in y and in x of vᵀ∇_y G:
neither ∇²_yy G nor ∇²_xy G is ever formed.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    dot,
    dtype_name,
    is_array,
    is_real_floating,
    namespace,
    row,
    to_host,
    traceable,
)
from accbo._blame import defined, described
from accbo._extras import install
from accbo._law import expect_law
from accbo.problem import Noise, NoiseFields, Sample
from accbo.sampling import Tape, draw_fields, probe_normals

Objective = Callable[[Array, Array, Sample], Array]
Fields = tuple[tuple[str, Noise], ...]  # of a sample; a tuple, so that JAX can hash it

PROBES = 3  # points at which new objectives are tried
CALLS = 3  # of an objective on one input, which have to agree
NEAR = 0.01  # how far from the point that the user names
LIBRARIES = {"jax": "JAX", "torch": "PyTorch"}


@traceable
@dataclass(frozen=True)
class FromObjectives:
    """Two objectives as a bilevel problem; built by :func:`from_objectives`."""

    upper_objective: Objective
    lower_objective: Objective
    d_x: int
    d_y: int
    backend: str
    upper_fields: Fields
    lower_fields: Fields
    start_point: Callable[[], tuple[Array, Array]] | None = None  # that the user named

    @property
    def upper_noise(self) -> NoiseFields:
        """The fields of ξ."""
        return dict(self.upper_fields)

    @property
    def lower_noise(self) -> NoiseFields:
        """The fields of ζ."""
        return dict(self.lower_fields)

    @property
    def hessian_noise(self) -> NoiseFields:
        """All of ζ: what a derivative leaves out is not known."""
        return dict(self.lower_fields)

    @property
    def cross_noise(self) -> NoiseFields:
        """All of ζ, for the same reason."""
        return dict(self.lower_fields)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F(x, y; ξ), shape ``(...)``."""
        return self._above("value", (x, y), sample)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F(x, y; ξ), shape ``(..., d_x)``."""
        return self._above("grad_x", (x, y), sample)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F(x, y; ξ), shape ``(..., d_y)``."""
        return self._above("grad_y", (x, y), sample)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G(x, y; ζ), shape ``(...)``."""
        return self._below("value", (x, y), sample)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G(x, y; ζ), shape ``(..., d_y)``."""
        return self._below("grad_y", (x, y), sample)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G(x, y; ζ) v, shape ``(..., d_y)``."""
        return self._below("hvp", (x, y, v), sample)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G(x, y; ζ) v, shape ``(..., d_x)``."""
        return self._below("cross", (x, y, v), sample)

    def _above(self, kind: str, point: tuple[Array, ...], sample: Sample) -> Array:
        return self._call(kind, self.upper_objective, self.upper_fields, point, sample)

    def _below(self, kind: str, point: tuple[Array, ...], sample: Sample) -> Array:
        return self._call(kind, self.lower_objective, self.lower_fields, point, sample)

    def _call(
        self, kind: str, objective: Objective, fields: Fields, point: tuple[Array, ...], sample: Any
    ) -> Array:
        _expect_library(self.backend, point[0])
        names = None if sample is None else tuple(name for name, _ in fields)
        if missing := [name for name in names or () if name not in sample]:
            raise ValueError(f"sample lacks the fields {missing}; it has {list(sample)}")
        oracle = _oracle(self.backend, kind, objective, names)
        return oracle(*point, *(sample[name] for name in names or ()))


def from_objectives(
    upper: Objective,
    lower: Objective,
    d_x: int,
    d_y: int,
    *,
    backend: str = "jax",
    upper_noise: Mapping[str, Any] | None = None,
    lower_noise: Mapping[str, Any] | None = None,
    at: tuple[Array, Array] | None = None,
) -> FromObjectives:
    """Two scalar functions of (x, y, sample) as a bilevel problem in JAX or PyTorch.

    ``upper`` and ``lower`` get one point, x ``(d_x,)`` and y ``(d_y,)``, and one sample: a dict
    of arrays with the fields and shapes declared in ``upper_noise`` and ``lower_noise``, each a
    ``Noise`` or a tuple (law, shape) or (law, shape, parameter) with one axis; or ``None`` for
    the expectation. They return a scalar array, are pure (two calls on one input
    agree), and branch on no value. A batch of
    data is a field ``Noise("index", (batch,), rows)``. ``lower`` must be strongly convex in y.

    The objectives are tried at points within about 0.01 of ``at``, a pair (x, y) of arrays in the
    precision of the run, or else at normal points in the library's default precision, on samples
    drawn from the declared noise. Raises ``ImportError`` without
    the library; ``TypeError`` or ``ValueError`` where an objective raises, gives no scalar, no
    floating-point number or a NaN, does not depend on its variables in a way that can be
    differentiated, or where ``lower`` has no positive curvature in y.
    """
    _check_arguments(upper, lower, d_x, d_y, backend)
    above, below = _fields("upper_noise", upper_noise), _fields("lower_noise", lower_noise)
    start = None if at is None else _Start(at)
    problem = FromObjectives(upper, lower, d_x, d_y, backend, above, below, start)
    library(backend)
    if backend == "torch":
        modules = importlib.import_module("accbo.problems._torch_modules")
        for objective in (upper, lower):
            modules.refuse_random(objective)
    _try_out(problem, *_probe(problem, at))
    return problem


class _Start:
    """A point that JAX takes for part of the program, as it does a function: it is no variable."""

    def __init__(self, point: tuple[Array, Array]) -> None:
        self._point = point

    def __call__(self) -> tuple[Array, Array]:
        return self._point

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Start)  # another start is no reason to compile anew

    def __hash__(self) -> int:
        return hash(_Start)


# --- one oracle, batched ---------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _oracle(
    backend: str, kind: str, objective: Objective, names: tuple[str, ...] | None
) -> Callable[..., Array]:
    """(x, y[, v], *fields) ↦ the value or derivative, over any leading axes."""
    library(backend)
    if backend == "torch":
        ways: Any = importlib.import_module("accbo.problems._torch_ways")
        made: Callable[..., Any] = ways.oracle(kind, objective, names)
        return made
    return _jax_oracle(kind, objective, names)


def _jax_oracle(
    kind: str, objective: Objective, names: tuple[str, ...] | None
) -> Callable[..., Array]:
    jax = library("jax")
    single = _single(jax, kind, objective)
    point = 3 if kind in ("hvp", "cross") else 2

    def one(*arrays: Array) -> Array:
        sample = None if names is None else dict(zip(names, arrays[point:], strict=True))
        return single(*arrays[:point], sample)

    derived: Callable[..., Any] = jax.jit(lambda *arrays: _batched(jax.vmap, one, arrays))
    return derived


def _batched(vmap: Any, one: Callable[..., Array], arrays: tuple[Array, ...]) -> Array:
    """``one`` over the leading axes of ``arrays``, all but the last axis, broadcast."""
    leading = np.broadcast_shapes(*(tuple(array.shape[:-1]) for array in arrays))
    if not leading:
        return one(*arrays)
    xp, count = namespace(arrays[0]), math.prod(leading)

    def flat(array: Array) -> Array:
        last = array.shape[-1]
        return xp.reshape(xp.broadcast_to(array, (*leading, last)), (count, last))

    shared = [array.ndim == 1 for array in arrays]  # what has no replicates is not copied
    axes = tuple(None if alone else 0 for alone in shared)
    given = [a if alone else flat(a) for a, alone in zip(arrays, shared, strict=True)]
    result = vmap(one, axes)(*given)
    return xp.reshape(result, (*leading, *result.shape[1:]))


def _single(jax: Any, kind: str, objective: Objective) -> Callable[..., Array]:
    """The value or derivative at one point."""
    if kind == "value":
        return objective
    if kind in ("grad_x", "grad_y"):
        derived: Callable[..., Any] = jax.grad(objective, argnums=("grad_x", "grad_y").index(kind))
        return derived
    slope = jax.grad(objective, argnums=1)

    def product(x: Array, y: Array, v: Array, sample: Sample) -> Array:
        if kind == "hvp":
            return jax.vjp(lambda y: slope(x, y, sample), y)[1](v)[0]
        return jax.vjp(lambda x: slope(x, y, sample), x)[1](v)[0]

    return product


# --- the libraries ---------------------------------------------------------------------------


def library(name: str) -> Any:
    """JAX or PyTorch; raises ``ImportError`` that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"these objectives are differentiated with {LIBRARIES[name]}, which cannot be imported "
            f"({error}); {install(name)}"
        ) from None


def _expect_library(backend: str, x: Array) -> None:
    if backend not in namespace(x).__name__.split("."):
        raise TypeError(
            f"this problem differentiates with {LIBRARIES[backend]}; expected its arrays, "
            f"got {type(x).__module__}.{type(x).__qualname__}"
        )


# --- what is refused -------------------------------------------------------------------------


def _check_arguments(upper: Any, lower: Any, d_x: Any, d_y: Any, backend: Any) -> None:
    for name, function in (("upper", upper), ("lower", lower)):
        if not callable(function):
            raise TypeError(f"{name} must be a function of (x, y, sample), got {function!r}")
    for name, count in (("d_x", d_x), ("d_y", d_y)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {count!r}")
    if backend not in LIBRARIES:
        raise ValueError(f"backend must be 'jax' or 'torch', got {backend!r}")


def _fields(name: str, declared: Any) -> Fields:
    """``declared`` as pairs (field, Noise); raises ``TypeError`` or ``ValueError``."""
    if declared is None:
        return ()
    if not isinstance(declared, Mapping):
        raise TypeError(f"{name} must map field names to Noise, got {declared!r}")
    return tuple((field, _noise(f"{name}[{field!r}]", one)) for field, one in declared.items())


def _noise(name: str, given: Any) -> Noise:
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise TypeError(f"{name} must be a Noise or (law, shape[, parameter]), got {given!r}")
    noise = Noise(*given)
    expect_law(noise.law, f"{name}.law")
    shape, rows = noise.shape, noise.parameter
    if not (isinstance(shape, tuple) and len(shape) == 1 and isinstance(shape[0], int)):
        raise ValueError(f"{name} must have a shape of one axis such as (8,), got {shape!r}")
    if noise.law == "index" and not (isinstance(rows, int) and rows >= 1):
        raise ValueError(f"{name} needs the number of rows as its parameter, got {rows!r}")
    return noise


def _probe(problem: FromObjectives, at: tuple[Array, Array] | None) -> tuple[Array, Array]:
    """``PROBES`` points, ``(PROBES, d_x)`` and ``(PROBES, d_y)``: normal, or near ``at``.

    Near and not at it, since a start of zeros is where gradients like to vanish.
    """
    normals, sizes = probe_normals(0), (problem.d_x, problem.d_y)
    away = [normals((PROBES, size)) for size in sizes]
    if at is None:
        held = library(problem.backend)
        like = (held.numpy if problem.backend == "jax" else held).zeros(1)
        return asarray(away[0], like), asarray(away[1], like)
    if not (isinstance(at, tuple) and len(at) == 2 and all(map(is_array, at))):
        raise TypeError(f"at must be a pair (x, y) of arrays, got {at!r}")
    if tuple(tuple(array.shape) for array in at) != ((sizes[0],), (sizes[1],)):
        raise ValueError(
            f"at must have the shapes ({sizes[0]},) and ({sizes[1]},), "
            f"got {tuple(at[0].shape)} and {tuple(at[1].shape)}"
        )
    _expect_library(problem.backend, at[0])
    x, y = (a + NEAR * asarray(d, a) for a, d in zip(at, away, strict=True))
    return x, y


def _try_out(problem: FromObjectives, x: Array, y: Array) -> None:
    """Raise unless both objectives are scalar, finite and differentiable at the points."""
    xi, zeta = (
        row(Tape(0).open(x).block(draw_fields(noise), 1), 0)
        for noise in (problem.upper_noise, problem.lower_noise)
    )
    _expect_scalar("upper", problem.upper_objective, problem.upper_fields, x, y, xi)
    _expect_scalar("lower", problem.lower_objective, problem.lower_fields, x, y, zeta)
    _asked("upper", "value", problem.upper, x, y, xi)
    _asked("lower", "value", problem.lower, x, y, zeta)
    along_x = _asked("upper", "gradient in x", problem.grad_x_upper, x, y, xi)
    along_y = _asked("upper", "gradient in y", problem.grad_y_upper, x, y, xi)
    if _all_zero(along_x) and _all_zero(along_y):
        raise ValueError(f"the gradients of upper in x and y are zero {_WHERE}; {_ZERO}")
    slope = _asked("lower", "gradient in y", problem.grad_y_lower, x, y, zeta)
    if _all_zero(slope):
        raise ValueError(f"the gradient of lower in y is zero {_WHERE}; {_ZERO}")
    bent = _asked("lower", "Hessian-vector product", problem.hvp_lower, x, y, slope, zeta)
    curvature = to_host(dot(slope, bent) / dot(slope, slope))
    if not np.all(curvature > 0):
        raise ValueError(
            f"lower must be strongly convex in y; its curvature along its gradient is "
            f"{np.min(curvature):.3g} {_WHERE}"
        )
    _asked("lower", "cross product", problem.cross_lower, x, y, slope, zeta)


_WHERE = "where it was tried (at=(x, y) chooses another point)"
_ZERO = "it must depend on them, and through operations that have a derivative"


def _expect_scalar(
    name: str, objective: Objective, fields: Fields, x: Array, y: Array, sample: Any
) -> None:
    """One plain call, whose errors are the user's own and easier to read than traced ones."""
    one = {field: sample[field][0, ...] for field, _ in fields}
    try:
        value, *again = [objective(x[0, ...], y[0, ...], one) for _ in range(CALLS)]
    except StopIteration as error:
        raise ValueError(
            f"{name}(x, y, sample) raised {described(error)}: a loader that it reads from has "
            f'ended; declare a batch as the field ("index", (rows,), count) of {name}_noise, or '
            f"hand the data to from_torch or from_jax as {name}_data"
        ) from error
    except Exception as error:
        raise ValueError(f"{name}(x, y, sample) raised {described(error)} {_WHERE}") from error
    if not is_array(value) or namespace(value) is not namespace(x):
        raise TypeError(
            f"{name} must return an array of the library that x is from, "
            f"got {type(value).__module__}.{type(value).__qualname__}{defined(objective)}"
        )
    if tuple(value.shape) != ():
        raise ValueError(
            f"{name} must return a scalar for one x and one y, got shape {tuple(value.shape)}"
            f"{defined(objective)}"
        )
    if not is_real_floating(value):
        raise TypeError(
            f"{name} must return a floating-point number, got {dtype_name(value)}, "
            "which has no derivative"
        )
    for other in again:
        _expect_same(name, objective, to_host(value), to_host(other))


def _expect_same(name: str, objective: Objective, value: np.ndarray, again: np.ndarray) -> None:
    """Raise ``ValueError`` unless two calls on one input agree, to rounding."""
    both_nan = np.isnan(value) & np.isnan(again)
    if both_nan or abs(value - again) <= 1e3 * np.finfo(value.dtype).eps * abs(value):
        return
    raise ValueError(
        f"{name}(x, y, sample) gave {float(value):.9g}, then {float(again):.9g} on the same input"
        f"{defined(objective)}: it takes something that sample does not hold, such as the next "
        "batch of a data loader, a random generator, or dropout in training mode; declare that as "
        f"{name}_noise and read it from sample"
    )


def _asked(name: str, what: str, oracle: Callable[..., Array], *arguments: Any) -> Array:
    """What the oracle gives; raises ``ValueError`` where it cannot or is not finite."""
    try:
        result = oracle(*arguments)
    except Exception as error:
        raise ValueError(
            f"the {what} of {name}, over replicates, cannot be taken: {described(error)}"
        ) from error
    if not np.all(np.isfinite(to_host(result))):
        raise ValueError(f"the {what} of {name} holds a NaN or an infinity {_WHERE}")
    return result


def _all_zero(gradient: Array) -> bool:
    return not np.any(to_host(gradient))
