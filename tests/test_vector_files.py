"""Files from outside: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import pytest

from accbo import cli
from accbo.conformance.running.results import observations, read_results
from accbo.conformance.vectors.build import FOLDER, _compare, generate, units
from accbo.conformance.vectors.files import read_vectors
from accbo.conformance.vectors.lint import lint
from accbo.conformance.vectors.reading import LARGEST_FILE, VectorError
from accbo.conformance.vectors.records import SCHEMAS, schema
from accbo.conformance.vectors.replay import replaying
from accbo.conformance.vectors.vector import SET, Vector, fields_of, folder_of, load, set_files

FIELDS = fields_of("AccBO")
KNOWN = json.loads((FOLDER / "known-answer.json").read_text(encoding="utf-8"))
Change = Callable[[dict[str, Any]], Any]


def right() -> dict[str, Any]:
    """A results file of the expected values."""
    return {
        "format": "accbo-results/1",
        "set": SET,
        "implementation": "expected",
        "results": {
            vector.id: [{name: e[name].tolist() for name in FIELDS} for e in vector.expected]
            for vector in load()
        },
    }


RIGHT = right()


def written(folder: Path, content: Any) -> Path:
    path = folder / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def message(read: Callable[[Path], Any], path: Path) -> str:
    """What is said about the file, which names it and what to do."""
    with pytest.raises(VectorError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.what
    assert caught.value.do
    return str(caught.value)


# --- vectors --------------------------------------------------------------------------------


def vector_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(v for v in document["vectors"] if v["id"] == f"known-answer/{name}")


def put(*path: Any, value: Any) -> Change:
    """The change that sets what stands at ``path``; a str@id picks a vector."""

    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = vector_of(document, key[1:]) if str(key).startswith("@") else place[key]
        place[path[-1]] = value

    return change


def twice(document: dict[str, Any]) -> None:
    document["vectors"].append(copy.deepcopy(document["vectors"][0]))


def deep(levels: int) -> Any:
    value: Any = 1.0
    for _ in range(levels):
        value = [value]
    return value


BAD_VECTORS: dict[str, tuple[Change, str]] = {
    "newer version": (
        put("format", value="accbo-vectors/3"),
        "version 3 of accbo-vectors is not known here.* newer version of accbo",
    ),
    "other format": (put("format", value="accbo-results/1"), "expected 'accbo-vectors/2'"),
    "no format": (put("format", value=None), "no format; begin with"),
    "newer set": (put("set", value=3), "set 3 .* newer than 2, .*newer version of accbo"),
    "older format": (put("format", value="accbo-vectors/1"), "set 2 comes in accbo-vectors/2"),
    "no kind of tolerance": (
        lambda d: vector_of(d, "start").pop("tolerance_kind"),
        "start.*its tolerance_kind is missing",
    ),
    "another kind of tolerance": (
        put("@start", "tolerance_kind", value="guessed"),
        "Invalid enum value 'guessed'",
    ),
    "unknown flag": (
        put("@start", "flags", value=["stale samples"]),
        "start.*unknown flags 'stale samples'; did you mean 'stale sample'",
    ),
    "flag of nowhere": (put("@start", "flags", value=["qqq"]), "`accbo faults` lists"),
    "duplicate id": (twice, r"vectors\[21\] .* stands twice"),
    "unknown field": (put("@start", "extra", value=1), r"unknown field `extra`.*|vectors\[20\]"),
    "missing field": (lambda d: vector_of(d, "start").pop("note"), "missing required field `note`"),
    "unknown kind": (put("@start", "kind", value="walk"), "Invalid value 'walk'"),
    "unknown problem": (put("@start", "problem", value="p"), "problem 'p' is not in this file"),
    "wrong shape": (put("@neumann", "state", "x", value=[1.0, 2.0]), r"expected shape \(1,\)"),
    "scalar for a list": (put("@neumann", "state", "x", value=1.0), "Expected `int \\| array`"),
    "text for a number": (put("@neumann", "state", "x", value=["1"]), "'1' stands where a number"),
    "truth for a number": (put("@neumann", "state", "x", value=[True]), "True stands where"),
    "nothing for a number": (put("@neumann", "state", "x", value=[None]), "None stands where"),
    "ragged": (put("@neumann", "state", "x", value=[[1.0], [1.0, 2.0]]), "expected numbers of"),
    "too deep": (put("@neumann", "state", "x", value=deep(20)), "nested too deeply"),
    "index below 0": (
        put("@finite-sum", "samples", 0, "upper", "index", value=[-1]),
        r"expected integers in \[0, 2\)",
    ),
    "index too large": (
        put("@finite-sum", "samples", 0, "upper", "index", value=[2]),
        r"expected integers in \[0, 2\)",
    ),
    "half an index": (
        put("@finite-sum", "samples", 0, "upper", "index", value=[0.5]),
        r"expected integers in \[0, 2\)",
    ),
    "other noise": (
        put("@neumann-chained", "samples", 0, "upper", value={"additive_x": [1.0]}),
        r"a sample holds \['additive_x'\] where \['none'\] is expected",
    ),
    "rows that do not agree with a refresh": (
        put("@option-ii-idle", "samples", 0, "lower", value={"none": [[], []]}),
        r"expected shape \(0, 0\), got \(2, 0\)",
    ),
    "no first sample": (
        put("@start", "start", "first", "upper", value={"additive_x": []}),
        "start.first.upper has no rows",
    ),
    "a state too few": (
        lambda d: vector_of(d, "start")["expected"].pop(),
        "length >= 2|1 samples, 1 expected states and 2 tolerances",
    ),
    "a billion terms": (
        put("@neumann", "algorithm", "neumann_terms", value=10**9),
        r"algorithm\[\.\.\.\]: Expected `int` <= 1000",
    ),
    "a billion replicates": (
        put("@neumann", "replicates", value=[10**9]),
        "replicates.*: Expected `int` <= 1000",
    ),
    "a billion steps": (
        put("@option-ii-refresh", "algorithm", "lower_steps", value=10**9),
        r"algorithm\[\.\.\.\]: Expected `int` <= 1000",
    ),
    "a billion per batch": (
        put("problems", "by hand/two samples", "upper_batch", value=10**9),
        "upper_batch: Expected `int` <= 1000",
    ),
    "terms that do not come": (
        put("@neumann", "algorithm", "neumann_terms", value=1000),
        r"expected shape \(999, 0\)",
    ),
    "β out of range": (put("@neumann", "algorithm", "momentum", value=1.0), "momentum must lie in"),
    "no convexity": (
        put("problems", "by hand/simple", "hessian", value=[[-1.0]]),
        r"problems\['by hand/simple'\].*strongly convex",
    ),
    "no symmetry": (
        put("problems", "by hand/two of y", "hessian", value=[[1.0, 2.0], [0.0, 1.0]]),
        "symmetric",
    ),
    "labels": (
        put("problems", "by hand/two samples", "upper_labels", value=[1.0, 0.0]),
        "must be -1 or 1",
    ),
    "an id like a path": (put("@start", "id", value="../../etc/passwd"), "Expected `str` matching"),
}


@pytest.mark.parametrize("name", BAD_VECTORS)
def test_a_wrong_file_of_vectors_is_refused(name: str, tmp_path: Path) -> None:
    change, expected = BAD_VECTORS[name]
    document = copy.deepcopy(KNOWN)
    change(document)
    with pytest.raises(VectorError, match=expected) as caught:
        read_vectors(written(tmp_path, document))
    assert caught.value.do


def test_right_files_are_read() -> None:
    found = {vector.id for path in FOLDER.glob("*.json") for vector in read_vectors(path)}
    assert found == {vector.id for vector in load()}


TEXT = json.dumps(KNOWN)
BAD_TEXTS = {
    "truncated": (TEXT[: len(TEXT) // 2], "ends too early; it was cut off|is not JSON"),
    "cut in a number": (TEXT[: TEXT.index('"since": 1') + 9], "ends too early"),
    "empty": ("", "ends too early"),
    "no JSON": ("x = 1", "line 1, column 1: is not JSON"),
    "a list": ("[1, 2]", "there is no format"),
    "NaN": (TEXT.replace("0.25", "NaN", 1), "NaN is no JSON number; in results, write null"),
    "infinity": (TEXT.replace("0.25", "-Infinity", 1), "-Infinity is no JSON number"),
    "beyond float64": (TEXT.replace("0.25", "1e999", 1), "1e999 is beyond float64"),
    "a long integer": (TEXT.replace("0.25", "9" * 5000, 1), "beyond float64"),
    "a key twice": (TEXT.replace('"set": 2', '"set": 2, "set": 2'), "'set' stands twice"),
    "deep nesting": ('{"format": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    "deep objects": ('{"a": ' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
@pytest.mark.parametrize("read", [read_vectors, read_results])
def test_a_text_that_is_no_document_is_refused(
    name: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    content, expected = BAD_TEXTS[name]
    with pytest.raises(VectorError, match=expected):
        read(written(tmp_path, content))


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"format": "\xff"}')
    assert "byte 12: this is not UTF-8; save the file as UTF-8" in message(read_vectors, path)

    path.write_bytes(b'\xef\xbb\xbf{"format": "\xff"}')
    assert "byte 15: this is not UTF-8" in message(read_vectors, path)


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for text, read in ((json.dumps(RIGHT), read_results), (json.dumps(KNOWN), read_vectors)):
        path.write_text(text, encoding="utf-8-sig")
        marked = read(path)
        path.write_text(text, encoding="utf-8")
        assert repr(marked) == repr(read(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_another_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(json.dumps(KNOWN).encode(encoding))
    said = f"this is {encoding.upper()[:6]}; save the file as UTF-8"
    assert said in message(read_results, path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)  # a hole: no bytes on disk
    assert "is larger than 64 MB" in message(read_vectors, path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in message(read_vectors, tmp_path / "nothing.json")
    assert "Is a directory" in message(read_vectors, tmp_path) or os.name == "nt"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # nobody writes: must not wait
        assert "no regular file" in message(read_vectors, tmp_path / "pipe")


# --- results --------------------------------------------------------------------------------


def only(name: str, states: Any) -> dict[str, Any]:
    return {**RIGHT, "results": {name: states}}


NEUMANN, START = "known-answer/neumann", "known-answer/start"
BAD_RESULTS = {
    "newer version": (
        {**RIGHT, "format": "accbo-results/9"},
        "version 9 of accbo-results is not known here.* newer version of accbo",
    ),
    "vectors": (KNOWN, "this is 'accbo-vectors/2'; expected 'accbo-results/1'"),
    "newer set": ({**RIGHT, "set": 7}, "set 7 .* newer than 2"),
    "unknown id": (only("known-answer/neuman", []), "did you mean 'known-answer/neumann'"),
    "strange id": (only("quite/other", []), "`accbo vectors list` shows the ids"),
    "unknown field": (
        only(NEUMANN, [{"x": [1.0], "z": [1.0]}]),
        r"neumann'\]: \[0\] holds x, z; x must be there, and any of x, x_previous",
    ),
    "no x": (only(NEUMANN, [{"y": [1.0]}]), r"\[0\] holds y; x must be there"),
    "two states": (only(NEUMANN, [{"x": [1.0]}] * 2), "2 states; give the one after the step"),
    "no state": (only(START, []), "0 states; give 2, one after each iteration from 0 on, or 1"),
    "wrong shape": (only(NEUMANN, [{"x": [1.0, 2.0]}]), r"\[0\].x: 2 elements where 1 belong"),
    "wrong depth": (only(NEUMANN, [{"x": [[1.0]]}]), "list stands where a number belongs"),
    "text": (only(NEUMANN, [{"x": ["1.0"]}]), "'1.0' stands where a number belongs"),
    "convention": ({**RIGHT, "conventions": {"order": ["both"]}}, "Invalid enum value 'both'"),
}


def judged(path: Path) -> Any:
    return observations(read_results(path))


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_wrong_results_are_refused(name: str, tmp_path: Path) -> None:
    content, expected = BAD_RESULTS[name]
    with pytest.raises(VectorError, match=expected):
        judged(written(tmp_path, content))


def test_right_results_are_observed(tmp_path: Path) -> None:
    found = judged(written(tmp_path, RIGHT))
    assert len(found) == len(load())
    for observation in found:
        assert not observation.missing
        assert observation.mode == ("step" if observation.vector.kind == "step" else "start")
        for state, expected in zip(observation.states, observation.vector.expected, strict=True):
            for name in FIELDS:
                np.testing.assert_array_equal(state[name], expected[name])


def by_name(path: Path, name: str) -> Any:
    return next(o for o in judged(path) if o.vector.id == name)


def test_null_is_nan_and_integers_are_numbers(tmp_path: Path) -> None:
    found = by_name(written(tmp_path, only(NEUMANN, [{"x": [None], "y": [1]}])), NEUMANN)
    assert np.isnan(found.states[0]["x"][0])
    assert found.states[0]["y"].tolist() == [1.0]
    assert set(found.states[0]) == {"x", "y"}


def test_a_trajectory_may_begin_after_iteration_0(tmp_path: Path) -> None:
    found = by_name(written(tmp_path, only(START, [{"x": [0.25], "iteration": 2}])), START)
    assert (found.mode, len(found.states)) == ("free", 1)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    document = only(NEUMANN, [{"x": [1.0]}]) | {"conventions": {"option": ["I"]}}
    found = judged(written(tmp_path, document))
    why = {o.vector.id: o.missing for o in found}
    assert why[NEUMANN] == ""
    assert why[START] == "no result"
    assert why["known-answer/option-ii-idle"] == "convention not covered"


def test_a_verdict_says_what_has_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path, only(NEUMANN, RIGHT["results"][NEUMANN])))
    assert cli.main(["vectors", "verify", path]) == 0
    others = len(load()) - 1
    assert f"conforms in what is shown, {others} cases have no result" in capsys.readouterr().out
    assert cli.main(["vectors", "verify", path, "--strict"]) == 2
    assert "not all was judged" in capsys.readouterr().out


def test_a_verdict_says_that_no_start_was_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {v.id: len(v.expected) for v in load()}
    shown = {
        name: states[1:] if whole[name] > 1 else states for name, states in RIGHT["results"].items()
    }
    path = str(written(tmp_path, RIGHT | {"results": shown}))
    assert cli.main(["vectors", "verify", path]) == 0
    assert "1 check: start: not covered" in capsys.readouterr().out
    assert cli.main(["vectors", "verify", str(written(tmp_path, RIGHT))]) == 0
    assert "start: not covered" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["order", "neumann_sampling", "option", "first"])
def test_a_convention_has_a_choice(tmp_path: Path, name: str) -> None:
    with pytest.raises(VectorError, match=name):
        judged(written(tmp_path, RIGHT | {"conventions": {name: []}}))


# --- schemas and the linter ------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_that_of_the_reader(name: str) -> None:
    published = json.loads((FOLDER.parent / name).read_text(encoding="utf-8"))
    made = json.loads(schema(name))  # the order of keys is msgspec's, and changed with it
    assert published == made, "accbo vectors schema --write"
    jsonschema.Draft202012Validator.check_schema(published)


# all of the newest set, and of the first one of each kind
OBEYING = [*set_files(SET), folder_of(1) / "known-answer.json", *set_files(1, "SLIP")]


@pytest.mark.parametrize("path", OBEYING, ids=lambda path: f"{path.parts[-2]}-{path.stem}")
def test_shipped_files_obey_the_published_schema(path: Path) -> None:
    validator("vectors").validate(json.loads(path.read_text(encoding="utf-8")))


def validator(what: str) -> Any:
    published = (FOLDER.parent / f"{what}.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(published))


def test_results_obey_the_published_schema() -> None:
    validator("results").validate(RIGHT)
    validator("results").validate(only(NEUMANN, [{"x": [None]}]))
    assert not validator("results").is_valid(only(NEUMANN, [{"y": [1.0]}]))
    assert not validator("results").is_valid(only(NEUMANN, [{"x": ["1.0"]}]))


LINT: dict[str, tuple[Change, str]] = {
    "convention": (put("@start", "convention", "order", value="sequential"), "the convention is"),
    "difficulty": (put("@start", "difficulty", "d_x", value=2), r"d_x and d_y are \(1, 1\)"),
    "inexact": (
        put("@underflow-float32", "state", "y", value=[0.1]),
        "an input is not exact in float32",
    ),
    "inexact η": (
        put("@underflow-float32", "algorithm", "upper_step_size", value=0.1),
        "upper_step_size is not exact in float32",
    ),
    "tolerance": (put("@start", "tolerance", 0, "x", value=-1.0), r"tolerance\[0\].x is negative"),
    "expected": (
        put("@neumann", "expected", 0, "momentum", 0, value=1.0 + 2.0**-52),
        r"expected\[0\].momentum\[0\]: .* ulp from the exact value",
    ),
    "a proven tolerance that is wide": (
        put("@neumann", "tolerance", 0, "x", value=1e9),
        r"tolerance\[0\].x: is above the proven bound",
    ),
    "a proven tolerance that is narrow": (
        put("@neumann", "tolerance", 0, "x", value=1e-30),
        r"tolerance\[0\].x: is below the proven bound",
    ),
    "a measured tolerance that is wide": (
        put("@start", "tolerance", 0, "x", value=1e9),
        r"tolerance\[0\].x is not 10 K u",
    ),
    "line": (put("@start", "line", value=""), "which line of SPEC"),
    "flags": (
        put("@start", "flags", value=["silent float32", "stale sample"]),
        "another order",
    ),
}


@pytest.mark.parametrize("name", LINT)
def test_the_linter_sees(name: str, tmp_path: Path) -> None:
    change, expected = LINT[name]
    document = copy.deepcopy(KNOWN)
    change(document)
    found = lint([written(tmp_path, document)])
    assert any(re.search(expected, line) for line in found), found
    # what makes a vector another one makes its numbers wrong as well
    assert len(found) == 1 or name in ("inexact", "inexact η", "tolerance", "convention")


def test_the_linter_sees_what_is_wrong_with_a_set(tmp_path: Path) -> None:
    path = FOLDER / "known-answer.json"
    found = "\n".join(lint([path, path], whole=True))
    assert "known-answer/start: stands in two files" in found
    assert "fault 'inner pair kept' is caught by 0 vectors" in found
    assert "42 vectors, fewer than 500" in found


# --- commands --------------------------------------------------------------------------------


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def accbo(*arguments: str) -> Ended:
    """What the command says and returns, in this process."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = cli.main(["vectors", *arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def test_list_shows_the_vectors_of_a_fault() -> None:
    done = accbo("list", "--fault", "inner pair kept")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == sum(
        "inner pair kept" in vector.flags for vector in load()
    )
    wrong = accbo("list", "--fault", "inner pairs")
    assert wrong.returncode == 2
    assert "accbo faults lists them" in wrong.stderr


