"""The checks by name, in the order in which they are reported."""

from __future__ import annotations

from typing import Any

from . import (
    lower_tracking,
    momentum_variance,
    neumann_bias,
    noise_floor,
    oracle_calls,
    own_path,
    rate,
    sample_floor,
    smoothness,
    unbounded_smoothness,
)

CHECKS: dict[str, Any] = {
    check.NAME: check
    for check in (
        neumann_bias,
        smoothness,
        unbounded_smoothness,
        momentum_variance,
        lower_tracking,
        own_path,
        oracle_calls,
        noise_floor,
        sample_floor,
        rate,
    )
}
