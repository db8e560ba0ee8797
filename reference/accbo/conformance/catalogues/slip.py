"""Mistakes made in SLIP."""

from __future__ import annotations

from accbo.conformance import common_faults as common
from accbo.upper import normalized_step

_Y = "y_{t+1} = y_t − α ∇_y G(x_t, y_t; π)"
_Z = "z_{t+1} = z_t − ν (∇²_yy G(x_t, y_t; ζ) z_t − ∇_y F(x_t, y_t; ξ'))"
_M = "m_t = β m_{t−1} + (1 − β) (∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t)"
_X = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"

CATALOGUE = (
    *common.normalisation(_X),
    common.other_average(_X, new=False, normalised=True),
    *common.averages(_M, normalized_step),
    common.z_at_new_point(_Z),
    common.z_sign(_Z),
    common.one_after_the_other(
        f"{_Y}, and z and x at the same (x_t, y_t, z_t)",
        ((("y",), ("z",)), (("y", "z"), ("x", "momentum"))),
        ((("y",), ("z", "x", "momentum")),),
        ((("z",), ("x", "momentum")),),
    ),
    common.opposite_sign(_M),
    common.cross_elsewhere(_M),
    common.one_upper_sample(_Z),
    common.leak(_Y, upper="upper_y"),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
