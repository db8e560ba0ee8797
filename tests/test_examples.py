"""The examples: right ones conform, wrong ones get their names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from accbo.conformance import check
from accbo.conformance.check import check_one, select
from accbo.conformance.running.observe import Runner
from accbo.conformance.running.target import load_target
from accbo.conformance.verdict.judge import judge
from accbo.conformance.verdict.report import PASS
from tests.backends import need

EVERYTHING = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])


def report(target: str, **options: Any) -> Any:
    return check(load_target(str(EXAMPLES / target)), on_fail="return", **options)


@pytest.mark.parametrize("backend", ["torch"])
def test_pytorch_conforms(backend: str) -> None:
    """On the fast tier and a case of every group; on all of them in the nightly run."""
    need(backend)
    runner = Runner(load_target(str(EXAMPLES / "torch_accbo.py:Implementation")), "torch")
    wanted = [v for v in select() if EVERYTHING or v.fast or v.id.endswith("/0")]
    found = judge(
        [one for v in wanted for one in runner.observe(v)], implementation="torch", strict=True
    )
    assert found.conforms, found.text()
    assert len((EXAMPLES / "torch_accbo.py").read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.parametrize("backend", ["jax"])
def test_jax_conforms_on_some_cases(backend: str) -> None:
    """All cases take 90 s, most of it to compile; ``accbo conform`` runs them."""
    need(backend)
    runner = Runner(load_target(str(EXAMPLES / "jax_accbo.py:implementation")), "jax")
    some = ("nonquadratic-s", "nonquadratic-4x2", "trajectory-nonquadratic-s", "one-term-")
    vectors = [v for v in select(fast=True) if v.id.startswith(some) and not v.replicates]
    assert len(vectors) >= 9
    for vector in vectors:
        for one in runner.observe(vector):
            found = check_one(one)
            assert found.status == PASS, (found.name, found.message)


@pytest.mark.parametrize("backend", ["torch"])
@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("StaleSample", ("stale sample", "norm per block")),
        ("OneRandomTerm", ("series from q = 1", "random term without Q")),
        ("AliasedIterates", ("y_{t−1} overwritten",)),
    ],
)
def test_published_mistakes_are_named(backend: str, target: str, names: tuple[str, ...]) -> None:
    need(backend)
    found = report(f"wrong_accbo.py:{target}", fast=not EVERYTHING)
    assert found.exit_code == 1
    assert found.names == (names,), found.text()
