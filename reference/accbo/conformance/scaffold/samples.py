"""What the sample of one iteration holds, algorithm by algorithm: names, axes, meaning."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A part of a sample, by dotted name; ``axes`` stand in front of the replicates and of d."""

    name: str
    what: str
    axes: tuple[str, ...] = ()


_UPPER = Part("upper", "ξ, of F: grad_x_upper and grad_y_upper")
_CROSS = Part("cross", "ζ⁰, of cross_lower")
_LOWER = Part("lower", "π, of grad_y_lower: a row for each lower step", ("steps",))
_HESSIAN = Part("hessian", "ζ, of hvp_lower: a row for each factor of the series", ("Q − 1",))
_POWER = Part("power", 'q, as power["power"], of shape (1,)')

_SERIES = (_UPPER, _CROSS, _HESSIAN, _POWER, _LOWER)
_LINEAR = (
    Part("upper", "ξ, of grad_x_upper"),
    Part("upper_y", "ξ', of grad_y_upper"),
    _CROSS,
    Part("hessian", "ζ, of hvp_lower"),
    _LOWER,
)


def _batch(part: Part, size: str) -> Part:
    """A part with a batch in front of d, under its own axes."""
    return part._replace(what=f"{part.what}, a batch of {size}", axes=(*part.axes, size))


def _inside(name: str, size: str, axes: tuple[str, ...]) -> tuple[Part, ...]:
    """A batch of VRBO, as a part of the sample."""
    parts = (_UPPER, _CROSS, _HESSIAN, Part("lower", "π, of grad_y_lower"))
    return tuple(
        Part(f"{name}.{part.name}", f"{part.what}, a batch of {size}", (*axes, *part.axes, size))
        for part in parts
    )


SAMPLES: dict[str, tuple[Part, ...]] = {
    "AccBO": (
        _UPPER,
        _CROSS,
        Part(
            "hessian",
            "ζ, of hvp_lower: a row for each factor of the series (Q(Q − 1)/2 of them where it is "
            "independent)",
            ("Q − 1",),
        ),
        _POWER._replace(what=f"{_POWER.what}, in the randomised series only"),
        Part(
            "lower",
            "π, of grad_y_lower: a row for each lower step, one in Option I, N or none in II",
            ("steps",),
        ),
    ),
    "SLIP": _LINEAR,
    "SABA": (
        Part("upper", "j, of grad_x_upper and grad_y_upper, one index"),
        Part("lower", "i, of all derivatives of G: one row, that of the step", ("1",)),
    ),
    "SUSTAIN": _SERIES,
    "VRBO": (
        *_inside("large", "S1", ()),
        *_inside("inner", "S2", ("m + 1",)),
    ),
    "TTSA": _SERIES,
    "StocBiO": (
        _batch(_UPPER, "B"),
        _batch(_CROSS, "B"),
        _batch(_HESSIAN, "B"),
        _batch(_LOWER._replace(axes=("D",)), "S"),
    ),
    "MASOBA": _LINEAR,
    "BOREP": (
        *_LINEAR[:-1],
        _LOWER._replace(what="π, of grad_y_lower: N rows at a refresh, else none"),
    ),
}
