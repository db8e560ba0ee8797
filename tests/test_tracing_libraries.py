"""Traces from real loops: PyTorch with an LSTM, JAX compiled and not, other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo.tracing import Recorder, verify
from accbo.tracing.projection import Projector
from tests.backends import need

CONSTANTS = {"momentum": 0.75, "upper_step_size": 0.0625}
# in bfloat16, u = 2⁻⁸, a step of η = 0.02 is less than what rounding may do to x, and
# m_{t−1} − h_t(old) less than what it may do to m, two momenta one apart within 7 iterations
BELOW_ROUNDING: dict[str, set[str]] = {
    "float32": set(),
    "bfloat16": {
        "no correction",
        "two-iterations-old momentum",
        "norm per block",
        "no normalisation",
    },
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_lstm_in_pytorch(dtype: str, tmp_path: Path) -> None:
    need("torch")
    import torch

    from examples.traced_lstm import CONSTANTS, Net
    from tests.lstm_mistakes import MISTAKES, train

    path = tmp_path / "run.jsonl"

    def verdict(wrong: str, seed: int = 0) -> Any:
        with Recorder(path, algorithm="AccBO", constants=CONSTANTS) as recorder:
            train(Net(dtype=getattr(torch, dtype)), recorder, 7, wrong, seed)
        return verify(path)

    for seed in range(2):
        found = verdict("", seed)
        assert found.header.dtype == dtype
        assert found.departures == []
    missed = {wrong for wrong in MISTAKES if wrong not in verdict(wrong).names}
    assert missed == BELOW_ROUNDING[dtype]


def test_what_is_no_view_for_numpy_is_projected_where_it_is() -> None:
    """The way of a device, in bfloat16 on the CPU, against NumPy's."""
    need("torch")
    import torch

    leaves = [torch.arange(3000.0).to(torch.bfloat16), torch.ones(2, 5, dtype=torch.bfloat16)]
    projector = Projector(0, "x", (3000, 10), 2)
    there = projector(leaves)
    here = projector([leaf.float().numpy() for leaf in leaves])
    assert isinstance(there, torch.Tensor)
    assert np.allclose(there.numpy(), here, rtol=1e-13)


# --- JAX ------------------------------------------------------------------------------------------


def _jax_step(jax: Any, beta: float) -> Any:
    """x, m and h of an iteration, a nest of two arrays; noise at both points alike."""
    jnp = jax.numpy

    def h(x: Any, noise: Any) -> Any:
        return {name: jnp.tanh(leaf) + noise * leaf for name, leaf in x.items()}

    def add(a: float, u: Any, b: float, v: Any) -> Any:
        return {name: a * u[name] + b * v[name] for name in u}

    def step(x: Any, x_old: Any, m: Any, noise: Any) -> Any:
        new, old = h(x, noise), h(x_old, noise)
        m = add(1.0, new, beta, add(1.0, m, -1.0, old))
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in m.values()))
        return add(1.0, x, -0.0625 / norm, m), m, new, old

    return step


@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_jax_under_jit_by_callback(beta: float, tmp_path: Path) -> None:
    need("jax")
    import jax

    path, step = tmp_path / "run.jsonl", _jax_step(jax, beta)
    x = {"b": jax.numpy.ones((3, 4)), "a": jax.numpy.arange(5.0)}
    x_old, m = x, {name: 0 * leaf for name, leaf in x.items()}
    with Recorder(path, algorithm="AccBO", constants=CONSTANTS) as recorder:

        @jax.jit
        def logged(x: Any, x_old: Any, m: Any, noise: Any) -> Any:
            x_next, m, new, old = step(x, x_old, m, noise)
            recorder.log(x=x, momentum=m)
            with recorder.part("new"):
                recorder.log(h=new)
            with recorder.part("old"):
                recorder.log(h=old)
            return x_next, m

        for t in range(8):
            with recorder.step():
                x_next, m = logged(x, x_old, m, 0.1 * t)
            x_old, x = x, x_next
    verdict = verify(path)
    assert verdict.iterations == 8
    judged = {g.group.name: g.judged for g in verdict.groups if g.judged}
    assert judged["step"] == 7
    assert judged["momentum"] >= 7
    assert [one.text for one in verdict.constants] == (
        [] if beta == 0.75 else ["β is 0.5, declared 0.75"]
    )


