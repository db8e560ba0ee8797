"""A trace that is damaged, foreign or still growing: one sentence, or a verdict up to there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accbo.cli import main
from accbo.tracing import Recorder, TraceError, verify
from accbo.tracing.reader import read
from accbo.tracing.report import text
from benchmarks.trace_cases import right, write, wrong
from property_tests.fuzzing import STRANGE, changed_bytes, changed_value, places

WIDTH = 24


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    write(right("AccBO", WIDTH), path)
    return path


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stale") / "run.jsonl"
    write(wrong("AccBO", "stale sample", WIDTH), path)
    return path


def edited(trace: Path, tmp_path: Path, change: Callable[[list[Any]], Any]) -> Path:
    """A copy whose lines, as JSON values, went through ``change``."""
    rows = [json.loads(line) for line in trace.read_text().splitlines()]
    rows = change(rows) or rows
    path = tmp_path / "edited.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentence(path: Path) -> str:
    with pytest.raises(TraceError) as caught:
        verify(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_a_mark_before_the_first_line_changes_nothing(trace: Path, tmp_path: Path) -> None:
    marked = tmp_path / "marked.jsonl"
    marked.write_text(trace.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert text(verify(marked), "mine") == text(verify(trace), "mine")


# --- what is no trace -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header: a trace begins with one whole line"),
        (b'{"format": "accbo-trace"', "has no header"),
        (b"[1, 2]\n", "line 1: it is a JSON list, an object belongs here"),
        (b'{"name": "foreign"}\n', 'line 1: it is no trace: its header has "format"'),
        (b"\xff\xff\n", "line 1: it is no JSON"),
        (b"\xff\xfe\n", "line 1: this is UTF-16; a trace is UTF-8"),
        ('{"format": "accbo-trace"}\n'.encode("utf-16-be"), "this is UTF-16; a trace is UTF-8"),
        (b'{"format": "accbo-trace", "version": 9}\n', "version 9 of the format is not known"),
        (b'{"format": "accbo-trace", "version": 1}\n', "the header's dtype is missing"),
        (b"[" * 100_000 + b"\n", "line 1: it is"),
    ],
)
def test_what_is_no_trace(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(content)
    assert message in sentence(path)


def changed(name: str, value: Any) -> Callable[[list[Any]], Any]:
    return lambda rows: rows[0].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("algorithm", "Adam"), "no trace of 'Adam' can be judged; known: AccBO"),
        (changed("dtype", "float8"), "dtype 'float8' is not known"),
        (changed("directions", 0), "there are 0 directions, 1 to 16 belong here"),
        (changed("directions", True), "the header's directions is missing or no int"),
        (changed("constants", {"momentum": [1]}), "the constant momentum is no number"),
        (changed("constants", {"momentum": None}), "the constant momentum is no number"),
        (changed("constants", {"momentum": 10**400}), "the constant momentum is too large"),
        (changed("constants", {"neumann_terms": 10**9}), "neumann_terms lies between 0 and 1000"),
        (changed("constants", {"order": "II"}), "order is one of simultaneous, sequential"),
        (changed("x", [-1]), "x and y are lists of the numbers of entries of their leaves"),
        (lambda r: r[3].update({"t": 7}), "line 4: iteration 7 stands where 1 belongs"),
        (lambda r: r.pop(4), "line 5: iteration 3 stands where 2 belongs: none may be left out"),
        (lambda r: r[3].pop("t"), 'line 4: an iteration has its number, "t": 0, 1, 2, …'),
        (lambda r: r.insert(3, r[0]), "line 4: a second header: two runs are in one file"),
        (lambda r: r.insert(3, r[1]), 'line 4: "start" comes before the first iteration'),
        (lambda r: r[3].update(x=[1.0, 2.0]), "iteration 1: x takes lists of a norm and 2 proj"),
        (lambda r: r[3].update(x=["a", 1, 2]), "iteration 1: x holds something that is no number"),
        (lambda r: r[3].update(x=3), "iteration 1: x takes lists of a norm and 2 projections"),
        (lambda r: r[3].update(x=[-1.0, 2, 3]), "iteration 1: x has a negative norm"),
        (lambda r: r[3].update(loss=[1.0, 2, 3]), "iteration 1: there is no 'loss' in an iter"),
        (lambda r: r[3].update(new=4), "iteration 1: new is an object of names"),
        (lambda r: r[3]["lower"].update(sample=[1.5]), "lower.sample takes integers in [0, 2^53)"),
        (lambda r: r[3]["lower"].update(sample=4), "iteration 1: lower.sample is a list"),
    ],
)
def test_what_is_wrong_in_a_line(
    trace: Path, tmp_path: Path, change: Callable[[list[Any]], Any], message: str
) -> None:
    path = edited(trace, tmp_path, lambda rows: (change(rows), rows)[1])
    assert message in sentence(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_json_has_no_nan(trace: Path, tmp_path: Path, number: str) -> None:
    path = tmp_path / "nan.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    row = json.loads(lines[4])
    row["x"][1] = float(number)
    lines[4] = json.dumps(row) + "\n"
    path.write_text("".join(lines))
    assert f"line 5: it is no JSON: {number} is no JSON" in sentence(path)


def test_a_line_without_end_is_refused_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accbo.tracing.reader.LONGEST", 1 << 20)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b" " * (3 << 20))
    assert "longer than 1 MiB: this is no trace" in sentence(path)


# --- what is judged all the same ----------------------------------------------------------------


def test_a_line_cut_off_is_left_out(stale: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    content = stale.read_bytes()
    path.write_bytes(content[: len(content) - 40])
    verdict = verify(path)
    assert verdict.names == ["stale sample"]
    assert "cut off in the middle, and left out" in verdict.notes[0]


def test_missing_names_are_not_judged(trace: Path, tmp_path: Path) -> None:
    def without(rows: list[Any]) -> None:
        for row in rows[1:]:
            row.pop("y_average", None)
            row.pop("old", None)

    verdict = verify(edited(trace, tmp_path, lambda rows: (without(rows), rows)[1]))
    assert verdict.departures == []
    judged = {group.group.name for group in verdict.groups if group.judged}
    assert {"average", "pair"}.isdisjoint(judged)


def test_what_is_missing_now_and_then_is_said(trace: Path, tmp_path: Path) -> None:
    def without(rows: list[Any]) -> None:
        rows[4].pop("momentum")

    verdict = verify(edited(trace, tmp_path, without))
    assert verdict.departures == []
    assert [note.split(":")[0] for note in verdict.notes] == [
        "momentum was logged in 7 of 9 iterations"
    ]


def test_a_number_that_is_not_finite_departs_where_it_is_made(trace: Path, tmp_path: Path) -> None:
    """x_3 is lost although what it is made from is finite; what follows is not judged."""

    def lost(rows: list[Any]) -> None:
        rows[5]["x"] = [None, None, None]

    verdict = verify(edited(trace, tmp_path, lambda rows: (lost(rows), rows)[1]))
    step = next(group for group in verdict.departures if group.group.name == "step")
    assert step.first == 2

    def norm_alone(rows: list[Any]) -> None:
        rows[5]["x"][0] = None

    verdict = verify(edited(trace, tmp_path, norm_alone))
    assert any(group.group.name == "step" and group.first == 2 for group in verdict.departures)


def test_other_directions_in_one_quantity_depart(trace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    case = right("AccBO", WIDTH)
    with Recorder(other, algorithm=case.declared, seed=1) as recorder:
        numbers = [
            [float(v) for v in recorder.numbers("x", np.full(WIDTH, 1.0 + t))] for t in range(9)
        ]

    def swapped(rows: list[Any]) -> None:
        for row, value in zip(rows[2:], numbers, strict=False):
            row["momentum"] = value

    verdict = verify(edited(trace, tmp_path, lambda rows: (swapped(rows), rows)[1]))
    assert {"momentum", "step"} <= {group.group.name for group in verdict.departures}


def test_a_part_of_another_run_is_refused(tmp_path: Path) -> None:
    for seed, name in ((0, "a"), (1, "b")):
        with Recorder(
            tmp_path / f"{name}.jsonl", algorithm="AccBO", rotate=200, buffer=1, seed=seed
        ) as recorder:
            for _ in range(4):
                with recorder.step():
                    recorder.log(x=np.ones(3))
    (tmp_path / "b.2.jsonl").replace(tmp_path / "a.2.jsonl")
    assert "this part has another run than the first" in sentence(tmp_path / "a.jsonl")


# --- fuzzed ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_change_is_a_verdict_or_one_sentence(trace: Path, data: st.DataObject) -> None:
    rows = [json.loads(line) for line in trace.read_text().splitlines()[:5]]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = trace.with_name("fuzzed.jsonl")
    if data.draw(st.booleans()):
        content = changed_bytes(data, content)
    else:
        index = data.draw(st.integers(0, len(rows) - 1))
        place = data.draw(st.sampled_from(places(rows[index])))
        how = data.draw(st.sampled_from(("replace", "drop", "double")))
        rows[index] = changed_value(rows[index], place, data.draw(STRANGE), how)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(content)
    try:
        verify(path)
    except TraceError as error:
        assert "\n" not in str(error)  # noqa: PT017  either outcome is right


# --- memory ---------------------------------------------------------------------------------------


def test_a_file_is_read_in_blocks(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a block is held: a file of any size is read."""
    monkeypatch.setattr("accbo.tracing.reader.BLOCK_ROWS", 3)
    _, lines, blocks = read(trace)
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    lines.close()
    assert verify(trace).departures == []  # over the seams too


