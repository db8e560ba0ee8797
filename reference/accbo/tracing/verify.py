"""A trace judged block by block: what fails, since when, which mistake explains it, which constant.

A vector that was computed in arithmetic of unit roundoff u is off by δ, ‖δ‖ ≤ u W, W being the sum
of the sizes of the results of its operations: for Σ a_i v_i of n terms, in any order and with
rounded coefficients, W ≤ (n + 1) Σ |a_i| ‖v_i‖. The directions know nothing of δ, their entries
have variance 13/12, so that |⟨r, δ⟩| exceeds 8‖δ‖ with a probability of about 10⁻¹⁴. The
projection is itself computed: a sum of the 1024 products of a block, one after the other, is off by
u √(1024/6) ‖v‖ = 13 u ‖v‖ (standard deviation), times c ≤ 3/2; 128 is six of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from accbo._options import meant
from accbo._printable import one_line
from accbo.tracing.fit import Fitted, Values
from accbo.tracing.layout import DTYPES
from accbo.tracing.methods.group import Group, Wrong
from accbo.tracing.methods.table import METHODS
from accbo.tracing.parts import Checks, Constants
from accbo.tracing.reader import Header, Lines, TraceError, Wait, no_collection, read
from accbo.tracing.rows import Rows, Vec

CARRY = 4  # rows that a window keeps of the one before
EVIDENCE = 2048  # failing iterations on which mistakes are tried
ALONE = 3  # iterations at least that a mistake must explain where the right line is not judged
EVERY = ("x", "y", "y_average", "z", "momentum", "lower_momentum")  # of every iteration
RARE = 1e-9  # probability of so many coincidences below which they are none


@dataclass
class Kept:
    """What is known of one key of a group."""

    judged: int = 0
    failed: int = 0
    first: int | None = None
    worst: float = 0.0
    alone: bool = False  # known through a mistake's own equations


@dataclass
class Tried:
    """What is known of one mistake."""

    wrong: Wrong
    refuted: bool = False
    explained: int = 0
    everywhere: bool = True  # whether it holds where the right line does too
    first: int | None = None  # the first iteration that it alone speaks of
    open: int = 0  # failing iterations of which it says nothing

    @property
    def fits(self) -> bool:
        """Whether it explains what fails: most of it, and what it does not speak of aside."""
        return not self.refuted and self.explained > self.open

    def shows(self, elsewhere: Mapping[str, Judged]) -> bool:
        """Whether it shows in its other group too, or there not, if that was judged."""
        apart = elsewhere.get(self.wrong.only)
        if apart is not None and apart.departs:
            return False
        other = elsewhere.get(self.wrong.also)
        if other is None or not other.judged:
            return True
        return other.departs and any(
            one.fits and one.wrong.name == self.wrong.name for one in (*other.tried, *other.alone)
        )


@dataclass
class Judged:
    """A group and what the trace says of it."""

    group: Group
    keys: dict[str, Kept] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)
    alone: list[Tried] = field(default_factory=list)
    fitted: dict[str, Values] = field(default_factory=dict)
    single: bool = True  # whether float32 explains all that fails in float64
    evidence: int = 0
    names: list[str] = field(default_factory=list)  # filled in when all groups are known

    @property
    def departs(self) -> bool:
        """Whether something in it fails."""
        return any(kept.failed for kept in self.keys.values())

    @property
    def judged(self) -> int:
        """Iterations in which anything in it was judged."""
        return max((kept.judged for kept in self.keys.values()), default=0)

    @property
    def first(self) -> int:
        """The first iteration in which something in it fails."""
        return min(kept.first for kept in self.keys.values() if kept.first is not None)

    def candidates(self, elsewhere: Mapping[str, Judged]) -> list[str]:
        """The mistakes that explain every failing iteration, without repetition.

        Where some explain those that do not fail as well, these alone; none that would show
        ``elsewhere``, in a group by its name, and does not.
        """
        fits = [one for one in (*self.tried, *self.alone) if one.fits and one.shows(elsewhere)]
        throughout = [one for one in fits if one.everywhere]
        found = [one.wrong.name for one in throughout or fits]
        if not found and any(values.replaced_zero() for values in self.fitted.values()):
            found = ["default that overrides 0"]
        if not found and self.single and self.departs:
            found = ["silent float32"]
        return list(dict.fromkeys(found))


@dataclass
class Verdict:
    """What was found in a trace."""

    header: Header
    algorithm: str
    groups: list[Judged]
    iterations: int
    notes: list[str]
    constants: list[Fitted]

    @property
    def judged(self) -> bool:
        """Whether anything could be judged at all."""
        return any(group.judged for group in self.groups)

    @property
    def departures(self) -> list[Judged]:
        """The groups that fail, the cause before what follows."""
        return [group for group in self.groups if group.departs]

    @property
    def names(self) -> list[str]:
        """All names of mistakes."""
        return list(dict.fromkeys(name for group in self.departures for name in group.names))


def verify(path: Path | str, algorithm: str | None = None, wait: Wait = lambda: False) -> Verdict:
    """Judge the trace at ``path``, as one of ``algorithm`` where its header says another.

    Raises ``TraceError`` or ``OSError`` with one sentence for what is no trace.
    """
    *_, last = verdicts(path, algorithm, wait)
    return last


def verdicts(
    path: Path | str, algorithm: str | None = None, wait: Wait = lambda: False
) -> Iterator[Verdict]:
    """The verdict after every block, the last one being that of the whole trace."""
    header, lines, blocks = read(Path(path), wait)
    try:
        judge = _Judge(header, _known(algorithm or header.algorithm, lines))
        for block in blocks:
            try:
                judge.take(block)
            except TraceError as error:
                raise TraceError(f"{lines.path}: {error}") from None
            yield judge.verdict(lines.notes)
    finally:
        lines.close()
    judge.take([], last=True)
    yield judge.verdict(lines.notes)


def _known(name: str, lines: Lines) -> str:
    found = meant(name, METHODS)
    if found is None:
        raise TraceError(
            f"{lines.path}: no trace of {one_line(name, 40)!r} can be judged; "
            f"known: {', '.join(METHODS)}"
        )
    return found


class _Judge:
    """The groups of one method, and the window that moves over a trace."""

    def __init__(self, header: Header, algorithm: str) -> None:
        self._header, self._algorithm = header, algorithm
        self._u = max(DTYPES[header.dtype], DTYPES[header.arithmetic])
        self._projected = DTYPES[header.arithmetic]
        self.constants = declared(header, self._u)
        self._groups = [
            Judged(
                group,
                tried=[Tried(wrong) for wrong in (*group.wrong, *low_precision(group))],
                alone=[Tried(wrong) for wrong in group.wrong if wrong.alone],
            )
            for group in METHODS[algorithm]
        ]
        self._carried: list[dict[str, Any]] = []
        self._start: dict[str, Any] | None = None
        self._seen: set[str] = set()
        self._done = 0  # iterations judged
        self._logged = dict.fromkeys(EVERY, 0)  # iterations in which each of these was

    def take(self, block: list[dict[str, Any]], last: bool = False) -> None:
        """Judge what a further block makes it possible to judge."""
        with no_collection():
            for name in EVERY:
                self._logged[name] += sum(name in row for row in block if row["t"] != "start")
            self._take(block, last)

    def _take(self, block: list[dict[str, Any]], last: bool) -> None:
        if block and block[0]["t"] == "start":
            self._start, block = block[0] | {"t": -1}, block[1:]
        if self._start is not None and block:
            rows = Rows([self._start, block[0]], self._header.directions, self._seen)
            self._judge(rows, slice(0, 1), start=True)
            self._start = None
        window = self._carried + block
        if not window:
            return
        old = len(self._carried)
        first = max(old - 1, 0)  # the last row of the window before waited for its successor
        end = len(window) if last else len(window) - 1
        if not old or last or block:
            rows = Rows(window, self._header.directions, self._seen)
            if end > first:
                self._judge(rows, slice(first, end))
                self._done += end - first
        self._carried = window[-CARRY:]

    def verdict(self, notes: list[str]) -> Verdict:
        """What is known so far."""
        for judged in self._groups:
            if judged.group.rare:
                _forgive(judged, self.constants["sample_values"])
        fitted = [
            one
            for judged in self._groups
            for key, values in judged.fitted.items()
            if (one := values.summary()).explains or _refuted(judged, key, values)
        ]
        _name(self._groups)
        notes = [*notes, *self._gaps()]
        return Verdict(self._header, self._algorithm, self._groups, self._done, notes, fitted)

    def _gaps(self) -> list[str]:
        """What most iterations have and some have not; the last one may be a state alone."""
        return [
            f"{name} was logged in {count} of {self._done} iterations: what needs it is not "
            "judged in the others"
            for name, count in self._logged.items()
            if 0 < count < self._done - 1
        ]

    # --- one window -----------------------------------------------------------------------------

    def _judge(self, rows: Rows, within: slice, start: bool = False) -> None:
        for judged in self._groups:
            if (judged.group.name == "start") == start:
                self._judge_group(judged, rows, within)

    def _judge_group(self, judged: Judged, rows: Rows, within: slice) -> None:
        t = rows.t[within]
        with np.errstate(all="ignore"):
            checks = judged.group.judge(rows, self.constants)
            ratios = {key: self._ratio(check)[within] for key, check in checks.items()}
            fails = np.zeros(len(t), dtype=bool)
            for key, ratio in ratios.items():
                self._keep(judged, key, ratio, t)
                fails |= ratio > 1
            if fails.any():
                self._explain(judged, rows, within, fails, ratios, checks)
            self._try_alone(judged, rows, within, ratios)
            self._fit(judged, rows, within, ratios)

    def _keep(self, judged: Judged, key: str, ratio: np.ndarray, t: np.ndarray) -> None:
        known = ~np.isnan(ratio)
        if not known.any():
            return
        kept = judged.keys.setdefault(key, Kept())
        kept.judged += int(known.sum())
        bad = ratio > 1
        kept.failed += int(bad.sum())
        kept.worst = max(kept.worst, float(ratio[known].max()))
        if kept.first is None and bad.any():
            kept.first = int(t[int(np.argmax(bad))])

    def _explain(
        self,
        judged: Judged,
        rows: Rows,
        within: slice,
        fails: np.ndarray,
        ratios: dict[str, np.ndarray],
        checks: Checks,
    ) -> None:
        if judged.evidence >= EVIDENCE:
            return
        judged.evidence += int(fails.sum())
        if judged.single and self._u <= DTYPES["float64"]:
            loose = [
                self._ratio(check, DTYPES["float32"])[within]
                for check in checks.values()
                if isinstance(check, tuple)
            ]
            hard = [r for k, r in ratios.items() if not isinstance(checks[k], tuple)]
            judged.single = all((~(ratio > 1)).all() for ratio in (*loose, *hard))
        else:
            judged.single = False
        for tried in judged.tried:
            if not tried.refuted:
                self._try(tried, rows, within, fails, ratios)

    def _try(
        self,
        tried: Tried,
        rows: Rows,
        within: slice,
        fails: np.ndarray,
        ratios: dict[str, np.ndarray],
    ) -> None:
        """A mistake must hold wherever the right line fails, in the same quantities."""
        checks = tried.wrong.judge(rows, self.constants)
        found = {key: self._ratio(check)[within] for key, check in checks.items()}
        explained = np.ones(len(fails), dtype=bool)
        unknown = np.zeros(len(fails), dtype=bool)
        for ratio in found.values():
            tried.everywhere &= not (ratio > 1).any()
        for key, ratio in ratios.items():
            # a quantity that the mistake does not speak of must be right
            other = found.get(key, ratio)
            bad = ratio > 1
            explained &= np.where(bad, other <= 1, ~(other > 1))
            unknown |= bad & np.isnan(other)
        for key, ratio in found.items():
            if key not in ratios:
                explained &= ~(ratio > 1)
        wrong = np.any([ratio > 1 for ratio in found.values()], axis=0) if found else fails
        if (fails & ~explained & (~unknown | wrong)).any():
            tried.refuted = True
        tried.open += int((fails & unknown & ~wrong).sum())
        tried.explained += int((fails & explained).sum())

    def _try_alone(
        self, judged: Judged, rows: Rows, within: slice, ratios: dict[str, np.ndarray]
    ) -> None:
        """Mistakes that are seen where the right line cannot be judged, for want of an input."""
        for tried in judged.alone:
            if tried.refuted or tried.explained > EVIDENCE:
                continue
            checks = tried.wrong.judge(rows, self.constants)
            for key, check in checks.items():
                ratio = self._ratio(check)[within]
                here = np.isnan(ratios.get(key, np.full(len(ratio), np.nan))) & ~np.isnan(ratio)
                if key.endswith(".0") or not here.any():
                    continue
                tried.refuted |= bool((ratio[here] > 1).any())
                tried.explained += int(here.sum())
                if tried.first is None:
                    tried.first = int(rows.t[within][int(np.argmax(here))])
                if not tried.refuted and tried.explained >= ALONE:
                    kept = judged.keys.setdefault(key, Kept())
                    kept.alone = True
                    kept.judged = kept.failed = tried.explained
                    kept.first = tried.first

    def _fit(
        self, judged: Judged, rows: Rows, within: slice, ratios: dict[str, np.ndarray]
    ) -> None:
        """Where a line fails or its constant is not declared: the constant that makes it hold."""
        for key, name in judged.group.fits.items():
            missing = math.isnan(self.constants[name])
            kept = judged.keys.get(key)
            if not missing and not (kept and kept.failed):
                continue
            values = judged.fitted.setdefault(key, Values(name, key, self.constants))
            if values.refuted:
                continue
            at = [
                judged.group.judge(rows, Constants({**self.constants, name: value})).get(key)
                for value in (0.0, 1.0)
            ]
            if any(not isinstance(pair, tuple) for pair in at):
                continue
            (left, zero), (_, one) = at  # type: ignore[misc]
            values.take(rows.t[within], *self._solved(left, zero, one, within))
            if missing and values.count and not values.refuted:
                judged.keys.setdefault(key, Kept()).judged = values.count

    def _solved(self, left: Vec, zero: Vec, one: Vec, within: slice) -> tuple[np.ndarray, ...]:
        """The constant of every row by least squares, how well it is known, and whether it fits."""
        slope, rest = (one.p - zero.p)[within], (left.p - zero.p)[within]
        square = (slope * slope).sum(axis=1)
        value = (rest * slope).sum(axis=1) / square
        size = np.maximum(zero.size, one.size)[within]
        combined = zero.size[within] + np.abs(value) * (one.size + zero.size)[within]
        room = self._room(left.size[within], np.maximum(size, combined), one.terms)
        gap = np.abs(rest - value[:, None] * slope).max(axis=1)
        return value, room / np.sqrt(square), gap <= room

    def _ratio(self, check: Any, u: float | None = None) -> np.ndarray:
        """How far a check is off in units of what is allowed; NaN where it is not judged."""
        if not isinstance(check, tuple):
            return np.asarray(check)
        left, right = check
        room = self._room(left.size, right.size, right.terms, u)
        gap = np.abs(left.p - right.p).max(axis=1)
        known = ~np.isnan(left.size) & ~np.isnan(right.size)
        finite = np.isfinite(right.size) & np.isfinite(right.p).all(axis=1)
        ratio = gap / np.maximum(room, 1e-300)
        there = np.isfinite(left.size) & np.isfinite(left.p).all(axis=1)
        ratio = np.where(there, ratio, np.inf)
        return np.where(known & finite, ratio, np.nan)

    def _room(
        self, left: np.ndarray, right: np.ndarray, terms: int, u: float | None = None
    ) -> np.ndarray:
        u = self._u if u is None else u
        lost = 8 * u * ((terms + 1) * right + left)
        room: np.ndarray = lost + 128 * self._projected * (right + left)
        return room


def _name(groups: list[Judged]) -> None:
    """The names of what fails: of several in one group those that explain another one too."""
    departing = [group for group in groups if group.departs]
    elsewhere = {group.group.name: group for group in groups}
    found = [group.candidates(elsewhere) for group in departing]
    for index, group in enumerate(departing):
        others = {name for i, names in enumerate(found) if i != index for name in names}
        shared = [name for name in found[index] if name in others]
        group.names = shared if len(found[index]) > 1 and shared else found[index]


def low_precision(group: Group) -> list[Wrong]:
    """The lines of a group with constants that were rounded on the way."""

    def wrong(to: Callable[[float], float]) -> Wrong:
        def judge(rows: Rows, c: Constants) -> Checks:
            rounded = {k: to(v) if type(v) is float and k[0] != "_" else v for k, v in c.items()}
            found = Constants(rounded)
            if "_inverse_scale" in c:
                found["_inverse_scale"] = 1 / found["neumann_scale"]
            return group.judge(rows, found)

        return Wrong("constants in low precision", judge)

    return [wrong(to) for to in (_float32, _float16, _bfloat16)]


def _float32(value: float) -> float:
    return float(np.float32(value))


def _float16(value: float) -> float:
    return float(np.float16(value))


def _bfloat16(value: float) -> float:
    """Eight significant bits, ties to even."""
    bits = int(np.float32(value).view(np.uint32))
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return float(np.uint32(rounded).view(np.float32))


def declared(header: Header, u: float) -> Constants:
    """The constants of the header, and what follows from them."""
    constants = Constants(
        {k: float(v) if not isinstance(v, str) else v for k, v in header.constants.items()}
    )
    if constants.get("neumann_scale"):
        constants["_inverse_scale"] = 1 / constants["neumann_scale"]
    constants["_u"] = u
    constants["_d_x"] = float(sum(header.sizes.get("x", ())) or 1)
    constants["_d_y"] = float(sum(header.sizes.get("y", ())) or 1)
    constants.setdefault("sample_values", math.inf)
    return constants


def _refuted(judged: Judged, key: str, values: Values) -> bool:
    """An undeclared constant that no value can be: then the line itself fails."""
    if not (values.refuted and values.undeclared):
        return False
    kept = judged.keys.setdefault(key, Kept())
    kept.judged, kept.failed, kept.first = values.count, 1, values.refuted_at
    return True


def _forgive(judged: Judged, values: float) -> None:
    """Coincidences that are likely where a sample has few values are none."""
    p = min(1.0, judged.group.compared / values)
    for kept in judged.keys.values():
        if kept.failed and _log_tail(kept.failed, kept.judged, p) > math.log(RARE):
            kept.failed, kept.first = 0, None


def _log_tail(count: int, among: int, p: float) -> float:
    """An upper bound on log P(Bin(among, p) ≥ count), Chernoff's."""
    share = count / among
    if share <= p:
        return 0.0
    if p == 0.0:
        return -math.inf
    rest = (1 - share) * math.log((1 - share) / (1 - p)) if share < 1 else 0.0
    return -among * (share * math.log(share / p) + rest)
