"""Mistakes made in MA-SOBA."""

from __future__ import annotations

from accbo.conformance import common_faults as common
from accbo.conformance.method_variants import OtherAverage, UpperStep, by
from accbo.upper import gradient_step, normalized_step

_Y = "y_{t+1} = y_t − α ∇_y G(x_t, y_t; π)"
_Z = "z_{t+1} = z_t − ν (∇²_yy G(x_t, y_t; ζ) z_t − ∇_y F(x_t, y_t; ξ'))"
_M = "h_{t+1} = β h_t + (1 − β) (∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t)"
_X = "x_{t+1} = x_t − η h_t, the old average"

CATALOGUE = (
    common.fault(
        "x moves with the new average",
        common.UPPER,
        "x moves along h_{t+1}",
        _X,
        "x meets the samples of its own iteration: the analysis does not cover it",
        by(UpperStep, gradient_step),
        by(OtherAverage, gradient_step, True),
        where=f"{common.AUC} and data cleaning, ma_soba.py",
    ),
    common.fault(
        "x step normalised",
        common.UPPER,
        "x − η h/‖h‖",
        _X,
        "SLIP's step: x never comes closer than η",
        by(OtherAverage, normalized_step, False),
    ),
    *common.averages(_M, None),
    common.z_at_new_point(_Z),
    common.z_sign(_Z),
    common.one_after_the_other(
        f"{_Y}, and z and h at the same (x_t, y_t, z_t)",
        ((("y",), ("z",)), (("y", "z"), ("momentum",))),
        ((("y",), ("z", "momentum")),),
        ((("z",), ("momentum",)),),
    ),
    common.opposite_sign(_M),
    common.cross_elsewhere(_M),
    common.one_upper_sample(_Z),
    common.leak(_Y, upper="upper_y"),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
