"""Hyper-cleaning in JAX, with a pytree below: which training rows have wrong labels?

    accbo audit   examples/own_task_jax.py:problem
    accbo compare examples/own_task_jax.py:task --budget 2000 --seeds 3

A network of two layers is trained on weighted rows (lower level); the weights are learnt from clean
rows (upper level).
"""

import jax
import jax.numpy as jnp
import numpy as np

import accbo

generator = np.random.default_rng(0)
rows = generator.standard_normal((80, 3)).astype(np.float32)
labels = np.where(rows[:, 0] > 0, 1.0, -1.0).astype(np.float32)
given = np.where(np.arange(40) < 12, -labels[:40], labels[:40])  # 12 of them are wrong


def network(y, inputs):
    return jnp.tanh(inputs @ y["hidden"]["w"] + y["hidden"]["b"]) @ y["out"]


def upper(x, y, batch):
    inputs, label = batch
    return jnp.mean(jax.nn.softplus(-label * network(y, inputs)))


def lower(x, y, batch):
    inputs, label, index = batch
    each = jax.nn.softplus(-label * network(y, inputs))
    ridge = sum(jnp.sum(leaf**2) for leaf in jax.tree_util.tree_leaves(y))
    return jnp.mean(jax.nn.sigmoid(x["weights"][index]) * each) + 0.05 * ridge


def problem():
    start = {"w": jnp.full((3, 2), 0.1), "b": jnp.zeros(2)}
    return accbo.problems.from_jax(
        upper,
        lower,
        x={"weights": jnp.zeros(40)},
        y={"hidden": start, "out": jnp.array([0.5, -0.5])},
        upper_data=(rows[40:60], labels[40:60]),
        lower_data=(rows[:40], given, np.arange(40)),
        upper_batch=10,
        lower_batch=10,
    )


def validate(state):
    return -float(upper(state.x, state.y, (rows[60:], labels[60:])))


def task():
    return accbo.Task(problem(), validate)
