"""SAGA: a table of the last derivative seen of every term of a finite sum.

    estimate = new − stored_i + mean;   then mean += (new − stored_i)/n,  stored_i := new

For i uniform on {0..n−1} the estimate has expectation (1/n) Σ_i new_i whatever the table holds,
and the variance of new_i − stored_i: none once the table is up to date. Source: Defazio, Bach,
Lacoste-Julien 2014, eq. (1); the table per derivative is that of SABA (SPEC §5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array, asarray, index_dtype, mean_over, namespace
from accbo.problem import BilevelProblem, NoiseFields


class Sum(NamedTuple):
    """A level that is a finite sum: the field of its samples that is the index, and n."""

    field: str
    terms: int


class Table(NamedTuple):
    """The last derivative of every term, and their mean."""

    stored: Array  # (..., n, d)
    mean: Array  # (..., d)


def saga(table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    """The estimate from term ``index``, and the table with ``new`` in its place.

    ``index`` is ``(..., 1)`` and ``new``, the derivative of that term, ``(..., d)``. The
    estimate reads the table as it was. An index outside [0, n) finds a row of zeros and changes
    none: ``run`` refuses it before it gets here.
    """
    xp, terms = namespace(new), table.stored.shape[-2]
    here = (asarray(np.arange(terms), index, index.dtype) == index)[..., None]  # (..., n, 1)
    old = xp.sum(xp.where(here, table.stored, 0.0), axis=-2)  # one row and exact zeros
    stored = xp.where(here, new[..., None, :], table.stored)
    change = new - old
    return change + table.mean, Table(stored, table.mean + change / terms)


def expect_rows(tables: Any, sums: tuple[Sum, ...]) -> None:
    """Raise ``ValueError`` unless every table of a NamedTuple has a row for every term."""
    for name, table, its_sum in zip(tables._fields, tables, sums, strict=True):
        if table.stored.shape[-2] != its_sum.terms:
            raise ValueError(
                f"the table of {name} has {table.stored.shape[-2]} rows, "
                f"the sum of the problem {its_sum.terms} terms"
            )


def full_pass(
    oracle: Callable[..., Array], point: tuple[Array, ...], sums: Sum, like: Array
) -> Table:
    """The table of ``oracle(*point, sample)`` for every term, shaped like ``like`` ``(..., d)``."""
    xp = namespace(like)
    every = np.arange(sums.terms).reshape(-1, *(1,) * like.ndim)  # batches of one term
    # the point once per term, so that a derivative without noise has its row as well
    repeated = [xp.broadcast_to(part, (sums.terms, *part.shape)) for part in point]
    values = oracle(*repeated, {sums.field: asarray(every, like, index_dtype(like))})
    mean = mean_over(lambda one: one["term"], like, {"term": values})
    return Table(xp.moveaxis(values, 0, -2), mean)


def sums_of(problem: BilevelProblem) -> tuple[Sum, Sum]:
    """The lower and the upper level as finite sums drawn one term at a time.

    Raises ``ValueError`` unless the noise of each is one field of law ``index`` with batches of
    one, the same field for every derivative of G that has noise at all: one without is the same
    for every term.
    """
    below, above = (
        _sum(problem.lower_noise, "lower_noise"),
        _sum(problem.upper_noise, "upper_noise"),
    )
    of_terms: tuple[NoiseFields, ...] = ({}, problem.lower_noise)
    if problem.hessian_noise not in of_terms or problem.cross_noise not in of_terms:
        raise ValueError(
            "SABA needs a finite sum: one index must decide ∇_y G, ∇²_yy G and ∇²_xy G"
        )
    return below, above


def _sum(noise: NoiseFields, name: str) -> Sum:
    laws = {field: law.law for field, law in noise.items()}
    if list(laws.values()) != ["index"]:
        raise ValueError(
            f"SABA needs a finite sum: {name} must be one field of law 'index', it has {laws}"
        )
    ((field, law),) = noise.items()
    if law.shape != (1,):
        raise ValueError(
            f"SABA needs a finite sum drawn one term at a time, in batches of shape (1,): "
            f"{name} has batches of shape {law.shape}"
        )
    assert law.parameter is not None  # the law has no meaning without it
    return Sum(field, int(law.parameter))
