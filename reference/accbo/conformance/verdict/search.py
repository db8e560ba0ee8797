"""The search for the mistakes that reproduce what an implementation showed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo.conformance.methods import Method
from accbo.conformance.mistakes.changes import innermost, on_problem, part
from accbo.conformance.mistakes.mistake import EVERYWHERE, Scope
from accbo.conformance.running.observation import (
    Observation,
    departs,
    departures,
    fails,
    fits,
    growth,
    ratio,
)
from accbo.conformance.vectors.replay import Shown, iterations, replaying, tolerances
from accbo.conformance.vectors.vector import Vector
from accbo.conformance.verdict.candidate import (
    Candidate,
    Convention,
    Move,
    informative,
    replayed,
    same,
)
from accbo.conformance.verdict.fitted import both_sides_seen, with_fitted_ways
from accbo.conformance.verdict.locate import CLOSE
from accbo.conformance.verdict.when import when
from accbo.problems.wrapped import DERIVATIVES, Altered

EXPLAINED = 1e-3  # of the departure may be left unexplained
PAIRS_PER_FAULT = 3  # ways of a fault that are tried together with another
FEWEST = 3  # vectors that depart, for a mistake to be blamed on some of them

Dependence = tuple[str, str]  # a quantity, and a part or derivative that it is made of


class Effect(NamedTuple):
    """What a mistake does to the shown quantities of some steps, by case and name."""

    wrong: frozenset[tuple[str, str]]  # what was shown and is not right
    changed: frozenset[tuple[str, str]]  # by the mistake
    other: frozenset[tuple[str, str]]  # than the mistake makes it
    made_of: frozenset[tuple[str, str, str]]  # some of these, of which parts the mistake makes it

    def may_go_with(self, others: Effect, excused: frozenset[tuple[str, str]]) -> bool:
        """Whether both together may have made what was shown.

        What neither changes is right; what one changes, it alone has made, unless ``excused``, or
        made of something that the other changes.
        """
        return not (
            self.wrong - self.changed - others.changed
            or self._unlike(others) - excused
            or others._unlike(self) - excused
        )

    def _unlike(self, others: Effect) -> frozenset[tuple[str, str]]:
        """What it changes, and not the others, nor what it is made of, into something else."""
        follows = {(case, name) for case, name, of in self.made_of if (case, of) in others.changed}
        return (self.changed & self.other) - others.changed - follows

    def may_undo(self, others: Effect) -> bool:
        """The same of two changes of one part, of which the last may leave nothing of the first.

        What is right is what one of them makes.
        """
        both = self.changed & self.other & others.changed & others.other
        return not (self.wrong - self.changed - others.changed or both - self.wrong)


class Named(NamedTuple):
    """Mistakes that fit: every tuple of ``names`` is one explanation."""

    names: tuple[tuple[str, ...], ...]
    convention: str
    error: float  # the largest, relative to the shown quantities
    iterations: int  # compared
    where: str = ""  # in what conventions or iterations alone; empty: in all


class Tried:
    """What came of replays that one search has made and another one asks for again."""

    def __init__(self, uncut: Mapping[Observation, Observation]) -> None:
        self.uncut = uncut  # of those that are looked at by their first iterations
        self.at_first: list[tuple[str, ...]] = []  # mistakes that fit in those alone
        self.explained: dict[tuple[Candidate, Observation, bool], bool] = {}
        self.evidence: dict[tuple[Candidate, Observation], bool] = {}
        self.effects: dict[tuple[Move, Observation], Effect] = {}
        self.dependences: dict[tuple[tuple[Move, ...], Observation], frozenset[Dependence]] = {}


class Search:
    """The mistakes of a method against observations, in steps first and then in the start."""

    def __init__(self, method: Method, usable: Sequence[Observation], tried: Tried) -> None:
        self.tried = tried
        self.failing = sorted(filter(fails, usable), key=informative)
        ordered = [*self.failing, *itertools.filterfalse(fails, usable)]
        self.starts = [one for one in ordered if one.mode == "start"]
        self.steps = [one for one in ordered if one.mode != "start"]
        self.steps_fail = any(map(fails, self.steps))
        algorithms = list({_options(one.vector): one.vector.algorithm for one in usable}.values())
        self.faults = with_fitted_ways(method.faults, self.failing)
        self.counts = {
            name: max((len(fault.variants(a)) for a in algorithms), default=0)
            for name, fault in self.faults.items()
        }
        self.typical = algorithms[0]
        single = [one for one in self.steps if one.mode == "step" and one.states]
        right = [one for one in single if not fails(one)]
        wrong = [one for one in single if fails(one)]
        self.looked_at = [
            *wrong[:: max(1, len(wrong) // 4)][:4],
            *right[:: max(1, len(right) // 2)][:2],
        ]
        self.order = list(method.faults)
        self.memories: dict[tuple[str, int], bool] = {}

    def named(self, size: int, conventions: Mapping[str, Convention]) -> Named | None:
        """The mistakes, ``size`` at once, that explain everything."""
        for name, change in conventions.items():
            if name and size > 1:
                continue
            found = self._named(self._fitting(size, name, change), name)
            if found:
                return found
        return None

    def sometimes(self) -> Named | None:
        """A mistake that is made in some iterations or replicates, the others being right."""
        if len(self.failing) < FEWEST:
            return None
        fitting = list(self._fitting_sometimes())
        found = self._named(iter(fitting))
        if found is None:
            return None
        best = next(one for one in fitting if one.names == found.names[0])
        return found._replace(where=self._when(best))

    def _when(self, candidate: Candidate) -> str:
        """In which iterations it is made, of those where it would show."""
        seen: list[tuple[int, bool]] = []
        for one in self.steps:
            chosen: list[int] = []
            replay = replayed(candidate, one, chosen=chosen)
            for t in iterations(one.vector, one.mode)[: len(one.states)]:
                before = len(chosen)
                next(replay)
                seen += [(t, which == 0) for which in chosen[before:]]
        return when(seen)

    def _named(self, candidates: Iterator[Candidate], convention: str = "") -> Named | None:
        """What is said of those that fit."""
        found: dict[tuple[str, ...], Candidate] = {}
        for candidate in candidates:
            names = tuple(sorted(candidate.names, key=self.order.index))
            if names in found or not both_sides_seen(names, self.starts + self.steps):
                continue
            if self._to_the_end(candidate):
                found[names] = candidate
            elif not candidate.sometimes:
                self.tried.at_first.append(names)
        if not found:
            return None
        best = next(iter(found.values()))
        counted = self._counted(best)
        return Named(
            tuple(found),
            convention,
            max((_error(best, one) for one in counted), default=0.0),
            sum(len(one.states) for one in counted),
        )

    def _fitting_sometimes(self) -> Iterator[Candidate]:
        """Those that a program makes at will and that need no memory, which would be unknown."""
        wrong = [one for one in self.steps if fails(one)]
        single = [one for one in wrong if one.mode == "step" and not one.vector.replicates]
        for moves in self._moves(1):
            if self._remembers(moves[0]) or not self._explains(Candidate(moves), single):
                continue
            for scope in self._scopes(moves[0]):
                candidate = Candidate((moves[0]._replace(scope=scope),), sometimes=True)
                if (
                    self._explains(candidate, wrong)
                    and self._explains(candidate, self.steps + self.starts)
                    and self._needed(candidate)
                ):
                    yield candidate
                    break

    def _fitting(self, size: int, name: str, change: Convention) -> Iterator[Candidate]:
        for moves in self._moves(size):
            whole = Candidate(moves, name, change)
            if not self._worth_a_look(whole):
                continue
            if self.steps_fail and not self._explains(whole, self.steps):
                continue
            for scopes in itertools.product(*(self._scopes(move) for move in moves)):
                scoped_moves = tuple(
                    move._replace(scope=scope) for move, scope in zip(moves, scopes, strict=True)
                )
                candidate = whole._replace(moves=scoped_moves)
                # where the starts alone fail, they tell sooner
                if (
                    self._may_begin(scoped_moves)
                    and self._explains(candidate, self.starts)
                    and self._explains(whole, self.steps)
                    and self._needed(candidate)
                ):
                    yield candidate
                    break
        yield from self._in_the_start(size, name, change)

    def _in_the_start(self, size: int, name: str, change: Convention) -> Iterator[Candidate]:
        """Mistakes of which the last is made in the start alone."""
        if not any(map(fails, self.starts)) or (size == 1 and self.steps_fail):
            return
        lasts = [
            last._replace(scope=scope)
            for (last,) in self._moves(1)
            if not self._remembers(last)
            for scope in last.fault.scopes
            if not scope[2]
        ]
        for first, last in itertools.product(self._before(size), lasts):
            if not self._may_begin((*first, last)):
                continue
            candidate = Candidate((*first, last), name, change)
            steps = tuple(move._replace(scope=EVERYWHERE) for move in first)
            if (
                self._explains(candidate, self.starts)
                and self._makes(candidate._replace(moves=steps))
                and self._needed(candidate)
            ):
                yield candidate

    def _before(self, size: int) -> Iterator[tuple[Move, ...]]:
        """What may be made beside a mistake in the start: nothing, or one that some steps allow."""
        if size == 1:
            yield ()
            return
        for (move,) in self._moves(1):
            if self._explains(Candidate((move,)), self.looked_at):
                yield from ((move._replace(scope=scope),) for scope in self._scopes(move))

    def _may_begin(self, moves: tuple[Move, ...]) -> bool:
        """Whether two mistakes may have made iteration 0 of the start that departs first."""
        if len(moves) < 2 or not self.starts:
            return True
        start, (first, last) = self.starts[0], moves
        its, others = self._effect_on(first, start), self._effect_on(last, start)
        if not (others.changed or last.scope[2]):  # then the last does nothing at all
            return self._explains_one(Candidate((first,)), start)
        if not (its.changed or others.changed or self.steps_fail):  # from right to right
            return self._remembers(first) or self._remembers(last)
        if first.fault.part == last.fault.part:
            return its.may_undo(others)
        # of what both change, one may have been made of the other
        both = its.changed and others.changed
        return its.may_go_with(others, its.wrong if both else frozenset())

    def _moves(self, size: int) -> Iterator[tuple[Move, ...]]:
        if size == 1:
            for name, fault in self.faults.items():
                yield from ((Move(fault, way),) for way in range(self.counts[name]))
            return
        tried = [
            Move(fault, way)
            for name, fault in self.faults.items()
            for way in range(min(PAIRS_PER_FAULT if fault.laws else 1, self.counts[name]))
        ]
        effects = [self._effect(move) for move in tried]
        together = itertools.combinations(zip(tried, effects, strict=True), 2)
        for (one, its), (other, others) in together:
            if one.fault.name == other.fault.name:
                continue
            if one.fault.part != other.fault.part:
                if its.may_go_with(others, frozenset()):
                    yield one, other
            elif its.may_undo(others):
                yield from ((one, other), (other, one))

    def _effect(self, move: Move) -> Effect:
        """What ``move`` alone does to a few single steps, wrong ones and right ones."""
        effects = [self._effect_on(move, one) for one in self.looked_at]
        return Effect(
            frozenset().union(*(each.wrong for each in effects)),
            frozenset().union(*(each.changed for each in effects)),
            frozenset().union(*(each.other for each in effects)),
            frozenset().union(*(each.made_of for each in effects)),
        )

    def _effect_on(self, move: Move, one: Observation) -> Effect:
        known = self.tried.effects
        if (move, one) not in known:
            known[move, one] = self._made_effect(move, one)
        return known[move, one]

    def _made_effect(self, move: Move, one: Observation) -> Effect:
        """What ``move`` alone does to the first state of ``one``."""
        got, plain = one.states[0], next(replayed(Candidate(()), one))
        made, known = self._made(move, one)
        first = departures(one)[0].iteration
        wrong = {d.quantity for d in departures(one) if departs(d) and d.iteration == first}
        changed = {
            name
            for name, value in plain.items()
            if not made
            or any(not np.array_equal(each[name], value, equal_nan=True) for each in made)
        }
        allowed = tolerances(one.vector, one.mode)[0]
        other = {
            name
            for name, value in got.items()
            if known and not self._agrees(value, made[0][name], plain[name], allowed[name])
        }
        unlike = other & changed & wrong if one.mode != "start" else set()
        if unlike:
            other -= unlike & self._made_of_others(move, one)
        made_of = self._dependences((move,), one) if unlike & other else frozenset()
        return Effect(
            frozenset((one.name, name) for name in wrong),
            frozenset((one.name, name) for name in changed),
            frozenset((one.name, name) for name in other),
            frozenset((one.name, name, of) for name, of in made_of if name in unlike & other),
        )

    def _made_of_others(self, move: Move, one: Observation) -> set[str]:
        """What ``move`` makes of something else in an iteration, and the right step not.

        That is another quantity, or a derivative; another mistake may change it.
        """
        made = self._dependences((move,), one) - self._dependences((), one)
        return {name for name, _ in made}

    def _dependences(self, moves: tuple[Move, ...], one: Observation) -> frozenset[Dependence]:
        known = self.tried.dependences
        if (moves, one) not in known:
            known[moves, one] = frozenset(_dependences(moves, one))
        return known[moves, one]

    def _made(self, move: Move, one: Observation) -> tuple[list[Any], bool]:
        """States that ``move`` alone may make, and whether it makes the first of them.

        It does not where it draws, or remembers: then another memory shows what depends on it.
        """
        candidate = Candidate((move,))
        try:
            algorithms = candidate.algorithms(one.vector.algorithm)
            if len(algorithms) > 1:
                replays = [replaying([a], one.vector, one.mode) for a in algorithms]
            elif getattr(algorithms[0], "remembers", False):
                replays = [replayed(candidate, one, moved) for moved in (0.0, 1.0, -2.0)]
            else:
                return [next(replayed(candidate, one))], True
            return [next(replay) for replay in replays], False
        except (ValueError, IndexError, ArithmeticError, KeyError):
            return [], False

    @staticmethod
    def _agrees(got: Any, made: Any, plain: Any, allowed: Any) -> bool:
        return ratio(got, made, allowed * growth(made, plain)) <= CLOSE

    def _scopes(self, move: Move) -> list[Scope]:
        """The phases beside the iterations that a mistake may be made in."""
        if self._remembers(move) or not self.starts:
            return [EVERYWHERE]
        return [scope for scope in move.fault.scopes if scope[2]]

    def _remembers(self, move: Move) -> bool:
        known, key = self.memories, (move.fault.name, move.way)
        if key not in known:
            ways = move.fault.variants(self.typical)
            made = ways[min(move.way, len(ways) - 1)][0](self.typical)
            known[key] = bool(getattr(made, "remembers", False))
        return known[key]

    # --- evidence

    def _worth_a_look(self, whole: Candidate) -> bool:
        """Of what remembers, whether it explains the start that departs first: the steps cannot."""
        if len(whole.moves) < 2 or not any(self._remembers(m) for m in whole.moves):
            return True
        for scopes in itertools.product(*(self._scopes(move) for move in whole.moves)):
            moves = tuple(
                move._replace(scope=scope) for move, scope in zip(whole.moves, scopes, strict=True)
            )
            if self._explains(whole._replace(moves=moves), self.starts[:1]):
                return True
        return False

    def _makes(self, candidate: Candidate) -> bool:
        """Whether it explains the steps, a wrong one among them, and not for want of evidence."""
        if not self._explains(candidate, self.steps):
            return False
        wrong = [one for one in self.steps if fails(one)]
        return not wrong or any(self._is_evidence(candidate, one) for one in wrong)

    def _explains(self, candidate: Candidate, observations: Iterable[Observation]) -> bool:
        return all(self._explains_one(candidate, one) for one in observations)

    def _explains_one(self, candidate: Candidate, observation: Observation) -> bool:
        """Whether ``candidate`` yields what was shown, and what was wrong with it."""
        algorithm = observation.vector.algorithm
        if candidate.convention and candidate.change(algorithm) == algorithm:
            candidate = candidate._replace(convention="", change=same)  # as it is, here
        known, key = self.tried.explained, (candidate, observation, bool(self.starts))
        if key not in known:
            try:
                known[key] = self._yields(candidate, observation)
            except (ValueError, IndexError, ArithmeticError, KeyError):  # does not apply here
                known[key] = False
        return known[key]

    def _yields(self, candidate: Candidate, observation: Observation) -> bool:
        gap = fits(replayed(candidate, observation), observation, CLOSE)
        departure = max((found.ratio for found in departures(observation)), default=0.0)
        if gap <= CLOSE and (departure <= 1 or gap <= max(1.0, EXPLAINED * departure)):
            return True
        return not self._is_evidence(candidate, observation)

    def _to_the_end(self, candidate: Candidate) -> bool:
        """Whether it yields what is shown after the first iterations too.

        It is compared until it overflows itself. An error that grew for a hundred iterations may
        be many tolerances; of the departure it is little.
        """
        for cut in self.starts + self.steps:
            whole = self.tried.uncut.get(cut)
            if whole is None or not self._is_evidence(candidate, cut):
                continue
            finite = itertools.takewhile(_is_finite, replayed(candidate, whole))
            gap = fits(finite, whole)
            departure = max((found.ratio for found in departures(whole)), default=0.0)
            if not (math.isfinite(gap) and gap <= max(CLOSE, EXPLAINED * departure)):
                return False
        return True

    def _is_evidence(self, candidate: Candidate, observation: Observation) -> bool:
        """Whether no stand-in for a memory decides here, where a start shows the memory itself."""
        if observation.mode == "start" or not self.starts:
            return True
        if not any(self._remembers(move) for move in candidate.moves):
            return True
        known, key = self.tried.evidence, (candidate, observation)
        if key not in known:
            known[key] = _unmoved(candidate, observation)
        return known[key]

    def _counted(self, candidate: Candidate) -> list[Observation]:
        return [one for one in self.starts + self.steps if self._is_evidence(candidate, one)]

    def _needed(self, candidate: Candidate) -> bool:
        """Whether every mistake of it is needed, and every hidden choice was made."""
        counted = self._counted(candidate)
        if not any(map(fails, counted)):
            return False
        if len(candidate.moves) > 1 and any(
            self._explains(candidate.without(index), counted)
            for index in range(len(candidate.moves))
        ):
            return False
        return _chosen_freely(candidate, counted)


def _is_finite(state: Mapping[str, np.ndarray]) -> bool:
    return all(bool(np.all(np.isfinite(value))) for value in state.values())


def _larger(name: str) -> Convention:
    """The change of an algorithm that makes a quantity larger by 1."""
    return part(**{name: lambda right: lambda *given: right(*given) + 1.0})


def _derivative_larger(name: str) -> Convention:
    """The change of an algorithm that makes a derivative larger by 1."""
    return on_problem(lambda a, problem: Altered(problem, (name,), lambda value, s: value + 1.0))


def _dependences(moves: tuple[Move, ...], one: Observation) -> Iterator[Dependence]:
    """Which quantities of a step with these mistakes are made of which parts and derivatives."""
    parts = innermost(one.vector.algorithm).parts._fields
    changes = {name: _larger(name) for name in parts if name in one.vector.fields}
    changes |= {f"derivative {name}": _derivative_larger(name) for name in DERIVATIVES}
    before = _first(Candidate(moves), one)
    for of, change in changes.items():
        after = _first(Candidate(moves, "disturbed", change), one)
        for name in before.keys() & after.keys():
            if not np.array_equal(before[name], after[name], equal_nan=True):
                yield name, of


def _first(candidate: Candidate, one: Observation) -> Shown:
    """The first state that it makes; nothing where it does not apply."""
    try:
        return next(replayed(candidate, one))
    except (ValueError, IndexError, ArithmeticError, KeyError):
        return {}


def _unmoved(candidate: Candidate, observation: Observation) -> bool:
    """Whether another memory would yield the same."""
    plain = replayed(candidate, observation)
    other = replayed(candidate, observation, moved=1.0)
    return all(
        np.array_equal(a[name], b[name], equal_nan=True)
        for a, b in zip(plain, other, strict=True)
        for name in a
    )


def _options(vector: Vector) -> tuple[Any, ...]:
    """What the ways to make a mistake depend on."""
    a = vector.algorithm
    return tuple(getattr(a, name, None) for name in ("neumann_sampling", "neumann_terms"))


def _chosen_freely(candidate: Candidate, observations: Sequence[Observation]) -> bool:
    """Whether what may choose among so many has chosen two of them; true of what has no choice."""
    chosen: dict[int, set[int]] = {}
    for one in observations:
        count = len(candidate.algorithms(one.vector.algorithm))
        if count == 1:
            continue
        made: list[int] = []
        list(replayed(candidate, one, chosen=made))
        chosen.setdefault(count, set()).update(made)
        if len(chosen[count]) > 1:
            return True
    return not any(chosen.values())


def _error(candidate: Candidate, observation: Observation) -> float:
    """The largest gap in a quantity, relative to its size."""
    gaps = [
        float(
            np.max(np.abs(got[name] - right[name]), initial=0.0)
            / max(float(np.max(np.abs(right[name]), initial=0.0)), float(np.finfo(float).tiny))
        )
        for got, right in zip(observation.states, replayed(candidate, observation), strict=False)
        for name in got
    ]
    return max((gap for gap in gaps if not math.isnan(gap)), default=0.0)
