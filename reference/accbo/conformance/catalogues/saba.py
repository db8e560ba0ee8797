"""Mistakes made in SABA, most of them in its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace, row
from accbo.algorithms import SABATables
from accbo.conformance import common_faults as common
from accbo.conformance.fault import Change
from accbo.conformance.method_variants import Again, by, overriding
from accbo.conformance.variants import Beside, Variant
from accbo.saga import Table, saga, sums_of
from accbo.sampling import Start

TABLES = "tables"

# (name of the table, table, index, new derivative) to the estimate and the next table
Rule = Callable[[str, Table, Array, Array], tuple[Array, Table]]


def _by(rule: Rule) -> Change:
    """SABA's step with a rule in place of SAGA's."""

    def step(self: Any, problem: Any, state: Any, sample: Any) -> Any:
        x, y, z, tables, _ = state
        below, above = sums_of(problem)
        at_i, at_j = row(sample.lower, 0), sample.upper
        i, j = at_i[below.field], at_j[above.field]
        seen = (
            (i, problem.grad_y_lower(x, y, at_i)),
            (i, problem.hvp_lower(x, y, z, at_i)),
            (i, problem.cross_lower(x, y, z, at_i)),
            (j, problem.grad_y_upper(x, y, at_j)),
            (j, problem.grad_x_upper(x, y, at_j)),
        )
        found = [
            rule(name, table, *new)
            for name, table, new in zip(tables._fields, tables, seen, strict=True)
        ]
        estimates, kept = zip(*found, strict=True)
        return self._advance(state._replace(tables=SABATables(*kept)), *estimates)

    return overriding(step=step)


# --- rules --------------------------------------------------------------------------------------


def _neighbour(shift: int, in_mean: bool) -> Rule:
    """The control variate is the row of index + shift."""

    def rule(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
        terms = table.stored.shape[-2]
        wrong = saga(table, (index + shift) % terms, new)[0]
        after = saga(table, index, new)[1]
        mean = table.mean + (wrong - table.mean) / terms if in_mean else after.mean
        return wrong, Table(after.stored, mean)

    return rule


def _mean_kept(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    estimate, after = saga(table, index, new)
    return estimate, after._replace(mean=table.mean)


def _row_kept(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    estimate, after = saga(table, index, new)
    return estimate, after._replace(stored=table.stored)


def _all_kept(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    return saga(table, index, new)[0], table


def _whole_change(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    estimate, after = saga(table, index, new)
    return estimate, after._replace(mean=estimate)


def _updated_first(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    _, after = saga(table, index, new)
    return after.mean, after  # new − stored is 0


def _new_mean(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    estimate, after = saga(table, index, new)
    return estimate - table.mean + after.mean, after


def _no_mean(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
    estimate, after = saga(table, index, new)
    return estimate - table.mean, after


def _plain(*names: str) -> Rule:
    """Some derivatives are samples, with no table in them."""

    def rule(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
        estimate, after = saga(table, index, new)
        return (new, table) if name in names else (estimate, after)

    return rule


def _sampled(*names: str) -> Rule:
    """As ``_plain``, the tables being kept and not used."""

    def rule(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
        estimate, after = saga(table, index, new)
        return (new if name in names else estimate), after

    return rule


# --- variants with a memory or a start of their own ----------------------------------------------


@dataclass(frozen=True)
class PreviousGradient(Variant):
    """The control variate is the derivative of the iteration before, whatever its index."""

    remembers = True

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0 is right."""
        return self.resume(self.algorithm.init(problem, x, y, start))

    def resume(self, state: Any) -> Any:
        """What was seen last is not in ``state``: the means stand in."""
        return Beside(state, {n: getattr(state.tables, n).mean for n in state.tables._fields})

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """SABA's iteration with those control variates."""
        seen: dict[str, Array] = {}

        def rule(name: str, table: Table, index: Array, new: Array) -> tuple[Array, Table]:
            seen[name] = new
            return new - state.memory[name] + table.mean, saga(table, index, new)[1]

        after = _by(rule)(self.algorithm).step(problem, state.inner, sample)
        return Beside(after, seen)


@dataclass(frozen=True)
class TablesLater(Variant):
    """The tables keep the derivatives of the same terms at the next iterates."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """SABA's iteration, the tables from another look."""
        after = self.algorithm.step(problem, state, sample)
        again = self.algorithm.step(problem, after._replace(tables=state.tables), sample)
        return after._replace(tables=again.tables)


