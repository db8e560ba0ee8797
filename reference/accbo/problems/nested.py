"""Objectives of variables in the user's own shapes, on data of the user's own.

What :func:`from_torch` and :func:`from_jax` share; beneath it is :func:`from_objectives`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, traceable
from accbo.problem import Sample
from accbo.problems._form import Form, Rows
from accbo.problems.from_objectives import FromObjectives, from_objectives

BATCH = 32  # rows of a batch where nobody says how many
ROWS = "rows"  # the field of a sample that holds a batch's row numbers


@traceable
@dataclass(frozen=True)
class Nested(FromObjectives):
    """A bilevel problem whose flat x and y stand for what the user wrote.

    ``x_form(array)`` and ``y_form(array)`` show vectors in the user's shape.
    """

    x_form: Form | None = None
    y_form: Form | None = None


@dataclass(frozen=True)
class Level:
    """One objective, its data and the noise declared beside them."""

    objective: Callable[..., Array]
    rows: Rows | None
    noise: Mapping[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a sample."""
        return ({ROWS: self.rows.noise()} if self.rows else {}) | dict(self.noise)

    def flat(self, x_form: Form, y_form: Form) -> Callable[[Array, Array, Sample], Array]:
        """The objective of flat x and y, and of a sample."""

        @functools.wraps(self.objective)
        def call(x: Array, y: Array, sample: Sample) -> Array:
            given: list[Any] = [x_form.for_objectives(x), y_form.for_objectives(y)]
            drawn = dict(sample) if sample is not None else None
            rows = None if drawn is None else drawn.pop(ROWS, None)
            given.append(None if self.rows is None else self.rows.take(rows))
            if self.noise:
                given.append(drawn)
            return self.objective(*given)

        return call


def nested(
    upper: Level, lower: Level, x: tuple[Form, Array], y: tuple[Form, Array], backend: str
) -> Nested:
    """The problem; what ``from_objectives`` refuses is refused."""
    (x_form, x_flat), (y_form, y_flat) = x, y
    core = from_objectives(
        upper.flat(x_form, y_form),
        lower.flat(x_form, y_form),
        x_form.size,
        y_form.size,
        backend=backend,
        upper_noise=upper.fields,
        lower_noise=lower.fields,
        at=(x_flat, y_flat),
    )
    parts = {field.name: getattr(core, field.name) for field in dataclasses.fields(core)}
    return Nested(**parts, x_form=x_form, y_form=y_form)


def declared(name: str, noise: Any) -> Mapping[str, Any]:
    """The noise that a user declares beside the data; raises ``ValueError`` for a name of ours."""
    if noise is None:
        return {}
    if isinstance(noise, Mapping) and ROWS in noise:
        raise ValueError(f"{name} declares {ROWS!r}, which is the batch's own field; rename it")
    given: Mapping[str, Any] = noise
    return given
