"""A bilevel problem of one's own in JAX: the labels that teach best.

Six points have no labels. Which labels x must they get so that ridge regression on them, y*(x),
fits forty measurements elsewhere? Two functions say so; their derivatives are taken by JAX.
"""

import jax
import jax.numpy as jnp
import numpy as np

import accbo

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
points, features = jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray(rng.normal(size=(40, 3)))
measured = features @ jnp.asarray([1.0, -2.0, 0.5]) + 0.1 * jnp.asarray(rng.normal(size=40))


def upper(x, y, sample):
    """The fit to a batch of measurements, and a preference for small labels."""
    rows = sample["rows"]
    return jnp.mean((features[rows] @ y - measured[rows]) ** 2) / 2 + 0.05 * x @ x


def lower(x, y, sample):
    """Ridge regression on the points with their labels x."""
    return jnp.mean((points @ y - x) ** 2) / 2 + 0.5 * y @ y


def solve(steps=2000):
    """The labels, after ``steps`` iterations with batches of eight measurements."""
    noise = {"rows": accbo.Noise("index", (8,), 40)}
    problem = accbo.problems.from_objectives(upper, lower, 6, 3, backend="jax", upper_noise=noise)
    algorithm = accbo.AccBO(
        lower_step_size=0.25,
        lower_momentum=0.6,
        averaging=0.25,
        momentum=0.95,
        upper_step_size=0.005,
        neumann_terms=8,
        neumann_scale=3.0,
    )
    return accbo.run(algorithm, problem, jnp.zeros(6), jnp.zeros(3), steps=steps).state.x


if __name__ == "__main__":
    print(solve())
