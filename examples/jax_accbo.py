"""AccBO in JAX, one compiled function a step, and what the oracle needs of it.

accbo conform examples/jax_accbo.py:implementation
"""

import jax
import jax.numpy as jnp

from accbo.conformance import factors, from_function, rows


def hypergradient(problem, options, x, y, sample):
    """∇_x F − ∇²_xy G S ∇_y F by automatic differentiation."""
    grad_x, v = jax.grad(problem.upper, argnums=(0, 1))(x, y, sample.upper)

    def product(v, batches):
        for batch in batches:
            slope = lambda y: jax.grad(problem.lower, argnums=1)(x, y, batch)  # noqa: B023, E731
            v = v - jax.jvp(slope, (y,), (v,))[1] / options.neumann_scale
        return v / options.neumann_scale

    terms = [product(v, batches) for batches in factors(options, sample)]
    inverse = sum(terms)
    if options.neumann_sampling == "randomised":
        inverse = options.neumann_terms * jnp.stack(terms)[sample.power["power"][0]]

    def along(x):
        return jnp.vdot(jax.grad(problem.lower, argnums=1)(x, y, sample.cross), inverse)

    return grad_x - jax.grad(along)(x)


def descend(problem, options, x, y, y_old, batches):
    """Nesterov steps on the lower loss."""
    for batch in rows(batches):
        z = y + options.lower_momentum * (y - y_old)
        gradient = jax.grad(problem.lower, argnums=1)(x, z, batch)
        y, y_old = z - options.lower_step_size * gradient, y
    return y


def upper_step(options, x, m):
    """One step of length η against m; none where m = 0."""
    largest = jnp.max(jnp.abs(m))
    direction = m / jnp.where(largest > 0, largest, 1)
    return x - options.upper_step_size * direction / jnp.maximum(jnp.linalg.norm(direction), 1)


@jax.jit
def step(problem, options, state, sample):
    """One iteration on a dictionary of arrays."""
    s = state if isinstance(state, dict) else state._asdict()
    before = s["y"] if options.period else s["y_previous"]
    y = descend(problem, options, s["x"], s["y"], before, sample.lower)
    mean = (1 - options.averaging) * s["y_average"] + options.averaging * y
    new, old = s["y_average"], s["y_average_previous"]
    if options.order == "sequential":
        new, old = mean, s["y_average"]
    at_new = hypergradient(problem, options, s["x"], new, sample)
    at_old = hypergradient(problem, options, s["x_previous"], old, sample)
    m = at_new + options.momentum * (s["momentum"] - at_old)
    return {
        "x": upper_step(options, s["x"], m),
        "x_previous": s["x"],
        "y": y,
        "y_previous": s["y"],
        "y_average": mean,
        "y_average_previous": s["y_average"],
        "momentum": m,
    }


@jax.jit
def start(problem, options, x, y, samples):
    """Warm start and iteration 0."""
    y = descend_from_rest(problem, options, x, y, samples.warm_start)
    following = descend_from_rest(problem, options, x, y, samples.first.lower)
    mean = (1 - options.averaging) * y + options.averaging * following
    point = mean if options.order == "sequential" else y
    first = samples.first._replace(lower={})
    m = jnp.mean(
        jax.vmap(lambda sample: hypergradient(problem, options, x, point, sample))(first), axis=0
    )
    return {
        "x": upper_step(options, x, m),
        "x_previous": x,
        "y": following,
        "y_previous": y,
        "y_average": mean,
        "y_average_previous": y,
        "momentum": m,
    }


def descend_from_rest(problem, options, x, y, batches):
    """As ``descend``, from the pair (y, y)."""
    return descend(problem, options, x, y, y, batches)


implementation = from_function(step, start=start, namespace="jax")