def test_page_schema_and_path_print() -> None:
    assert accbo("page").stdout.startswith("# Test vectors for AccBO")
    assert json.loads(accbo("schema", "results").stdout)["title"] == "accbo-results/1"
    assert Path(accbo("path").stdout.strip()) == FOLDER == folder_of(SET)
    assert Path(accbo("path", "--set", "1").stdout.strip()) == folder_of(1)
    assert accbo("path", "--set", "9").returncode == 2


def test_lint_and_verify_have_exit_codes(tmp_path: Path) -> None:
    document = copy.deepcopy(KNOWN)
    vector_of(document, "start")["line"] = ""
    assert accbo("lint", str(written(tmp_path, document))).returncode == 1
    assert accbo("lint", str(FOLDER / "known-answer.json")).returncode == 0
    bad = accbo("verify", str(written(tmp_path, "{")))
    assert bad.returncode == 2
    assert "ends too early" in bad.stderr
    right = accbo("verify", str(written(tmp_path, RIGHT)))
    assert (right.returncode, "conforms" in right.stdout) == (0, True)


def test_wrong_results_depart(tmp_path: Path) -> None:
    known = {name: states for name, states in RIGHT["results"].items() if name.startswith("known")}
    document = copy.deepcopy({**RIGHT, "results": known})
    document["results"][NEUMANN][0]["x"][0] += 1e-9
    report = tmp_path / "report.json"
    done = accbo("verify", str(written(tmp_path, document)), "--json", str(report))
    assert done.returncode == 1
    assert NEUMANN in done.stdout
    assert json.loads(report.read_text(encoding="utf-8"))


