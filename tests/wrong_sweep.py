"""What the oracle says of wrong programs, held against what is true: names, and quantities.

``python -m tests.wrong_sweep [PROGRAMS OF EACH ALGORITHM] [SEED]`` gives the figures.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo.conformance.check import select
from accbo.conformance.methods import METHODS
from accbo.conformance.mistakes.changes import resume, timed
from accbo.conformance.running.observation import Observation, fails
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.replay import shown
from accbo.conformance.verdict.candidate import Candidate, Move, informative
from accbo.conformance.verdict.fitted import with_fitted_ways
from accbo.conformance.verdict.judge import judge
from tests.wrong_programs import (
    DIFFERENT,
    Fields,
    Fresh,
    Program,
    Wrong,
    factory,
    fresh,
    gap,
    right,
    wrong_programs,
)


class Said(NamedTuple):
    """What came of one wrong program."""

    wrong: Wrong
    exit_code: int
    names: tuple[tuple[str, ...], ...]
    where: str
    true_names: tuple[tuple[str, ...], ...]
    offending: tuple[str, ...]

    @property
    def kind(self) -> str:
        """One of: accepted, named, named in vain, located, located elsewhere."""
        if self.exit_code != 1:
            return "accepted"
        if self.names:
            return "named" if self.true_names else "named falsely"
        first = self.offending[:1]
        return "located" if set(first) & self.wrong.quantities else "located elsewhere"

    @property
    def exact(self) -> bool:
        """Whether nothing is said to be wrong of itself that is not."""
        return set(self.offending) <= self.wrong.quantities

    def __str__(self) -> str:
        names = "; ".join(" + ".join(one) for one in self.names)
        return (
            f"{self.kind}: {self.wrong.text}\n"
            f"    names: {names or 'none'} {self.where}; offending {self.offending}, "
            f"truly {sorted(self.wrong.quantities)}"
        )


def observed(made: Program, fast: bool) -> list[Observation]:
    """What a program shows on the vectors."""
    runner = Runner(factory(made), "numpy")
    vectors = select(fast=fast, algorithm=made.method)
    return [one for vector in vectors for one in runner.observe(vector)]


def said(wrong: Wrong, fast: bool = False) -> Said:
    """What the oracle says of a program, and which of the names are true."""
    seen = observed(wrong.program, fast)
    found = judge(seen, implementation="edited", strict=True)
    named = found.diagnosis.named
    true = tuple(
        names for names in found.names if is_true(wrong, names, named.convention, named.where, seen)
    )
    where = named.where if named else ""
    return Said(wrong, found.exit_code, found.names, where, true, found.offending)


# --- whether a name is true -----------------------------------------------------------------


def is_true(
    wrong: Wrong, names: Sequence[str], convention: str, where: str, seen: Sequence[Observation]
) -> bool:
    """Whether some way to make the mistakes makes what the program makes, on fresh numbers."""
    candidates = _candidates(wrong, names, convention, seen)
    if where:  # not everywhere: as the program likes
        candidates = (one._replace(sometimes=kind) for one in candidates for kind in (False, True))
    return any(_is(wrong, one, where) for one in candidates)


def _candidates(
    wrong: Wrong, names: Sequence[str], convention: str, seen: Sequence[Observation]
) -> Iterator[Candidate]:
    method = METHODS[wrong.program.method]
    usable = [one for one in seen if one.states and not one.missing]
    faults = with_fitted_ways(method.faults, sorted(filter(fails, usable), key=informative))
    change = method.others.get(convention, lambda algorithm: algorithm)
    for order in itertools.permutations(names):
        counts = [_most(faults[name], wrong.program.method) for name in order]
        for ways in itertools.product(*map(range, counts)):
            for scopes in itertools.product(*(faults[name].scopes for name in order)):
                moves = zip((faults[name] for name in order), ways, scopes, strict=True)
                yield Candidate(tuple(Move(*move) for move in moves), convention, change)


def _most(fault: Any, method: str) -> int:
    return max(len(fault.variants(one.algorithm)) for one in fresh(method))


def _is(wrong: Wrong, candidate: Candidate, where: str) -> bool:
    """Whether a candidate makes the program's states; under some conventions alone, or right."""
    compared = False
    for one, mine, plain in zip(
        fresh(wrong.program.method), wrong.states, right(wrong.program.method), strict=True
    ):
        distance = _distance(candidate, one, mine)
        if distance is None:
            continue
        if distance > DIFFERENT:
            if not where or any(gap(a, b) > DIFFERENT for a, b in zip(mine, plain, strict=True)):
                return False
        else:
            compared = True
    return compared


def _distance(candidate: Candidate, one: Fresh, mine: Sequence[Fields]) -> float | None:
    """How far a candidate's states are from ``mine``; None where a memory decides."""
    try:
        algorithms = candidate.algorithms(one.algorithm)
    except (ValueError, IndexError, ArithmeticError, KeyError):
        return np.inf
    first = algorithms[0]
    if one.state is not None and getattr(first, "remembers", False):
        return None
    worst, target = 0.0, iter(mine)

    def nearest(states: Sequence[Any]) -> Any:
        nonlocal worst
        goal = next(target)
        gaps = [gap(shown(state), goal) for state in states]
        worst = max(worst, min(gaps))
        return states[int(np.argmin(gaps))]

    try:
        with np.errstate(all="ignore"):
            if one.state is None:
                start = one.start._replace(first=timed(first, 0, one.start.first))
                now = nearest([a.init(one.problem, one.x, one.y, start) for a in algorithms])
            else:
                now = resume(first, one.state)
            for index, sample in enumerate(one.samples):
                if worst > DIFFERENT:
                    return worst
                t = one.state.iteration if one.state is not None else index + 1
                given = timed(first, t, sample)
                now = nearest([a.step(one.problem, now, given) for a in algorithms])
    except (ValueError, IndexError, ArithmeticError, KeyError):
        return np.inf
    return worst


# --- figures ----------------------------------------------------------------------------------


def sweep(methods: Sequence[str], programs: int, seed: int, fast: bool) -> Iterator[Said]:
    """The outcomes of so many wrong programs of each algorithm."""
    for method in methods:
        for wrong in itertools.islice(wrong_programs(method, seed), programs):
            yield said(wrong, fast)


def main() -> None:
    """Print every outcome that is not as it should be, and the counts."""
    programs, seed = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((1, 34), (2, 1)))
    methods = sys.argv[3].split(",") if len(sys.argv) > 3 else list(METHODS)
    kinds: Counter[str] = Counter()
    inexact = hedged = 0
    for method in methods:
        mine: Counter[str] = Counter()
        for one in sweep([method], programs, seed, method == "AccBO"):
            mine[one.kind] += 1
            inexact += one.kind in ("located", "located elsewhere") and not one.exact
            hedged += len(one.names) > len(one.true_names) > 0
            if one.kind not in ("named", "located"):
                print(one, flush=True)
            elif len(one.names) > len(one.true_names) > 0 or (not one.names and not one.exact):
                print("(" + str(one) + ")", flush=True)
        print(method, dict(mine), f"{time.process_time():.0f} s", flush=True)
        kinds += mine
    print(sum(kinds.values()), dict(kinds), f"{inexact=} {hedged=}")


if __name__ == "__main__":
    main()