def test_blocks_do_not_matter(stale: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verify(stale)
    monkeypatch.setattr("accbo.tracing.reader.BLOCK_ROWS", 5)
    cut = verify(stale)
    assert cut.names == whole.names
    assert [g.keys for g in cut.groups] == [g.keys for g in whole.groups]


# --- the command ----------------------------------------------------------------------------------


def test_exit_codes_and_files(
    trace: Path, stale: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "verify", str(trace)]) == 0
    assert "conforms" in capsys.readouterr().out
    files = [tmp_path / "report.json", tmp_path / "report.xml"]
    options = ["--json", str(files[0]), "--junit", str(files[1])]
    assert main(["trace", "verify", str(stale), *options]) == 1
    out = capsys.readouterr().out
    assert "matches “stale sample”" in out
    assert "β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1}))" in out
    report = json.loads(files[0].read_text())
    assert report["names"] == ["stale sample"]
    assert report["exit_code"] == 1
    assert "<failure" in files[1].read_text()


def test_nothing_judged_is_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "little.jsonl"
    with Recorder(path, algorithm="AccBO") as recorder:
        for _ in range(3):
            with recorder.step():
                recorder.log(x=np.ones(3))
    assert main(["trace", "verify", str(path)]) == 2
    assert "nothing could be judged" in capsys.readouterr().out
    assert main(["trace", "verify", str(tmp_path / "nowhere")]) == 2
    assert main(["trace", "verify", str(path), "--algorithm", "Adam"]) == 2


def test_another_algorithm_may_be_asked_for(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "verify", str(trace), "--algorithm", "ma-soba"]) == 1
    assert "MASOBA" in capsys.readouterr().out


def test_watch_follows_a_file_and_ends_with_control_c(stale: Path, tmp_path: Path) -> None:
    """Half of the file is there at first; the rest comes; Ctrl-C ends it with the verdict."""
    path = tmp_path / "growing.jsonl"
    content = stale.read_bytes()
    path.write_bytes(content[:1000])
    command = [sys.executable, "-m", "accbo.cli", "trace", "watch", str(path), "--every", "0.05"]
    watch = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    timer = threading.Timer(60, watch.kill)
    timer.start()
    try:
        time.sleep(0.5)
        with path.open("ab") as file:
            file.write(content[1000:])
        assert watch.stdout is not None
        line = watch.stdout.readline()
        while "stale sample" not in line:
            assert line, "watch ended"
            line = watch.stdout.readline()
        os.kill(watch.pid, signal.SIGINT)
        out, err = watch.communicate()
    finally:
        timer.cancel()
        watch.kill()
        watch.wait()
    assert watch.returncode == 1
    assert err == ""
    assert "matches “stale sample”" in out
