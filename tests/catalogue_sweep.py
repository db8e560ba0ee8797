"""Whether the mistakes of the catalogues are named first: in steps, start or both, and in pairs.

``python -m tests.catalogue_sweep [EVERY nth] [METHODS]`` gives the figures.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from accbo.conformance.methods import METHODS
from accbo.conformance.mistakes.changes import scoped
from accbo.conformance.running.observation import departs, departures
from accbo.conformance.running.observe import Runner
from accbo.conformance.verdict.judge import judge
from tests.support import evidence
from tests.variants import implementation

IN = {
    "in the steps": (False, False, True),
    "in the start": (True, True, False),
    "in both": (True, True, True),
}


class Named(NamedTuple):
    """What the oracle said of one or two mistakes made somewhere."""

    method: str
    mistakes: tuple[str, ...]
    where: str
    names: tuple[tuple[str, ...], ...]
    seen: bool  # whether any case departs

    @property
    def first(self) -> bool:
        """Whether the first explanation is the one."""
        return bool(self.names) and set(self.names[0]) == set(self.mistakes)

    @property
    def enough(self) -> bool:
        """Whether one of two is, as the other changes nothing beside it."""
        return bool(self.names) and set(self.names[0]) < set(self.mistakes)

    @property
    def among(self) -> bool:
        """Whether it is one of those that cannot be told apart."""
        return any(set(one) == set(self.mistakes) for one in self.names)


def named(method: str, mistakes: tuple[str, ...], where: str) -> Named:
    """The oracle on the plainest ways to make ``mistakes``, each where ``where`` says."""
    faults = [METHODS[method].faults[name] for name in mistakes]

    def make(declared: Any) -> list[Any]:
        made = [declared]
        for fault in faults:
            ways = fault.variants(declared)[0]
            made = [scoped(change, IN[where])(one) for one in made for change in ways]
        return made

    runner = Runner(implementation(make, method), "numpy")
    vectors = {v.id: v for name in mistakes for v in evidence(method, name)}.values()
    seen = [one for vector in vectors for one in runner.observe(vector)]
    off = any(departs(found) for one in seen for found in departures(one))
    return Named(method, mistakes, where, judge(seen, implementation="it").names, off)


def singles(method: str, every: int, seed: int = 1) -> Iterator[Named]:
    """One in so many of the mistakes made in steps, start or both; of those that may be."""
    faults = METHODS[method].faults
    names = [name for name, fault in faults.items() if len(fault.scopes) > 1]
    offered = list(itertools.product(names, IN))
    draw = random.Random(f"{method} {seed}")
    for name, where in draw.sample(offered, -(-len(offered) // every)):
        yield named(method, (name,), where)


def pairs(method: str, count: int, seed: int = 1) -> Iterator[Named]:
    """So many pairs of mistakes of different parts, made everywhere."""
    draw = random.Random(f"{method} {seed}")
    faults = METHODS[method].faults
    offered = [
        pair
        for pair in itertools.combinations(faults, 2)
        if faults[pair[0]].part != faults[pair[1]].part
        and not any(faults[name].edge for name in pair)
    ]
    for pair in draw.sample(offered, count):
        yield named(method, pair, "in both")


def main() -> None:
    """Print what is not named first, and the counts."""
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    counts: Counter[str] = Counter()
    for method in sys.argv[2].split(",") if len(sys.argv) > 2 else METHODS:
        mine: Counter[str] = Counter()
        for one in itertools.chain(singles(method, every), pairs(method, -(-12 // every))):
            kind = "pairs" if len(one.mistakes) > 1 else one.where
            mine[kind] += one.seen
            mine[f"{kind}, first"] += one.first
            mine[f"{kind}, among"] += one.among
            mine[f"{kind}, one is enough"] += one.enough
            if one.seen and not one.first:
                print(one, flush=True)
        print(method, dict(mine), f"{time.process_time():.0f} s", flush=True)
        counts += mine
    print(dict(counts))


if __name__ == "__main__":
    main()
