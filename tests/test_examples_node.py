"""AccBO in JavaScript: reads the vectors, writes results, is judged like anybody else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from accbo import cli
from accbo.conformance.running.results import observations, read_results
from accbo.conformance.vectors.build import FOLDER
from accbo.conformance.vectors.vector import load
from accbo.rounding import norms

SCRIPT = Path(__file__).parents[1] / "examples" / "node" / "accbo.mjs"
LINES = {  # of the script, and the mistakes that stand in their place
    "no normalisation": ("scale(eta / Math.sqrt(dot(scaled, scaled)), scaled)", "scale(eta, m)"),
    "gradient at y": ("f.gradYLower(x, z, sample)", "f.gradYLower(x, yPrevious, sample)"),
    "correction without β": ("scale(a.momentum, sub(s.momentum, hOld))", "sub(s.momentum, hOld)"),
    "no warm start": ("lowerSteps(f, x, yInit, yInit, start.warm_start, a)", "yInit"),
}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run(script: Path, target: Path) -> Path:
    command = ["node", str(script), str(FOLDER), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the script as it is."""
    return run(SCRIPT, tmp_path_factory.mktemp("node") / "results.json")


def verify(results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the text of ``accbo vectors verify``."""
    code = cli.main(["vectors", "verify", str(results)])
    return code, capsys.readouterr().out


def test_all_results_lie_within_tolerance(right: Path) -> None:
    found = observations(read_results(right))
    assert len(found) == len(load())
    ratios = []
    for observation in found:
        vector = observation.vector
        assert not observation.missing
        pairs = zip(observation.states, vector.expected, vector.tolerance, strict=True)
        for state, expected, tolerance in pairs:
            for name, allowed in tolerance.items():
                error = norms(state[name] - expected[name])
                assert np.all(error <= allowed), (vector.id, name)
                ratios += list(np.ravel(error)[np.ravel(allowed) > 0] / allowed[allowed > 0])
    print(f"node: error/tolerance median {np.median(ratios):.4f}, largest {np.max(ratios):.4f}")


def test_verify_says_that_it_conforms(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(right, capsys)
    assert code == 0, said
    assert f"conforms ({len(load())} pass)" in said


@pytest.mark.parametrize("name", LINES)
def test_a_wrong_line_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, wrong = LINES[name]
    source = SCRIPT.read_text(encoding="utf-8")
    assert source.count(line) == 1
    changed = tmp_path / "wrong.mjs"
    changed.write_text(source.replace(line, wrong), encoding="utf-8")
    code, said = verify(run(changed, tmp_path / "results.json"), capsys)
    assert code == 1
    assert name in said, said


def test_it_says_how_it_is_called() -> None:
    done = subprocess.run(["node", str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "usage: node accbo.mjs" in done.stderr