def test_results_that_declare_what_they_do_not_do_depart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [v for v in load(fast=True) if v.id.startswith(("quadratic-s", "nonquadratic-s"))]
    simultaneous = [
        dataclasses.replace(v, algorithm=dataclasses.replace(v.algorithm, order="simultaneous"))
        for v in chosen
        if v.kind == "step"
    ]
    states = {v.id: next(replaying([v.algorithm], v, "step")) for v in simultaneous}
    results = {
        name: [{field: array.tolist() for field, array in state.items()}]
        for name, state in states.items()
    }
    document = {**RIGHT, "results": results}
    assert cli.main(["vectors", "verify", str(written(tmp_path, document))]) == 0
    assert "conforms under another convention: order = simultaneous" in capsys.readouterr().out
    document["conventions"] = {"order": ["sequential"]}
    assert cli.main(["vectors", "verify", str(written(tmp_path, document))]) == 1
    said = capsys.readouterr().out
    assert "You declare order = sequential, and the program does order = simultaneous" in said
    assert '    "conventions": {"order": ["simultaneous"]}\n' in said


def test_the_page_names_every_field() -> None:
    page = (FOLDER.parent / "VECTORS.md").read_text(encoding="utf-8")
    record = KNOWN["vectors"][0]
    problems = [data for path in FOLDER.glob("*.json") for data in problems_of(path)]
    noises = [noise for data in problems for noise in data.values() if isinstance(noise, dict)]
    for part in (record, record["algorithm"], record["convention"], *problems, *noises):
        assert [name for name in part if f"`{name}`" not in page] == []


