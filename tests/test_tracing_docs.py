"""The page on traces runs, its schema is the layout's, and its directions are found in C."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from accbo.tracing import verify
from accbo.tracing.schema import FILE, schema, text
from benchmarks.trace_cases import right, write
from tests.test_docs import _blocks

ROOT = Path(__file__).parents[1]


def test_the_pages_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in _blocks("traces.md", "python"):
        exec(compile(block, "traces.md", "exec"), names)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == ("conforms", "conforms")
    assert len(third.split()) == 2


def test_the_pages_loop_departs_once_its_old_sample_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = _blocks("traces.md", "python")[0]
    wrong = source.replace("old = h(x_old, noise)", "old = last")
    wrong = wrong.replace(
        "recorder.log(momentum=m)", "recorder.log(momentum=m)\n            last = new"
    )
    assert wrong.count("last") == 2
    exec(compile(wrong, "traces.md", "exec"), {})
    assert "stale sample" in capsys.readouterr().out


def test_the_schema_is_that_of_the_layout() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("method", ["AccBO", "SABA", "VRBO"])
def test_every_line_satisfies_the_schema(method: str, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "run.jsonl"
    write(right(method, 8, steps=4), path)
    validator = jsonschema.Draft202012Validator(schema())
    for line in path.read_text().splitlines():
        validator.validate(json.loads(line))
    assert not validator.is_valid({"t": 1, "loss": [1.0, 2.0, 3.0]})


def compiled(source: str, tmp_path: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "traced.c").write_text(source, encoding="utf-8")
    program, path = tmp_path / "traced", tmp_path / "run.jsonl"
    command = [compiler, "-O2", "-Wall", "-Werror", "-o", str(program)]
    subprocess.run([*command, str(tmp_path / "traced.c"), "-lm"], check=True)
    subprocess.run([str(program), str(path)], check=True)
    return path


@pytest.mark.parametrize(
    ("right_", "wrong", "names"),
    [
        ("", "", []),
        ("h(old, x_old, s);", "if (!t) h(old, x_old, s);", ["stale sample"]),
        ("BETA * (m[i] - old[i])", "(m[i] - old[i])", ["correction without β"]),
        ("ETA * m[i] / sqrt(square)", "ETA * m[i]", ["no normalisation"]),
    ],
)
def test_a_loop_in_c(right_: str, wrong: str, names: list[str], tmp_path: Path) -> None:
    source = (ROOT / "examples" / "c" / "traced.c").read_text(encoding="utf-8")
    assert right_ in source
    changed = source.replace(right_, wrong) if right_ else source
    if names == ["stale sample"]:
        changed = changed.replace("x_old[i] = x[i];", "x_old[i] = x[i]; old[i] = new[i];")
    verdict = verify(compiled(changed, tmp_path))
    assert verdict.iterations == 20
    assert (verdict.names or []) == names
    assert bool(verdict.departures) == bool(names)
