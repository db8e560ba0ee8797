"""The proof of the vectors: what it proves, that it can fail, and bounds for any order."""

from __future__ import annotations

import ast
import copy
import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flint")

from accbo.conformance.vectors.files import read_document
from accbo.conformance.vectors.proof import prove as proving
from accbo.conformance.vectors.proof.balls import Balls, nearest
from accbo.conformance.vectors.proof.problems import problem_of
from accbo.conformance.vectors.proof.prove import UNIT, bounds, prove
from accbo.conformance.vectors.proof.replay import of_state, replicates, states
from accbo.conformance.vectors.vector import PROVEN, folder_of, set_files

DOCUMENTS = {path.stem: read_document(path) for path in set_files(2)}
KNOWN, SLIP = DOCUMENTS["known-answer"], DOCUMENTS["slip"]


def one(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A document of the vector ``name`` alone, to be changed."""
    vectors = [vector for vector in document["vectors"] if vector["id"] == name]
    assert len(vectors) == 1
    return {**document, "vectors": copy.deepcopy(vectors)}


# --- what is proven ---------------------------------------------------------------------------


@pytest.mark.parametrize("stem", DOCUMENTS)
def test_every_number_of_the_set_is_proven(stem: str) -> None:
    proof = prove([DOCUMENTS[stem]])
    assert (proof.refuted, proof.undecided) == ([], [])
    assert proof.whole == proof.vectors == len(DOCUMENTS[stem]["vectors"])
    assert proof.numbers == numbers_in([v["expected"] for v in DOCUMENTS[stem]["vectors"]])
    assert proof.holds


def numbers_in(values: Any) -> int:
    if isinstance(values, dict):
        return sum(map(numbers_in, values.values()))
    return sum(map(numbers_in, values)) if isinstance(values, list) else 1


def test_of_set_1_only_the_rounded_sizes_are_refuted() -> None:
    wrong: dict[str, tuple[int, int]] = {}
    for path in set_files(1):
        proof = prove([read_document(path)])
        assert not proof.undecided
        if proof.refuted:
            wrong[path.stem] = (proof.vectors - proof.whole, len(proof.refuted))
    assert wrong == {"ttsa": (9, 66), "sustain": (13, 184)}


def test_set_2_has_the_vectors_of_set_1_as_they_were() -> None:
    """But those of TTSA and SUSTAIN, and with other tolerances and flags."""
    changed = {"tolerance", "tolerance_kind", "flags"}
    for path in set_files(1):
        if path.stem in ("ttsa", "sustain"):
            continue
        old, new = read_document(path), DOCUMENTS[path.stem]
        assert old["problems"].items() <= new["problems"].items()
        there = {vector["id"]: vector for vector in new["vectors"]}
        for vector in old["vectors"]:
            kept = {k: v for k, v in vector.items() if k not in changed}
            assert kept == {k: v for k, v in there[vector["id"]].items() if k not in changed}


def test_most_steps_carry_a_proven_tolerance() -> None:
    steps = [v for d in DOCUMENTS.values() for v in d["vectors"] if v["kind"] == "step"]
    proven = [vector for vector in steps if vector["tolerance_kind"] == PROVEN]
    print(f"{len(proven)} of {len(steps)} steps")
    assert len(proven) > 0.85 * len(steps)


# --- that it can fail -------------------------------------------------------------------------


@pytest.mark.parametrize("document", [KNOWN, SLIP], ids=["known-answer", "slip"])
def test_every_neighbour_of_every_number_is_refuted(document: dict[str, Any]) -> None:
    tried = 0
    for vector in document["vectors"]:
        problem = document["problems"][vector["problem"]]
        for replicate in replicates(vector):
            for verdict, value, ball in dict(
                proving._verdicts(problem, vector, replicate, 512)
            ).values():
                assert verdict is True
                for side in (-np.inf, np.inf):
                    assert nearest(float(np.nextafter(value, side)), ball) is False
                    tried += 1
    assert tried > 300


def test_a_refuted_number_is_named() -> None:
    document = one(SLIP, "slip-several-axes/0")
    place = document["vectors"][0]["expected"][0]["y"][1][0]
    place[2] = float(np.nextafter(place[2], np.inf))
    proof = prove([document])
    assert not proof.holds
    assert [str(wrong).rpartition(" is ")[0] for wrong in proof.refuted] == [
        f"slip-several-axes/0: expected[0].y[1][0][2]: {place[2]!r}"
    ]
    assert "ulp from the exact value" in str(proof.refuted[0])


def test_float32_vectors_are_proven_to_float64() -> None:
    document = one(SLIP, "slip-float32/0")
    x = document["vectors"][0]["expected"][0]["x"]
    x[0] = float(np.float32(x[0]))
    assert [wrong.place for wrong in prove([document]).refuted] == ["expected[0].x[0]"]


def test_ties_go_to_even_and_wide_balls_tell_nothing() -> None:
    Balls.precision(256)
    half = 2.0**-53
    tie = Balls.number(1.0) + Balls.number(half)
    assert nearest(1.0, tie) is True
    assert nearest(1.0 + 2 * half, tie) is False
    above = Balls.number(1.0) + Balls.number(3 * half)
    assert nearest(1.0 + 2 * half, above) is False
    assert nearest(1.0 + 4 * half, above) is True
    third = Balls.number(1.0) / 3
    assert nearest(1 / 3, third) is True
    wide = tie + third - third  # holds the tie, and is no longer exact
    assert nearest(1.0, wide) is None
    assert nearest(1.0 + 2 * half, wide) is None
    assert nearest(float("inf"), tie) is False
    assert nearest(1.0, Balls.number(float("nan"))) is None
    assert nearest(0.0, Balls.number(0.0)) is True
    assert nearest(5e-324, Balls.number(0.0)) is False


def test_what_cannot_be_told_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "PRECISIONS", (53,))
    proof = prove([one(DOCUMENTS["quadratic"], "trajectory-quadratic-simultaneous/0")])
    assert proof.undecided
    assert not proof.refuted
    assert not proof.holds
    assert "could not be told at 53 bits" in proof.text()


def test_nothing_proven_is_no_proof() -> None:
    assert not prove([]).holds
    assert not prove([{**KNOWN, "vectors": []}]).holds


@pytest.mark.parametrize(
    ("factor", "what"), [(0.99, "is below the proven bound"), (1.2, "is above the proven bound")]
)
def test_a_proven_tolerance_is_the_bound(factor: float, what: str) -> None:
    document = one(SLIP, "slip-late/0")
    tolerance = document["vectors"][0]["tolerance"][0]
    least = bounds(document["problems"][document["vectors"][0]["problem"]], document["vectors"][0])
    tolerance["z"] = factor * float(least[0]["z"])
    proof = prove([document])
    assert [wrong.place for wrong in proof.refuted] == ["tolerance[0].z"]
    assert what in proof.text()


# --- the command --------------------------------------------------------------------------------


def command(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    block = f"sys.modules[{without!r}] = None; " if without else ""
    program = f"import sys; {block}from accbo.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, "vectors", "prove", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_exit_codes(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    document = one(KNOWN, "known-answer/neumann")
    path.write_text(json.dumps(document), encoding="utf-8")
    right = command(str(path))
    assert (right.returncode, right.stderr) == (0, "")
    assert "1 of 1 vectors proven" in right.stdout

    document["vectors"][0]["expected"][0]["momentum"][0] += 2.0**-50
    path.write_text(json.dumps(document), encoding="utf-8")
    wrong = command(str(path))
    assert wrong.returncode == 1
    assert "known-answer/neumann: expected[0].momentum[0]: " in wrong.stdout

    path.write_text(json.dumps({**document, "vectors": []}), encoding="utf-8")
    assert command(str(path)).returncode == 2
    missing = command(str(tmp_path / "none.json"))
    assert (missing.returncode, missing.stdout) == (2, "")
    lacking = command(str(path), without="flint")
    assert lacking.returncode == 2
    assert "proving takes python-flint; pip install 'msgspec>=" in lacking.stderr


def test_the_proof_takes_nothing_from_the_algorithms_it_proves() -> None:
    folder = Path(proving.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("accbo"):
                own = str(node.module).startswith("accbo.conformance.vectors.proof")
                advice = node.module == "accbo._extras"  # which package to install
                fine = own or advice or path.name == "commands.py"
                assert fine, f"{path.name} imports {node.module}"


# --- bounds hold for any order of evaluation ----------------------------------------------------


@dataclasses.dataclass
class Loose:
    """A number that is a sum still to be taken, of terms that are rounded already."""

    k: Rearranged
    terms: list[Any]

    def __add__(self, other: Any) -> Loose:
        return self.k.total([self, self.k.of(other)])

    __radd__ = __add__

    def __neg__(self) -> Loose:
        return Loose(self.k, [-term for term in self.terms])

    def __sub__(self, other: Any) -> Loose:
        return self + -self.k.of(other)

    def __rsub__(self, other: Any) -> Loose:
        return -self + other

    def __mul__(self, other: Any) -> Loose:
        left, right = self.k.maybe(self), self.k.maybe(self.k.of(other))
        return Loose(self.k, [a * b for a in left.terms for b in right.terms])

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Loose:
        by, left = self.k.sum(self.k.of(other)), self.k.maybe(self)
        return Loose(self.k, [term / by for term in left.terms])

    def __rtruediv__(self, other: Any) -> Loose:
        return self.k.of(other) / self


class Rearranged:
    """The page in float64 or float32: sums in any order, products distributed or not."""

    def __init__(self, dtype: str, seed: int) -> None:
        self.type, self.random = np.dtype(dtype).type, random.Random(seed)

    def number(self, value: float) -> Loose:
        return Loose(self, [self.type(value)])

    def of(self, value: Any) -> Loose:
        return value if isinstance(value, Loose) else self.number(value)

    def sum(self, number: Loose) -> Any:
        terms = list(number.terms)
        while len(terms) > 1:
            self.random.shuffle(terms)
            terms.append(terms.pop() + terms.pop())
        return terms[0]

    def maybe(self, number: Loose) -> Loose:
        keep = len(number.terms) <= 6 and self.random.random() < 0.5
        return number if keep else Loose(self, [self.sum(number)])

    def total(self, numbers: Any) -> Loose:
        return Loose(self, [term for number in numbers for term in self.maybe(number).terms])

    def settled(self, v: list[Loose], more: float = 0.0) -> list[Loose]:
        return [Loose(self, [self.sum(number)]) for number in v]

    def near(self, value: Any) -> Loose:
        """A function's value, up to 3 u of it off."""
        off = self.random.uniform(-3, 3) * UNIT[np.dtype(self.type).name]
        return Loose(self, [self.type(value * self.type(1 + off))])

    def direction(self, v: list[Loose]) -> list[Loose]:
        m = np.array([self.sum(number) for number in v])
        by = np.max(np.abs(m))
        if self.random.random() < 0.5:
            by = np.ldexp(self.type(1), int(np.frexp(by)[1]))
        scaled = m / by
        self_sum = self.sum(Loose(self, list(scaled * scaled)))
        return [Loose(self, [entry / np.sqrt(self_sum)]) for entry in scaled]

    def is_zero(self, v: list[Loose]) -> bool:
        return all(self.sum(number) == 0 for number in v)

    def power(self, base: Loose, numerator: int, denominator: int) -> Loose:
        exponent = self.type(numerator / denominator)
        return Loose(self, [self.sum(base) ** exponent])

    def tanh(self, t: Loose) -> Loose:
        return self.near(np.tanh(self.sum(t)))

    def sech2(self, t: Loose) -> Loose:
        value = np.tanh(self.sum(t))
        if self.random.random() < 0.5:
            return Loose(self, [1 - value * value])
        return Loose(self, [(1 - value) * (1 + value)])

    def sinh(self, t: Loose) -> Loose:
        return self.near(np.sinh(self.sum(t)))

    def sin(self, t: Loose) -> Loose:
        return self.near(np.sin(self.sum(t)))

    def sigmoid(self, t: Loose) -> Loose:
        value = self.sum(t)
        if self.random.random() < 0.5:
            return Loose(self, [1 / (1 + np.exp(-value))])
        return Loose(self, [1 - 1 / (1 + np.exp(value))])

    def sigmoid_slope(self, t: Loose) -> Loose:
        value = 1 / (1 + np.exp(-self.sum(t)))
        return Loose(self, [value * (1 - value)])


def worst(document: dict[str, Any], vector: dict[str, Any], seed: int) -> float:
    """The largest error over tolerance of one rearrangement."""
    k = Rearranged(vector["dtype"], seed)
    found = 0.0
    for replicate in replicates(vector):
        made = states(k, problem_of(k, document["problems"][vector["problem"]]), vector, replicate)
        for name, value in made[0].items():
            nested = [value] if isinstance(value[0], Loose) else value
            got = np.array([[float(k.sum(number)) for number in row] for row in nested])
            right = np.reshape(of_state(vector["expected"][0][name], replicate), got.shape)
            allowed = np.ravel(of_state(vector["tolerance"][0][name], replicate))
            with np.errstate(over="ignore", under="ignore"):
                scale = np.max(np.abs(got - right)) or 1.0
                error = scale * np.linalg.norm((got - right) / scale, axis=-1)
            assert np.all(error[allowed == 0] == 0), (vector["id"], name)
            found = max(found, float(np.max(error / np.where(allowed == 0, 1, allowed))))
    return found


def test_no_order_of_evaluation_exceeds_a_proven_tolerance() -> None:
    proven = [
        (document, vector)
        for document in DOCUMENTS.values()
        for vector in document["vectors"]
        if vector["tolerance_kind"] == PROVEN and "33x17" not in vector["id"]
    ]
    chosen = random.Random(5).sample(proven, 60)
    with np.errstate(under="ignore", over="ignore"):
        found = [
            worst(document, vector, seed) for seed, (document, vector) in enumerate(chosen * 2)
        ]
    print(f"{len(found)} rearrangements: error/tolerance up to {max(found):.3f}")
    assert np.median(found) > 0.005
    assert max(found) <= 1


def test_the_folder_of_each_set_is_its_own() -> None:
    assert folder_of(1) != folder_of(2)
    assert {path.name for path in set_files(1)} == {path.name for path in set_files(2)}
