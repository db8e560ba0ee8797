"""The names that a trace may use, and what each is: the format of docs/traces.md in one place.

A file is JSON Lines. The first line is the header, every other one an iteration:

    {"t": 3, "x": [n, p, p'], …, "new": {"x": …, "product": [[n, p, p'], …], …}, "lower": {…}}

A vector is its norm and its projections on the directions of ``accbo.tracing.directions``, null
where a number is not finite; a sample is an integer in [0, 2⁵³).
"""

from __future__ import annotations

from typing import Any

FORMAT, VERSION = "accbo-trace", 1

VECTOR, SAMPLE, VECTORS, SAMPLES, GROUP, GROUPS, NUMBER = range(7)
X, Y = "x", "y"

Entry = tuple[int, Any]  # (kind, the space of a vector or the names of a group)

# one evaluation of the hypergradient, or of what stands in its place
EVALUATION: dict[str, Entry] = {
    "x": (VECTOR, X),  # where ∇_x F and ∇_y F were taken
    "y": (VECTOR, Y),
    "grad_x": (VECTOR, X),  # ∇_x F
    "grad_y": (VECTOR, Y),  # ∇_y F
    "power": (VECTORS, Y),  # what ∇²_yy G was multiplied by, in order: p_0, p_1, … or z
    "product": (VECTORS, Y),  # ∇²_yy G times that
    "hessian_x": (VECTOR, X),  # where, if elsewhere
    "hessian_y": (VECTOR, Y),
    "inverse": (VECTOR, Y),  # what ∇²_xy G was multiplied by: S ∇_y F, or z
    "cross": (VECTOR, X),  # ∇²_xy G times that
    "cross_x": (VECTOR, X),  # where, if elsewhere
    "cross_y": (VECTOR, Y),
    "h": (VECTOR, X),  # ∇_x F − ∇²_xy G · inverse
    "upper_sample": (SAMPLE, None),  # of ∇_x F
    "upper_y_sample": (SAMPLE, None),  # of ∇_y F, where it is another
    "cross_sample": (SAMPLE, None),
    "hessian_sample": (SAMPLES, None),
}
# the gradients of G that an iteration took, in order
LOWER: dict[str, Entry] = {
    "x": (VECTORS, X),
    "y": (VECTORS, Y),  # where: z_t
    "gradient": (VECTORS, Y),
    "sample": (SAMPLES, None),
}
# SAGA's tables before the iteration: the row of the index, the mean, and the next index's row
TABLE_SPACES = {"gradient": Y, "product": Y, "cross": X, "grad_y": Y, "grad_x": X}
TABLES: dict[str, Entry] = {
    name: (GROUP, dict.fromkeys(("stored", "mean", "other"), (VECTOR, space)))
    for name, space in TABLE_SPACES.items()
}
INNER: dict[str, Entry] = {
    "new": (GROUP, EVALUATION),
    "old": (GROUP, EVALUATION),
    "lower": (GROUP, LOWER),
}
ITERATION: dict[str, Entry] = {
    "x": (VECTOR, X),  # x_t, before the iteration as all of these but the momenta
    "y": (VECTOR, Y),
    "y_average": (VECTOR, Y),
    "z": (VECTOR, Y),
    "momentum": (VECTOR, X),  # m_t, made in the iteration
    "momentum_max": (NUMBER, X),  # its largest |entry|: tells a clamp from other mistakes
    "lower_momentum": (VECTOR, Y),
    "move": (VECTOR, X),  # x_{t+1} − x_t
    "new": (GROUP, EVALUATION),  # at the current point
    "old": (GROUP, EVALUATION),  # at the point before it
    "first": (GROUPS, EVALUATION),  # t = 0: the evaluations whose mean m_0 is
    "other": (GROUPS, EVALUATION),  # beside these
    "stray": (VECTORS, Y),  # gradients ∇_y F that belong to no evaluation
    "lower": (GROUP, LOWER),
    "inner": (GROUPS, INNER),  # VRBO's differences
    "tables": (GROUP, TABLES),
}
# before t = 0, as "t": "start": y as it was given and the lower steps of the warm start
START: dict[str, Entry] = {"x": (VECTOR, X), "y": (VECTOR, Y), "lower": (GROUP, LOWER)}

DTYPES = {  # the unit roundoff u of the coarsest arithmetic in which vectors are combined
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


def entry(path: tuple[Any, ...], start: bool = False) -> Entry:
    """What stands at a path of names and positions; raises ``KeyError`` with a sentence."""
    here: Entry = (GROUP, START if start else ITERATION)
    for index, name in enumerate(path):
        kind, inside = here
        if kind == GROUPS and isinstance(name, int):
            here = (GROUP, inside)
        elif kind == GROUP and name in inside:
            here = inside[name]
        else:
            known = ", ".join(inside) if kind in (GROUP, GROUPS) else "nothing below it"
            parent = ".".join(map(str, path[:index])) or "an iteration"
            raise KeyError(f"there is no {name!r} in {parent}; known: {known}")
    return here
