"""What ``accbo conform --scaffold`` writes runs as it is, says so, and conforms once filled in."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from accbo import algorithms, cli
from accbo.conformance import check
from accbo.conformance.methods import METHODS
from accbo.conformance.running.observe import Runner
from accbo.conformance.running.target import load_target
from accbo.conformance.scaffold.adapters import LANGUAGES, NOT_YET, adapter
from accbo.conformance.scaffold.samples import SAMPLES
from accbo.conformance.vectors.vector import SET, file_of, folder_of, load
from accbo.conformance.verdict.judge import judge
from tests.scaffold_steps import C_FILLED, C_HELP, C_SAGA, FILLED, HELP


def filled(language: str, method: str, file: str) -> str:
    """The scaffold with a right step where it says that there is none."""
    text = adapter(language, method, file)
    (gap,) = [line for line in text.split("\n") if "NotImplementedError(" in line]
    indent = gap[: len(gap) - len(gap.lstrip())]
    begin, end = ["s = self"], []
    if language == "jax":
        begin = ["from types import SimpleNamespace", "s = SimpleNamespace(**state._asdict())"]
        end = ["return state._replace(**vars(s))"]
    lines = [*begin, *FILLED[method].strip("\n").split("\n"), *end]
    step = "\n".join(indent + line if line else "" for line in lines)
    return text.replace(gap, step) + HELP


def filled_c(method: str, file: str) -> str:
    """The same in C."""
    text = adapter("c", method, file)
    helpers = C_SAGA if method == "SABA" else C_HELP if method in ("AccBO", "TTSA") else ""
    helpers = helpers.replace("DRAWN", str(int(method == "TTSA")))
    (gap,) = [line for line in text.split("\n") if "not_implemented();" in line]
    return text.replace(gap, C_FILLED[method].strip("\n")).replace(
        '#include "accbo_vectors.h"\n', f'#include "accbo_vectors.h"\n{helpers}'
    )


# --- as it is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("method", METHODS)
def test_it_is_short_and_says_what_it_needs(language: str, method: str) -> None:
    text = adapter(language, method, "mine.py")
    code = text.partition('"""\n\n')[2] or text.partition("*/\n")[2]
    assert len([line for line in code.split("\n") if line.strip()]) <= 40
    assert max(map(len, text.split("\n"))) <= 160
    for part in SAMPLES[method]:
        assert part.name in text


def test_as_it_is_nothing_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    options = ["conform", "--scaffold", "numpy", f"{file}:Own", "--algorithm", "SLIP"]
    assert cli.main(options) == 0
    assert f"accbo conform {file}:Own" in capsys.readouterr().out
    assert cli.main(["conform", f"{file}:Own"]) == 2
    said = capsys.readouterr().out
    assert NOT_YET in said
    assert f"{file}:Own: nothing was judged (" in said
    assert "conforms" not in said
    assert cli.main(options) == 2  # nothing is written over
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--scaffold", "c", "mine.py"], "takes a new file such as mine.c"),
        (["--scaffold", "jax", "mine"], "takes a new file such as mine.py"),
        (["--scaffold", "jax", "mine.py:a-b"], "takes a new file such as mine.py"),
        (["--scaffold", "jax", "--algorithm", "SLIPP"], "did you mean SLIP?"),
        ([], "say what to judge"),
    ],
)
def test_what_makes_no_sense(given: list[str], why: str, capsys: Any) -> None:
    assert cli.main(["conform", *given]) == 2
    assert why in capsys.readouterr().err


def test_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conform", "--scaffold", "torch", "--algorithm", "VRBO"]) == 0
    assert capsys.readouterr().out == adapter("torch", "VRBO", "mine.py")


@pytest.mark.parametrize("method", METHODS)
def test_the_axes_are_those_of_the_samples(method: str) -> None:
    vectors = load(method=method)
    for vector in vectors[:: max(1, len(vectors) // 12)]:
        sample = vector.samples[0]
        for part in SAMPLES[method]:
            held: Any = sample
            for name in part.name.split("."):
                held = getattr(held, name)
            if not held:
                assert part.name == "power"
            for leaf in held.values():
                assert leaf.ndim == len(part.axes) + len(vector.replicates) + 1, part


def test_every_part_of_a_sample_is_there() -> None:
    for method in METHODS:
        cls = getattr(algorithms, f"{method}Sample")
        assert {part.name.partition(".")[0] for part in SAMPLES[method]} == set(cls._fields)


def test_the_page_has_every_part() -> None:
    page = (Path(__file__).parents[1] / "docs" / "implementer.md").read_text(encoding="utf-8")
    for parts in SAMPLES.values():
        for part in parts:
            axes = f"({', '.join((*part.axes, '…'))})" if part.axes else ""
            assert f"| `{part.name}` | {axes} | {part.what} |" in page


# --- filled in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_filled_in_it_conforms(method: str, tmp_path: Path) -> None:
    file = tmp_path / f"mine_{method.lower()}.py"
    file.write_text(filled("numpy", method, file.name), encoding="utf-8")
    report = check(load_target(f"{file}:Mine"), fast=True, on_fail="return")
    assert report.conforms, report.text()
    assert report.not_shown == ()


@pytest.mark.parametrize(
    ("language", "method"), [("torch", "AccBO"), ("torch", "SUSTAIN"), ("jax", "AccBO")]
)
def test_filled_in_with_other_arrays(language: str, method: str, tmp_path: Path) -> None:
    pytest.importorskip(language)
    if language == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    file = tmp_path / f"mine_{language}_{method.lower()}.py"
    file.write_text(filled(language, method, file.name), encoding="utf-8")
    runner = Runner(load_target(f"{file}:Mine"), language)
    small = [each for each in load(method=method) if each.problem.d_y == 3 and each.fast]
    made = (runner.run(vector, runner.modes(vector)[-1]) for vector in small)
    judged = list(itertools.islice((one for one in made if not one.missing), 3))
    assert len(judged) == 3
    assert judge(judged, implementation=language, strict=True).conforms


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("method", C_FILLED)
def test_filled_in_c_it_conforms(method: str, tmp_path: Path) -> None:
    source, program = tmp_path / "mine.c", tmp_path / "mine"
    assert cli.main(["conform", "--scaffold", "c", str(source), "--algorithm", method]) == 0
    files = [str(file) for file in folder_of(SET).glob("*.json")]
    if method != "AccBO":
        files = [str(folder_of(SET) / file_of(method))]

    def results() -> tuple[int, Path]:
        command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-o", program, source]
        done = subprocess.run([*command, "-lm"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        ran = subprocess.run([program, *files], capture_output=True, text=True, timeout=120)
        out = tmp_path / "results.json"
        out.write_text(ran.stdout, encoding="utf-8")
        return ran.returncode, out

    code, out = results()
    assert code == 2
    assert cli.main(["vectors", "verify", str(out)]) == 2
    source.write_text(filled_c(method, source.name), encoding="utf-8")
    code, out = results()
    assert code == 0
    assert cli.main(["vectors", "verify", str(out)]) == 0
