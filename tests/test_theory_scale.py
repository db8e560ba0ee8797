"""Sweeps that are kept: what goes on, what is refused, and what stands in the files."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import CheckpointError, checkpoint
from accbo._pieces.engine import carried_out
from tests.limits import full_disk
from theory_checks import __main__ as command
from theory_checks import momentum_variance, neumann_bias
from theory_checks.harness import Piece, Settings
from theory_checks.kept import Kept
from theory_checks.options import parser
from theory_checks.sweep import Means, Task, run_checks

LAWS = [momentum_variance, neumann_bias]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test looks at what another one keeps."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


@pytest.fixture(autouse=True)
def _a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pieces of a tenth of the draws: what is kept is the matter here."""
    for law, name in ((neumann_bias, "DRAWS"), (momentum_variance, "REPLICATES")):
        monkeypatch.setitem(getattr(law, name), "quick", getattr(law, name)["quick"] // 10)
        monkeypatch.setattr(law, "GROUP", law.GROUP // 10)


# --- the same numbers -------------------------------------------------------------------------


def test_numbers_do_not_depend_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which pieces are done; test_theory_workers has those of true workers."""
    here = run_checks(LAWS, Settings())

    def shuffled(works: Any, *rest: Any) -> Iterator[Any]:
        yield from random.Random(1).sample(done := list(carried_out(works, *rest)), len(done))

    monkeypatch.setattr("theory_checks.sweep.carried_out", shuffled)
    there = run_checks(LAWS, Settings())
    assert [verdict.findings for verdict in here] == [verdict.findings for verdict in there]


def test_kept_pieces_are_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = Means(kept=Kept(tmp_path / "kept"))
    whole = run_checks([neumann_bias], Settings(), means)
    monkeypatch.setattr(neumann_bias, "measure", None)
    again = run_checks([neumann_bias], Settings(), means)
    assert whole[0].findings == again[0].findings


# --- a folder of its own -----------------------------------------------------------------------


def test_what_was_kept_goes_when_the_run_is_done(own_cache: Path) -> None:
    assert command.main(["--check", "neumann_bias", "--jobs", "1"]) == 0
    assert list((own_cache / "accbo").iterdir()) == []


def test_a_folder_of_ones_own_stays(tmp_path: Path) -> None:
    keep = ["--keep", str(tmp_path / "kept")]
    assert command.main(["--check", "neumann_bias", "--jobs", "1", *keep]) == 0
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 1 + len(neumann_bias.pieces(Settings()))


# --- files that do not fit --------------------------------------------------------------------

PIECE = Piece("neumann_bias", ("sampled", "chained", 0), 0.5)


def test_other_settings_are_named(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.save(Task(0, Settings(), PIECE).work, ({"draws": np.ones(3)}, 1.0))
    assert kept.load(Task(0, Settings(), PIECE).work) is not None
    with pytest.raises(CheckpointError, match="profile was 'quick', now it is 'full'"):
        kept.load(Task(0, Settings(profile="full"), PIECE).work)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: newer(path), "newer accbo"),
    ],
)
def test_bad_resume_files_exit_2(tmp_path: Path, damage: Any, message: str, capsys: Any) -> None:
    keep = tmp_path / "kept"
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    assert command.main([*arguments, "--keep", str(keep)]) == 0
    damage(sorted(keep.glob("neumann*.npz"))[0])
    assert command.main([*arguments, "--resume", str(keep)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_another_run_exits_2(tmp_path: Path, capsys: Any) -> None:
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    assert command.main([*arguments, "--keep", str(tmp_path)]) == 0
    assert command.main([*arguments, "--seed", "1", "--resume", str(tmp_path)]) == 2
    assert "belongs to other settings: seed was 0, now it is 1" in capsys.readouterr().err


def newer(path: Path) -> None:
    settings, arrays = checkpoint.load(path, "theory piece")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", 99)
        checkpoint.save(path, "theory piece", settings, arrays)


def test_resume_from_a_file_exits_2(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    assert command.main(["--check", "neumann_bias", "--resume", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_resume_of_a_folder_that_is_not_there_exits_2(tmp_path: Path, capsys: Any) -> None:
    gone = tmp_path / "gone"
    assert command.main(["--check", "neumann_bias", "--resume", str(gone)]) == 2
    error = capsys.readouterr().err
    assert f"--resume {gone}: there is no such folder to go on from" in error
    assert error.count("\n") == 1
    assert not gone.exists()


def test_resume_of_a_folder_of_other_things_exits_2_and_leaves_them(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "data.npz").write_text("mine")
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    assert command.main([*arguments, "--resume", str(tmp_path)]) == 2
    assert "holds other files, and no kept pieces" in capsys.readouterr().err
    assert command.main([*arguments, "--keep", str(tmp_path)]) == 0
    assert (tmp_path / "data.npz").read_text() == "mine"


def test_two_runs_at_once(tmp_path: Path, own_cache: Path, capsys: Any) -> None:
    """Of one command: the second keeps nothing; where it was told to keep, it is refused."""
    arguments, keep = ["--check", "neumann_bias", "--jobs", "1"], ["--keep", str(tmp_path / "kept")]
    with contextlib.ExitStack() as held:
        for words in (arguments, [*arguments, *keep]):
            kept = command._kept(parser().parse_args(words), Settings(), ["neumann_bias"])
            assert kept is not None
            held.callback(kept.close)
        assert command.main([*arguments, *keep]) == 2
        assert "another run (process" in capsys.readouterr().err
        assert command.main([*arguments, "--resume"]) == 2
        assert "another run (process" in capsys.readouterr().err
        assert command.main(arguments) == 0
        assert "pieces are not kept: another run (process" in capsys.readouterr().err
    assert command.main([*arguments, *keep]) == 0


def signed(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The piece with other content, and the digest of that."""
    settings, arrays = checkpoint.load(path, "theory piece")
    change(arrays)
    checkpoint.save(path, "theory piece", settings, arrays)


SECONDS = "seconds spent"
MISFITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a NaN": (lambda a: a.update({"draws": np.full(3, np.nan)}), "draws holds a NaN"),
    "an infinity": (lambda a: a.update({"draws": np.array(np.inf)}), "draws holds a NaN"),
    "single precision": (lambda a: a.update({"draws": a["draws"].astype("f4")}), "dtype float32"),
    "no time": (lambda a: a.pop(SECONDS), "KeyError"),
    "times": (lambda a: a.update({SECONDS: np.ones(2)}), "is no time"),
    "a time before": (lambda a: a.update({SECONDS: np.array(-1.0)}), "is no time"),
    "no outcome": (lambda a: a.pop("draws"), "holds no outcome"),
    "another name": (lambda a: a.update(drawn=a.pop("draws")), "KeyError('draws')"),
    "another shape": (lambda a: a.update({"draws": np.ones((2, 3))}), "neumann_bias"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_kept_piece_with_a_right_digest_that_fits_nothing(
    tmp_path: Path, misfit: str, capsys: Any
) -> None:
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    assert command.main([*arguments, "--keep", str(tmp_path)]) == 0
    capsys.readouterr()
    change, message = MISFITS[misfit]
    signed(sorted(tmp_path.glob("neumann-bias-sampled*.npz"))[0], change)
    assert command.main([*arguments, "--resume", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "not fit" in error
    assert message in error
    assert error.count("\n") == 1
    assert str(tmp_path) in error


def test_pieces_that_changed_places_are_named(tmp_path: Path, capsys: Any) -> None:
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    assert command.main([*arguments, "--keep", str(tmp_path)]) == 0
    one, two = sorted(tmp_path.glob("neumann*.npz"))[:2]
    for a, b in ((one, tmp_path / "x"), (two, one), (tmp_path / "x", two)):
        a.rename(b)
    assert command.main([*arguments, "--resume", str(tmp_path)]) == 2
    assert "belongs to other settings: key was" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk(tmp_path: Path, capsys: Any) -> None:
    arguments = ["--check", "neumann_bias", "--jobs", "1"]
    with full_disk(4000):
        assert command.main([*arguments, "--keep", str(tmp_path / "kept")]) == 2
        refused = capsys.readouterr().err
        assert command.main(arguments) == 0  # its own cache is a courtesy
        told = capsys.readouterr().err
    assert ".piece.npz" in refused
    assert refused.count("\n") == told.count("\n") == 1
    assert "pieces are not kept any more" in told
    assert command.main([*arguments, "--resume", str(tmp_path / "kept")]) == 0
