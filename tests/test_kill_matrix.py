"""The kill matrix: its record is true, every fault is seen by a law, every column sees a fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accbo.conformance.faults import FAULTS
from accbo.relations.relations import RELATIONS
from tests.outside_faults import FAULTS as STRANGERS
from theory_checks import __main__ as command
from theory_checks import kill_matrix
from theory_checks.harness import Settings
from theory_checks.kill_matrix import COMPARISON
from theory_checks.registry import CHECKS
from theory_checks.sweep import Means

pytest.importorskip("msgspec")
RECORD = json.loads(Path(kill_matrix.__file__).with_name("kill_matrix.json").read_text())
MATRIX, OUTSIDE = RECORD["matrix"], RECORD["outside"]["matrix"]
CHEAP = [f"relation: {name}" for name in RELATIONS if name != "derivatives"]


def test_the_record_is_whole() -> None:
    assert list(MATRIX) == kill_matrix.faults()
    assert all(list(row) == kill_matrix.columns() for row in MATRIX.values())


def test_every_fault_is_seen_and_every_column_sees_one() -> None:
    assert kill_matrix.complaints(MATRIX) == []
    assert all(kill_matrix.UNSEEN.values())
    assert set(kill_matrix.UNSEEN) <= set(kill_matrix.faults())


def test_a_column_that_cheaper_ones_make_superfluous_says_what_it_is_worth() -> None:
    assert set(kill_matrix.redundant(MATRIX, RECORD["seconds"])) <= set(kill_matrix.WORTH)


def test_the_checks_kill_what_they_say() -> None:
    for name, check in CHECKS.items():
        seen, said = {fault for fault in MATRIX if MATRIX[fault][name]}, set(check.KILLS)
        assert seen & set(FAULTS) == said & set(FAULTS), name
        assert said <= seen, name  # of what another check was made for, the record alone tells


@pytest.mark.parametrize("fault", kill_matrix.faults())
def test_what_a_relation_catches_by_the_record_it_catches(fault: str) -> None:
    """Computed afresh; the theory checks' cells are, one by one, in their own tests."""
    caught = [name for name in CHEAP if MATRIX[fault][name]]
    matrix, _ = kill_matrix.run(Settings(), Means(), [fault], caught)
    assert matrix[fault] == dict.fromkeys(caught, True)


# what nothing catches is tried on every case of a relation, which takes the time
SOME = kill_matrix.faults()[::8]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault in SOME else pytest.mark.slow)
        for fault in kill_matrix.faults()
    ],
)
def test_what_a_relation_misses_by_the_record_it_misses(fault: str) -> None:
    missed = [name for name in CHEAP if not MATRIX[fault][name]]
    matrix, _ = kill_matrix.run(Settings(), Means(), [fault], missed)
    assert matrix[fault] == dict.fromkeys(missed, False)


def test_every_outside_fault_is_seen_by_a_law() -> None:
    """By ``own_path``, proved in ``tests/test_outside_faults.py``; the rest is record."""
    assert list(OUTSIDE) == list(STRANGERS)
    columns = ["own_path", *(name for name in kill_matrix.columns() if name not in CHECKS)]
    assert all(list(row) == columns for row in OUTSIDE.values())
    assert all(row["own_path"] for row in OUTSIDE.values())


@pytest.mark.parametrize("fault", list(STRANGERS)[::8])
def test_what_a_relation_catches_of_an_outside_fault_it_catches(fault: str) -> None:
    caught = [name for name in CHEAP if OUTSIDE[fault][name]]
    target = f"tests.outside_faults:{STRANGERS[fault].__name__}"
    matrix, _ = kill_matrix.run(Settings(), Means(), [target], caught)
    assert matrix[target] == dict.fromkeys(caught, True)


def test_step_comparison_names_every_fault() -> None:
    """Proved in ``tests/test_conformance.py`` on the full set; here the record says so."""
    assert all(row[COMPARISON] for row in MATRIX.values())


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "matrix.json"
    arguments = ["--kill-matrix", "--check", "neumann_bias", "--fault", "1/l missing"]
    assert command.main([*arguments, "--jobs", "1", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["matrix"] == {"1/l missing": {"neumann_bias": True}}
    assert "neumann_bias: 1 faults" in capsys.readouterr().out


def test_without_an_extra_its_column_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(kill_matrix, "missing", lambda: {COMPARISON: "msgspec"})
    arguments = ["--kill-matrix", "--check", "neumann_bias", "--fault", "1/l missing"]
    assert command.main([*arguments, "--jobs", "1"]) == 0
    assert "left out: step comparison, which needs msgspec" in capsys.readouterr().err


def test_a_relation_is_tried_only_where_it_holds_for_accbo() -> None:
    for column in CHEAP:
        held = [RELATIONS[column.removeprefix("relation: ")](c) for c in kill_matrix.cases(column)]
        assert held
        assert all(outcome.holds for outcome in held)


def test_complaints_are_made() -> None:
    nothing = {fault: dict.fromkeys(("law", COMPARISON), False) for fault in ("a", "b")}
    assert kill_matrix.complaints(nothing) == [
        "a is seen by no law and no relation",
        "b is seen by no law and no relation",
        "law sees no fault",
        f"{COMPARISON} sees no fault",
    ]
    seen = {"a": {"law": True, "dear": True}, "b": {"law": True, "dear": False}}
    assert kill_matrix.redundant(seen, {"dear": 9.0, "law": 1.0}) == ["dear"]
