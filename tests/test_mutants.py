"""The table of edits is whole, each edit has its place, and the runner tells dead from alive."""

from __future__ import annotations

from typing import Any

import pytest

from tests import mutants
from tests.mutations import EQUIVALENT, MUTATIONS, Mutation

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}


def test_every_edit_has_its_one_place() -> None:
    assert len(BY_NAME) == len(MUTATIONS) >= 60
    for mutation in MUTATIONS:
        source = (mutants.ROOT / mutation.file).read_text(encoding="utf-8")
        assert mutants.changed(source, mutation) != source


def test_an_edit_without_a_place_is_refused() -> None:
    mutation = Mutation("nowhere", "a.py", "y - x", "y + x")
    with pytest.raises(ValueError, match=r"nowhere: a\.py has 2 places like 'y - x', one was"):
        mutants.changed("z = y - x\nw = y - x\n", mutation)


def test_the_table_has_every_edit_and_its_killer() -> None:
    table = mutants.recorded()
    assert list(table) == list(BY_NAME)
    for name, row in table.items():
        mutation = BY_NAME[name]
        assert (row["file"], row["old"], row["new"]) == mutation[1:4], f"{name}: run it again"
        assert (row["killer"] is None) == (name in EQUIVALENT)
        assert row.get("reason") == EQUIVALENT.get(name)
    assert EQUIVALENT.keys() <= BY_NAME.keys()


def test_known_survivors_are_killed_by_a_property() -> None:
    """Those of the first review: of the lower level, of β, of the randomised factor, of η."""
    table = mutants.recorded()
    for name in (
        "lower: heavy ball",
        "lower: 0.98 γ",
        "lower: τ(1.02 − 0.02τ)",
        "hypergradient: randomised: Q − 1 for Q ≥ 6",
        "momentum: β² above 0.98",
    ):
        assert table[name]["killer"].startswith("property_tests/")


def test_the_parts_are_shown_to_the_property_tests_first() -> None:
    one = BY_NAME["lower: heavy ball"]
    first = mutants.attempts(one, None)[0]
    assert first == ("property_tests/test_own_path.py",)
    assert mutants.attempts(one, "tests/a.py::test_b")[0] == ("tests/a.py::test_b",)
    saga = BY_NAME["saga: no mean"]
    assert mutants.attempts(saga, None) == [(name,) for name in saga.tests]


def test_dead_and_alive(tmp_path: Any) -> None:
    """In a tree of its own: a killer is named, a survivor is none, and the edit is undone."""
    (tmp_path / "part.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "test_part.py").write_text(
        "from part import twice\n\n\ndef test_twice():\n    assert twice(2) == 4\n"
    )
    options = {"tests": ("test_part.py",), "part": False}
    dead = Mutation("dead", "part.py", "2 * x", "3 * x", **options)
    alive = Mutation("alive", "part.py", "2 * x", "x**2", **options)
    assert mutants.killer_of(tmp_path, dead, None) == "test_part.py::test_twice"
    assert (
        mutants.killer_of(tmp_path, dead, "test_part.py::test_gone") == "test_part.py::test_twice"
    )
    assert mutants.killer_of(tmp_path, alive, None) is None
    assert (tmp_path / "part.py").read_text() == "def twice(x):\n    return 2 * x\n"