def problems_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["problems"].values())


# --- generation that is stopped ----------------------------------------------------------------


# four groups of the set, and Ctrl-C pressed when the N-th of them is kept
STOPPED = """
import os, signal, sys
from accbo import cli
from accbo._pieces.kept import Kept
from accbo.conformance.vectors import build

chosen, save, count = dict(list(build.units().items())[:4]), Kept.save, [0]
build.units = lambda method: chosen

def counted(self, *arguments):
    save(self, *arguments)
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)

Kept.save = counted
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(cli.main(["vectors", "generate", *sys.argv[2:]]))
"""


def test_generation_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """On two processes; what comes out is what is shipped, of these groups."""
    cache, target, script = (tmp_path / name for name in ("cache", "made", "stopped.py"))
    script.write_text(STOPPED)

    def made(stop: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), str(stop), "--folder", str(target)]
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    first = made(2)
    assert "goes on from here" in first.stderr
    assert first.returncode == 130
    assert not list(target.glob("*.json"))  # nothing half done
    assert len(list(cache.glob("accbo/*/*.piece.npz"))) == 2
    done = made(3)  # two are left: the third is never kept, and nothing stops it
    assert done.returncode == 0, done.stderr
    assert not list(cache.glob("accbo/*"))
    slugs = list(units())[:4]
    shipped = shipped_documents(lambda vector: vector["id"].split("/")[0] in slugs)
    assert sum(len(document["vectors"]) for document in shipped.values()) == sum(
        units()[slug] for slug in slugs
    )
    assert _compare(target, shipped) == []