@dataclass(frozen=True)
class EmptyTables(Variant):
    """The tables are zero after iteration 0."""

    def init(self, problem: Any, x: Array, y: Array, start: Start) -> Any:
        """Iteration 0, then nothing in the tables."""
        state = self.algorithm.init(problem, x, y, start)
        empty = map_arrays(lambda array: namespace(array).zeros_like(array), state.tables)
        return state._replace(tables=empty)


# --- the catalogue --------------------------------------------------------------------------------

_S = "estimate = new − stored_i + mean; then mean += (new − stored_i)/n, stored_i := new"
_OLD = "all derivatives, and what the tables keep of them, are at the old (x_t, y_t, z_t)"
_X = "x_{t+1} = x_t − η (F̂_x − Ĵz)"
_Y = "y_{t+1} = y_t − α Ĝ_y"
_Z = "z_{t+1} = z_t − ν (Ĥz − F̂_y)"
_SUMS = ("hvp_lower", "cross_lower")


def _plus(self: Any, state: Any, G_y: Array, Hz: Array, Jz: Array, F_y: Array, F_x: Array) -> Any:
    return super(type(self), self)._advance(state, G_y, Hz, -Jz, F_y, F_x)


CATALOGUE = (
    common.fault(
        "control variate from another index",
        TABLES,
        "new − stored of another term + mean, or the last derivative seen, whatever its term",
        _S,
        "the estimate is as noisy as a sample, or twice as much, and it may be biased",
        _by(_neighbour(1, in_mean=False)),
        _by(_neighbour(1, in_mean=True)),
        _by(_neighbour(-1, in_mean=False)),
        _by(_neighbour(-1, in_mean=True)),
        PreviousGradient,
        where=f"{common.AUC}, saba.py:10-33; data cleaning, saba.py:15-38",
    ),
    common.fault(
        "table mean not updated",
        TABLES,
        "the mean stays that of the start",
        _S,
        "a bias as large as the derivatives have changed since the start",
        _by(_mean_kept),
    ),
    common.fault(
        "table row not stored",
        TABLES,
        "stored_i stays as it was, the mean moves",
        _S,
        "mean and rows drift apart: a bias that grows",
        _by(_row_kept),
    ),
    common.fault(
        "tables never updated",
        TABLES,
        "rows and mean stay those of the start",
        _S,
        "unbiased, and of the variance of a sample once x is away from the start",
        _by(_all_kept),
    ),
    common.fault(
        "1/n missing in the mean",
        TABLES,
        "mean += new − stored_i",
        _S,
        "the mean is no longer that of the rows: a bias as large as a sample's error",
        _by(_whole_change),
    ),
    common.fault(
        "table updated before it is read",
        TABLES,
        "stored_i := new comes first, so that new − stored_i = 0 and the estimate is the mean; "
        "or the new mean is added to new − stored_i",
        _S,
        "SAG: biased by the age of the rows",
        _by(_updated_first),
        _by(_new_mean),
    ),
    common.fault(
        "mean missing",
        TABLES,
        "estimate = new − stored_i",
        _S,
        "the estimate vanishes once the tables are up to date: x stops anywhere",
        _by(_no_mean),
    ),
    common.fault(
        "product without its table",
        TABLES,
        "Hz, Jz or both are samples, beside gradients with a control variate",
        _S,
        "their variance stays: no rate of variance reduction",
        *(_by(of(*names)) for of in (_sampled, _plain) for names in (_SUMS, _SUMS[:1], _SUMS[1:])),
        where=f"{common.AUC}, saba.py:109-118",
    ),
    common.fault(
        "tables at the new point",
        TABLES,
        "the rows become the derivatives at (x_{t+1}, y_{t+1}, z_{t+1})",
        _OLD,
        "twice the calls, and means that belong to no point the estimates were taken at",
        TablesLater,
    ),
    common.fault(
        "tables start empty",
        TABLES,
        "rows and means are zero after the start",
        "start: one pass over both sums at x_0 fills the tables",
        "biased until every term has been drawn",
        EmptyTables,
    ),
    common.z_sign(_Z),
    common.fault(
        "z at the new point",
        common.LINEAR,
        "the z step reads (x_{t+1}, y_{t+1}), or (x_t, y_{t+1}), its tables too or not",
        _Z,
        "z, y and x no longer move together: the analysis with one step size does not cover it",
        by(Again, ((("x", "y"), ("z",)),)),
        by(Again, ((("y",), ("z",)),)),
    ),
    common.opposite_sign(_X, overriding(_advance=_plus)),
    common.cross_elsewhere(_X),
    common.leak(_Y),
    common.shared_batch(_Y),
    common.no_warm_start(),
    common.single_precision(),
)