def test_jax_in_a_scan_by_returned_numbers(tmp_path: Path) -> None:
    need("jax")
    import jax

    path, step = tmp_path / "run.jsonl", _jax_step(jax, 0.75)
    recorder = Recorder(path, algorithm="AccBO", constants=CONSTANTS)

    def body(carry: Any, noise: Any) -> Any:
        x, x_old, m = carry
        x_next, m, new, old = step(x, x_old, m, noise)
        numbers = recorder.measure({"x": x, "momentum": m, "new": {"h": new}, "old": {"h": old}})
        return (x_next, x, m), numbers

    x = {"a": jax.numpy.ones(1500), "b": jax.numpy.full((2, 2), 3.0)}
    start = (x, x, {name: 0 * leaf for name, leaf in x.items()})
    _, numbers = jax.lax.scan(body, start, jax.numpy.arange(20) / 10)
    recorder.add_all(numbers)
    recorder.close()
    verdict = verify(path)
    assert verdict.iterations == 20
    # at t = 0 the old point is the new one and m was 0: m_0 = (1 − β) h_0 is no estimate
    assert {g.group.name for g in verdict.departures} <= {"momentum"}
    header = json.loads(path.read_text().splitlines()[0])
    assert header["x"] == [1500, 4]
    eager = Recorder(tmp_path / "eager.jsonl", algorithm="AccBO").numbers("x", x)
    first = json.loads(path.read_text().splitlines()[1])["x"]
    assert np.allclose(np.asarray(eager), first, rtol=1e-5)


# --- the recorder's sentences ---------------------------------------------------------------------


def test_names_and_shapes_are_checked_where_they_are_logged(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.jsonl", algorithm="AccBO") as recorder:
        with pytest.raises(ValueError, match="belongs into the body of step"):
            recorder.log(x=np.ones(3))
        with recorder.step():
            recorder.log(x=np.ones(3))
            with pytest.raises(ValueError, match="there is no 'w' in an iteration; known: x, y"):
                recorder.log(w=np.ones(3))
            with pytest.raises(ValueError, match="momentum has leaves of 4 entries"):
                recorder.log(momentum=np.ones(4))
            with pytest.raises(ValueError, match="new is a group of names"):
                recorder.log(new=np.ones(3))
            with pytest.raises(TypeError, match="a vector is an array or a list"):
                recorder.log(y="abc")
        with pytest.raises(ValueError, match="x was logged twice"):
            _twice(recorder)
        with pytest.raises(ValueError, match="do not nest"), recorder.step(), recorder.step():
            pass
    with pytest.raises(ValueError, match="dtype is one of float64, float32"):
        Recorder(tmp_path / "run.jsonl", algorithm="AccBO", dtype="float8")
    with pytest.raises(ValueError, match="momentum must be finite"):
        Recorder(tmp_path / "run.jsonl", algorithm="AccBO", constants={"momentum": np.nan})


def _twice(recorder: Recorder) -> None:
    with recorder.step():
        recorder.log(x=np.ones(3))
        recorder.log(x=np.ones(3))


def test_a_traced_problem_refuses_a_compiled_run(tmp_path: Path) -> None:
    need("jax")
    import jax

    import accbo
    from accbo.tracing import traced
    from benchmarks.trace_cases import declared
    from benchmarks.wide import Wide

    algorithm = declared("AccBO")
    recorder = Recorder(tmp_path / "run.jsonl", algorithm=algorithm)
    watched = traced(Wide(4), recorder, algorithm)
    x = jax.numpy.ones(4)
    with pytest.raises(TypeError, match="trace it eagerly"):
        accbo.run(algorithm, watched, x, x, steps=2, progress=False)
