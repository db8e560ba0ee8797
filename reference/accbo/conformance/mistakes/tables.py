"""Mistakes of a table of derivatives: (table, index, new) to the estimate and the next table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace
from accbo.conformance.mistakes.changes import (
    Before,
    Iteration,
    Variant,
    part,
    remembering,
    then,
    within,
)
from accbo.conformance.mistakes.mistake import (
    AS_IT_IS,
    EVERYWHERE,
    Change,
    Choices,
    Mistake,
    has,
    ways,
)
from accbo.conformance.mistakes.places import AUC
from accbo.problems.wrapped import DERIVATIVES
from accbo.saga import Table, saga

TABLES = DERIVATIVES
_PRODUCTS = TABLES[1:3]
_HAS = has(*TABLES)

# (right, table, index, new derivative) to the estimate and the next table
Rule = Callable[[Any, Table, Array, Array], tuple[Array, Table]]


def _by(rule: Rule, names: Sequence[str] = TABLES) -> Change:
    return part(**dict.fromkeys(names, lambda right: lambda *arguments: rule(right, *arguments)))


# all of them, those of a level, or one alone
_CHOICES = (TABLES, TABLES[:3], TABLES[3:], *((name,) for name in TABLES))


def _in_some(*rules: Rule) -> Callable[[Any], Sequence[Choices]]:
    """Each rule in every choice of tables, all of them first."""
    return ways(*(_by(rule, names) for names in _CHOICES for rule in rules))


def _neighbour(shift: int, in_mean: bool) -> Rule:
    """The control variate is the row of index + shift."""

    def rule(right: Any, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
        terms = table.stored.shape[-2]
        wrong = saga(table, (index + shift) % terms, new)[0]
        after = right(table, index, new)[1]
        mean = table.mean + (wrong - table.mean) / terms if in_mean else after.mean
        return wrong, Table(after.stored, mean)

    return rule


def _mean_kept(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    estimate, after = right(table, *new)
    return estimate, after._replace(mean=table.mean)


def _row_kept(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    estimate, after = right(table, *new)
    return estimate, after._replace(stored=table.stored)


def _all_kept(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    return right(table, *new)[0], table


def _whole_change(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    estimate, after = right(table, *new)
    return estimate, after._replace(mean=estimate)


def _updated_first(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    _, after = right(table, *new)
    return after.mean, after  # new − stored is 0


def _new_mean(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    estimate, after = right(table, *new)
    return estimate - table.mean + after.mean, after


def _no_mean(right: Any, table: Table, *new: Array) -> tuple[Array, Table]:
    estimate, after = right(table, *new)
    return estimate - table.mean, after


def _plain(right: Any, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    """A sample, with no table in it."""
    return new, table


def _sampled(right: Any, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    """A sample, the table being kept and not used."""
    return new, right(table, index, new)[1]


def _last_seen(
    right: Any, memory: Array, table: Table, index: Array, new: Array
) -> tuple[tuple[Array, Table], Array]:
    return (new - memory + table.mean, right(table, index, new)[1]), new


def _last_seen_once_known(
    right: Any, memory: Any, table: Table, index: Array, new: Array
) -> tuple[tuple[Array, Table], Any]:
    """The same, the first estimate being right: nothing was seen before it."""
    (last, known), (estimate, after) = memory, right(table, index, new)
    xp = namespace(new)
    wrong = xp.where(known == 1, new - last + table.mean, estimate)
    return (wrong, after), (new, xp.ones_like(known))


def _nothing_seen(state: Any, name: str) -> tuple[Array, Array]:
    mean = _mean_of(state, name)
    return mean, 0 * mean[..., :1]


def _mean_of(state: Any, name: str) -> Array:
    """The derivative seen last, where it is not known."""
    return getattr(state.tables, name).mean


@dataclass(frozen=True)
class TablesLater(Variant):
    """The tables keep the derivatives of the same terms at the next iterates."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t, the tables from another look."""
        after = self.algorithm.step(problem, state, sample)
        again = self.algorithm.step(problem, after._replace(tables=state.tables), sample)
        return after._replace(tables=again.tables)


def _emptied(algorithm: Any, before: Any, after: Any) -> Any:
    """The tables are zero after iteration 0."""
    if not isinstance(before, Before):
        return after
    empty = map_arrays(lambda array: namespace(array).zeros_like(array), after.tables)
    return after._replace(tables=empty)


def _stays(right: Any, at: Iteration, value: Array, *rest: Any) -> Array:
    """Nothing moves in iteration 0, whose estimates are the means of empty tables."""
    return value if at.state is None else right(value, *rest)


def _empty_from_the_start(algorithm: Any) -> Any:
    return then(_emptied)(within(x=_stays, y=_stays, z=_stays)(algorithm))


MISTAKES = (
    Mistake(
        "control variate from another index",
        "tables",
        "new − stored of another term + mean, or the last derivative seen, whatever its term",
        "the estimate is as noisy as a sample, or twice as much, and it may be biased",
        ways(
            *(_by(_neighbour(shift, in_mean)) for shift in (1, -1) for in_mean in (False, True)),
            remembering(_mean_of, **dict.fromkeys(TABLES, _last_seen)),
            remembering(_nothing_seen, **dict.fromkeys(TABLES, _last_seen_once_known)),
        ),
        _HAS,
        {"SABA": f"{AUC}, saba.py:10-33; data cleaning, saba.py:15-38"},
        AS_IT_IS,
    ),
    Mistake(
        "table mean not updated",
        "tables",
        "the mean stays that of the start",
        "a bias as large as the derivatives have changed since the start",
        _in_some(_mean_kept),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "table row not stored",
        "tables",
        "stored_i stays as it was, the mean moves",
        "mean and rows drift apart: a bias that grows",
        _in_some(_row_kept),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "tables never updated",
        "tables",
        "rows and mean stay those of the start",
        "unbiased, and of the variance of a sample once x is away from the start",
        _in_some(_all_kept),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "1/n missing in the mean",
        "tables",
        "mean += new − stored_i",
        "the mean is no longer that of the rows: a bias as large as a sample's error",
        _in_some(_whole_change),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "table updated before it is read",
        "tables",
        "stored_i := new comes first, so that new − stored_i = 0 and the estimate is the mean; "
        "or the new mean is added to new − stored_i",
        "SAG: biased by the age of the rows",
        _in_some(_updated_first, _new_mean),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "mean missing",
        "tables",
        "estimate = new − stored_i",
        "the estimate vanishes once the tables are up to date: x stops anywhere",
        _in_some(_no_mean),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "product without its table",
        "tables",
        "Hz, Jz or both are samples, beside gradients with a control variate",
        "their variance stays: no rate of variance reduction",
        ways(
            *(
                _by(rule, names)
                for rule in (_sampled, _plain)
                for names in (_PRODUCTS, _PRODUCTS[:1], _PRODUCTS[1:])
            )
        ),
        _HAS,
        {"SABA": f"{AUC}, saba.py:109-118"},
        AS_IT_IS,
    ),
    Mistake(
        "tables at the new point",
        "tables",
        "the rows become the derivatives at (x_{t+1}, y_{t+1}, z_{t+1})",
        "twice the calls, and means that belong to no point the estimates were taken at",
        ways(TablesLater),
        _HAS,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "tables start empty",
        "start",
        "rows and means are zero after the start",
        "biased until every term has been drawn",
        ways(then(_emptied), _empty_from_the_start),
        _HAS,
        scopes=(EVERYWHERE,),
    ),
)
