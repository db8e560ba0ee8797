"""The contest of scans: run on a small size, a form that computes something else, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import environment, scans_study
from tests.backends import need


@pytest.fixture(autouse=True)
def _only_one_and_this_process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "one_thread", lambda: None)
    only = {"MA-SOBA": scans_study.ALGORITHMS["MA-SOBA"]}
    monkeypatch.setattr(scans_study, "ALGORITHMS", only)


def test_a_small_contest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("jax")
    there = tmp_path / "scans.json"
    given = ["scans", "--size", "2,3", "--rounds", "3", "--json", str(there)]
    assert benchmarks.main(given) == 0
    assert "MA-SOBA      2    3" in capsys.readouterr().out
    document = json.loads(there.read_text(encoding="utf-8"))
    assert document["schema"] == "accbo-scans/1"
    (row,) = document["rows"]
    assert set(row["us_median"]) == {"ours", "apart", "stacked", "ours, again"}
    assert row["fastest"] in ("apart", "stacked")
    assert row["deviation"] < 1e-12


def test_a_form_that_computes_something_else_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need("jax")
    from benchmarks import hand_scans

    def wrong(p: Any, a: Any, state: Any, s: Any) -> Any:  # x moves with the new average
        _, y, z, h = hand_scans.masoba(False, p, a, state, s)
        return state[0] - a.upper_step_size * h, y, z, h

    monkeypatch.setitem(hand_scans.FORMS, "MA-SOBA", {"wrong": wrong})
    assert benchmarks.main(["scans", "--size", "2,3", "--rounds", "3"]) == 2
    assert "'wrong' is" in capsys.readouterr().err


def test_a_wrong_sustain_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other algorithm, on few factors: compiling ten takes seconds."""
    need("jax")
    from accbo.algorithms import SUSTAIN
    from benchmarks import hand_scans

    few = SUSTAIN(
        lower_step_size=0.05,
        upper_step_size=0.01,
        lower_averaging=0.5,
        upper_averaging=0.5,
        offset=2.0,
        neumann_terms=2,
        neumann_scale=2.5,
    )
    right = hand_scans.FORMS["SUSTAIN"]["apart"]

    def wrong(p: Any, a: Any, state: Any, s: Any) -> Any:  # no factor at all
        return right(p, a, state, s._replace(power={"power": 0 * s.power["power"]}))

    monkeypatch.setitem(scans_study.ALGORITHMS, "SUSTAIN", few)
    monkeypatch.setitem(hand_scans.FORMS, "SUSTAIN", {"apart": right})
    assert scans_study.check(scans_study.build("SUSTAIN", 1, 2)) < 1e-12
    monkeypatch.setitem(hand_scans.FORMS, "SUSTAIN", {"wrong": wrong})
    with pytest.raises(scans_study.DisagreementError, match="'wrong' is"):
        scans_study.check(scans_study.build("SUSTAIN", 1, 2))


@pytest.mark.parametrize("rounds", ["1", "-3", "many"])
def test_rounds(rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(["scans", "--rounds", rounds])
    assert f"'{rounds}' is no number of rounds" in capsys.readouterr().err


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["scans", "--json", str(tmp_path / "no" / "where.json")]) == 2
    assert "benchmarks: cannot write" in capsys.readouterr().err