def shipped_documents(which: Callable[[dict[str, Any]], bool]) -> dict[str, dict[str, Any]]:
    """The documents of the set, of some of its vectors alone and of their problems."""
    found = {}
    for path in set_files(SET, "AccBO"):
        document = json.loads(path.read_bytes())
        vectors = list(filter(which, document["vectors"]))
        if vectors:
            problems = {vector["problem"] for vector in vectors}
            kept = {name: p for name, p in document["problems"].items() if name in problems}
            found[path.name] = {**document, "problems": kept, "vectors": vectors}
    return found


@pytest.mark.slow
def test_all_that_is_shipped_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert generate(check=True) == []


def test_check_says_what_differs(tmp_path: Path) -> None:
    document = copy.deepcopy(KNOWN)
    vector_of(document, "start")["note"] = "another"
    vector_of(document, "neumann")["tolerance"][0]["x"] *= 1.05  # an estimate: may differ so far
    document["vectors"].remove(vector_of(document, "cosh"))
    (tmp_path / "known-answer.json").write_text(json.dumps(document), encoding="utf-8")
    found = _compare(tmp_path, {"known-answer.json": KNOWN})
    assert sorted(found) == [
        "known-answer/cosh: is not yet there",
        "known-answer/start: note differ",
    ]


def test_vectors_are_what_the_wheel_has_to_hold() -> None:
    assert isinstance(load()[0], Vector)
    for name in ("VECTORS.md", "vectors.schema.json", "results.schema.json"):
        assert (FOLDER.parent / name).is_file()


def test_without_msgspec_every_command_names_the_extra() -> None:
    commands = [["verify", "results.json"], ["lint"], ["prove"], ["schema", "vectors"]]
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from accbo.cli import main\n"
        f"print([main(['vectors', *words]) for words in {commands}])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout == "[2, 2, 2, 2]\n"
    assert ended.stderr.count("takes msgspec; pip install 'msgspec>=") == len(commands)
