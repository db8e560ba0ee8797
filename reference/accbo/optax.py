"""AccBO's upper level as an optax transformation of gradients.

    m_t = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1})),   update = −η m_t/‖m_t‖

It fits a loop that has its own lower level and its own hypergradients: both of them, at the new
point and at the old one, on the same fresh sample. One norm over all of x, as in SPEC §2.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class RecursiveMomentumState(NamedTuple):
    """``momentum`` is m_{t−1}, shaped like x; ``count`` is t."""

    momentum: Any
    count: Any


def recursive_momentum(momentum: float, upper_step_size: float) -> Any:
    """A ``GradientTransformationExtraArgs`` whose update is −η m_t/‖m_t‖, ``momentum`` being β.

    ``update(h_new, state, previous=h_old)``: ``h_old`` is the hypergradient at the last point on
    the sample of ``h_new``; at t = 0 it is not read. Where m_t = 0 nothing moves. Raises
    ``ImportError`` without optax, ``ValueError`` for β outside [0, 1) or η ≤ 0.
    """
    try:
        import jax
        import optax
    except ImportError as error:
        raise ImportError(
            f"recursive_momentum is a transformation of optax, which cannot be imported ({error}); "
            "install optax, and JAX with it"
        ) from None
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
    if not upper_step_size > 0:
        raise ValueError(f"upper_step_size must be positive, got {upper_step_size!r}")
    jnp, tree = jax.numpy, jax.tree_util

    def init(params: Any) -> RecursiveMomentumState:
        return RecursiveMomentumState(tree.tree_map(jnp.zeros_like, params), jnp.zeros((), int))

    def update(
        updates: Any, state: RecursiveMomentumState, params: Any = None, *, previous: Any
    ) -> tuple[Any, RecursiveMomentumState]:
        del params
        later = state.count > 0

        def recursion(new: Any, old: Any, m: Any) -> Any:
            return new + jnp.where(later, momentum * (m - old), 0.0)

        m = tree.tree_map(recursion, updates, previous, state.momentum)
        leaves = tree.tree_leaves(m)
        # scaled by its largest entry first: the square of a tiny m would vanish
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
        scale = jnp.where(largest > 0, largest, 1.0)
        size = scale * jnp.sqrt(sum(jnp.sum((leaf / scale) ** 2) for leaf in leaves))
        step = jnp.where(largest > 0, -upper_step_size / jnp.where(size > 0, size, 1.0), 0.0)
        moved = tree.tree_map(lambda leaf: step * leaf, m)
        return moved, RecursiveMomentumState(m, state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
