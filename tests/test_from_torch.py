"""Problems of the user's own shapes: nests and modules in PyTorch, pytrees in JAX."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import AccBO, problems
from accbo.cli import main
from tests.backends import Backend, need

SIZES: dict[str, Any] = {"lower_step_size": 0.1, "lower_momentum": 0.5, "averaging": 0.2}
SIZES |= {"momentum": 0.9, "upper_step_size": 0.05, "neumann_terms": 3, "neumann_scale": 4.0}
ALGORITHM = AccBO(**SIZES)
ROWS = np.sin(1.0 + np.arange(36.0) ** 1.5).reshape(12, 3)
TARGETS = ROWS @ np.array([1.0, -2.0, 0.5])


ONLY_TORCH = pytest.mark.parametrize("backend", ["torch"], indirect=True)


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return need(request.param)


def data(backend: Backend) -> tuple[Any, Any]:
    return backend.array(ROWS), backend.array(TARGETS)


def make(backend: Backend, upper: Any, lower: Any, **options: Any) -> Any:
    build = {"torch": problems.from_torch, "jax": problems.from_jax}[backend.name]
    return build(upper, lower, **options)


def fit(x: Any, y: Any, batch: Any) -> Any:
    rows, targets = batch
    return ((rows @ y["w"] + y["b"] - targets) ** 2).mean()


def ridge(x: Any, y: Any, batch: Any) -> Any:
    exp = x["l"] ** 2 + 0.5
    return fit(x, y, batch) + (exp[0] * y["w"] ** 2).sum() + exp[1] * y["b"] ** 2


def nests(backend: Backend, **options: Any) -> Any:
    x = {"l": backend.array([0.5, 1.0])}
    y = {"w": backend.array(np.zeros(3)), "b": backend.array(0.25)}
    given = data(backend)
    sizes = {"upper_batch": 4, "lower_batch": 5, "upper_data": given, "lower_data": given}
    return make(backend, fit, ridge, **({"x": x, "y": y} | sizes | options))


def flat(backend: Backend) -> Any:
    """The same problem by hand, with flat vectors."""
    rows, targets = data(backend)

    def batch(sample: Any) -> Any:
        if sample is None:
            return rows, targets
        return rows[sample["rows"]], targets[sample["rows"]]

    def split(x: Any, y: Any) -> Any:
        order = ("b", "w") if backend.name == "jax" else ("w", "b")  # JAX sorts its keys
        parts = {"b": y[0], "w": y[1:]} if order[0] == "b" else {"w": y[:3], "b": y[3]}
        return {"l": x}, parts

    start = np.array([0.25, 0, 0, 0]) if backend.name == "jax" else np.array([0, 0, 0, 0.25])
    return problems.from_objectives(
        lambda x, y, s: fit(*split(x, y), batch(s)),
        lambda x, y, s: ridge(*split(x, y), batch(s)),
        2,
        4,
        backend=backend.name,
        upper_noise={"rows": ("index", (4,), 12)},
        lower_noise={"rows": ("index", (5,), 12)},
        at=(backend.array([0.5, 1.0]), backend.array(start)),
    )


def test_a_nest_is_the_flat_problem(backend: Backend) -> None:
    mine, theirs = nests(backend), flat(backend)
    start = mine.start_point()
    sample = {"rows": np.arange(5) % 4}
    point = [backend.array(np.cos(np.arange(part.shape[-1]))) for part in start]
    rows = {"rows": backend.array(sample["rows"], "int64")}
    few = backend.name == "jax"  # every one of them is compiled
    for drawn in (rows,) if few else (None, rows):
        for method in ("upper", "grad_y_lower") if few else ("upper", "grad_x_upper", "lower"):
            left, right = (getattr(p, method)(*point, drawn) for p in (mine, theirs))
            np.testing.assert_allclose(np.asarray(left), np.asarray(right), rtol=1e-13, atol=1e-15)
        for method in ("cross_lower",) if few else ("hvp_lower", "cross_lower"):
            left, right = (getattr(p, method)(*point, point[1], drawn) for p in (mine, theirs))
            np.testing.assert_allclose(np.asarray(left), np.asarray(right), rtol=1e-13, atol=1e-15)
    for one, other in zip(start, theirs.start_point(), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_run_gives_back_the_users_shapes(backend: Backend) -> None:
    problem = nests(backend)
    x, y = (np.stack([np.asarray(part)] * 3) for part in problem.start_point())
    result = accbo.run(ALGORITHM, problem, backend.array(x), backend.array(y), steps=3)
    assert tuple(result.x["l"].shape) == (3, 2)
    assert {key: tuple(value.shape) for key, value in result.y.items()} == {"w": (3, 3), "b": (3,)}
    alone = accbo.run(ALGORITHM, problem, steps=3)
    np.testing.assert_allclose(np.asarray(result.x["l"])[0], np.asarray(alone.x["l"]), rtol=1e-10)
    if backend.name == "torch":  # what comes back goes in
        again = accbo.run(ALGORITHM, problem, alone.x, alone.y, steps=2)
        assert tuple(again.x["l"].shape) == (2,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"l": np.zeros(3)}, r"built with .* \(2,\) as x\['l'\], and there is .* \(3,\)"),
        ({"k": np.zeros(2)}, r"x\['l'\], and there is nothing"),
        ({"l": np.zeros(2), "k": np.zeros(1)}, r"with nothing as x\['k'\], and there is .* \(1,\)"),
    ],
)
def test_a_nest_that_changes_is_refused(backend: Backend, changes: Any, message: str) -> None:
    problem = nests(backend)
    x = {key: backend.array(value) for key, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        accbo.run(ALGORITHM, problem, x, problem.y_form(problem.start_point()[1]), steps=2)


def test_what_cannot_be_a_variable_or_a_batch(backend: Backend) -> None:
    whole = backend.array(np.zeros(2))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"upper_data": (whole, backend.array(np.zeros(3)))}, "must have one number of rows"),
        ({"upper_batch": 13}, "a batch of upper_data must have 1 to 12 rows, got 13"),
        ({"lower_noise": {"rows": ("normal", (1,))}}, "the batch's own field"),
        ({"x": {}}, "x holds no array"),
    ]
    for changes, message in cases:
        with pytest.raises((TypeError, ValueError), match=message):
            nests(backend, **changes)


def test_a_loss_that_is_no_scalar_is_shown_with_its_line(backend: Backend) -> None:
    def upper(x: Any, y: Any, batch: Any) -> Any:
        return batch[0] @ y["w"]

    x, y = (
        {"l": backend.array([0.5, 1.0])},
        {"w": backend.array(np.ones(3)), "b": backend.array(0.25)},
    )
    options = {"upper_data": data(backend), "lower_data": data(backend), "upper_batch": 4}
    with pytest.raises(ValueError, match=r"a scalar .* shape \(4,\) \(.*\.py, line \d+\)"):
        make(backend, upper, ridge, x=x, y=y, **options)


# --- modules, loaders and datasets -------------------------------------------------------------


def network(torch: Any, kind: str, dtype: Any) -> Any:
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cells = getattr(nn, kind)(1, 2)
            self.out = nn.Linear(2, 1)

        def forward(self, rows: Any) -> Any:
            series = rows.T[..., None]  # (time, batch, 1)
            if kind.endswith("Cell"):
                state = None
                for now in series:
                    state = self.cells(now, state)
                last = state[0] if kind == "LSTMCell" else state
            else:
                last = self.cells(series)[0][-1]
            return self.out(last)[:, 0]

    torch.manual_seed(0)
    return Net().to(dtype)


def modules(torch: Any, net: Any, dtype: Any, **options: Any) -> Any:
    rows, targets = (torch.asarray(part, dtype=dtype) for part in (ROWS, TARGETS))
    utils = importlib.import_module("torch.utils.data")
    above = utils.DataLoader(utils.TensorDataset(rows, targets), batch_size=4, shuffle=True)
    below = utils.TensorDataset(rows, targets, torch.arange(12))

    def upper(x: Any, y: Any, batch: Any) -> Any:
        return ((y(batch[0]) - batch[1]) ** 2).mean()

    def lower(x: Any, y: Any, batch: Any) -> Any:
        given, label, index = batch
        ridge = sum((p**2).sum() for p in y.parameters())
        return (torch.sigmoid(x[index]) * (y(given) - label) ** 2).mean() + 2 * ridge

    start = torch.zeros(12, dtype=dtype)
    whole = {"upper_data": above, "lower_data": below, "lower_batch": 6} | options
    return problems.from_torch(upper, lower, x=start, y=net, **whole)


@ONLY_TORCH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "LSTMCell"])
def test_recurrent_networks_run(backend: Backend, kind: str, dtype: str) -> None:
    torch: Any = importlib.import_module("torch")
    net = network(torch, kind, getattr(torch, dtype))
    problem = modules(torch, net, getattr(torch, dtype))
    assert problem.upper_noise["rows"] == ("index", (4,), 12)
    assert problem.lower_noise["rows"] == ("index", (6,), 12)
    result = accbo.run(ALGORITHM, problem, steps=3)
    net.load_state_dict(result.y)
    assert str(result.x.dtype) == f"torch.{dtype}"
    x, y = (part.expand(2, -1) for part in problem.start_point())
    several = accbo.run(ALGORITHM, problem, x, y, steps=3)
    np.testing.assert_allclose(several.state.x[0], result.state.x, rtol=1e-4, atol=1e-6)


@ONLY_TORCH
def test_frozen_parts_and_tied_ones_stay(backend: Backend) -> None:
    torch: Any = importlib.import_module("torch")
    nn = torch.nn
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 1), nn.Flatten(0))
    net = net.to(torch.float64)
    net[2].weight = net[0].weight
    net[3].requires_grad_(False)
    problem = modules(torch, net, torch.float64)
    assert problem.d_y == 9 + 3 + 3
    before = net[3].weight.clone()
    state = accbo.run(ALGORITHM, problem, steps=2).y
    assert torch.equal(state["2.weight"], state["0.weight"])
    assert torch.equal(state["3.weight"], before)
    assert list(state) == list(net.state_dict())


@ONLY_TORCH
def test_parameters_are_a_nest_too(backend: Backend) -> None:
    torch: Any = importlib.import_module("torch")
    net = torch.nn.Linear(3, 1).to(torch.float64)
    func = importlib.import_module("torch.func")
    rows, targets = data(backend)

    def loss(x: Any, y: Any, batch: Any) -> Any:
        weight, bias = y
        out = func.functional_call(net, {"weight": weight, "bias": bias}, (rows,))
        return ((out[:, 0] - targets) ** 2).mean() + (x**2).sum() * (weight**2).sum()

    problem = problems.from_torch(loss, loss, x=torch.ones(1).double(), y=net.parameters())
    assert [tuple(part.shape) for part in accbo.run(ALGORITHM, problem, steps=2).y] == [
        (1, 3),
        (1,),
    ]


@ONLY_TORCH
def test_a_declared_mask_is_a_dropout(backend: Backend) -> None:
    torch: Any = importlib.import_module("torch")
    net = torch.nn.Linear(3, 1).to(torch.float64)
    rows, targets = data(backend)

    def lower(x: Any, y: Any, batch: Any, noise: Any) -> Any:
        mask = 1.0 if noise is None else 1.0 + noise["mask"]  # 0 or 2
        return ((y(batch[0] * mask)[:, 0] - batch[1]) ** 2).mean() + (x * y["weight"][0]).sum() ** 2

    problem = problems.from_torch(
        lambda x, y, batch: ((y(rows)[:, 0] - targets) ** 2).mean() + (x**2).sum(),
        lower,
        x=torch.ones(3).double(),
        y=net,
        lower_data=(rows, targets),
        lower_batch=4,
        lower_noise={"mask": ("sign", (3,))},
    )
    assert list(problem.lower_noise) == ["rows", "mask"]
    accbo.run(ALGORITHM, problem, steps=3)


REFUSED: dict[str, tuple[str, str]] = {
    "dropout": ("nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5), nn.Flatten(0))", "Dropout in tr"),
    "batch norm": ("nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1), nn.Flatten(0))", "running"),
    "recurrent dropout": ("nn.LSTM(3, 2, 2, dropout=0.5)", "LSTM in training mode"),
}


@ONLY_TORCH
@pytest.mark.parametrize("what", REFUSED)
def test_modules_that_draw_or_remember_are_refused(backend: Backend, what: str) -> None:
    torch: Any = importlib.import_module("torch")
    code, message = REFUSED[what]
    net = eval(code, {"nn": torch.nn}).to(torch.float64)
    with pytest.raises(ValueError, match=rf"{message}.*\(.*line \d+\); call eval\(\)"):
        modules(torch, net, torch.float64)
    if what != "recurrent dropout":
        modules(torch, net.eval(), torch.float64)


@ONLY_TORCH
def test_data_that_cannot_be_drawn_from(backend: Backend) -> None:
    torch: Any = importlib.import_module("torch")
    utils = importlib.import_module("torch.utils.data")
    net = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0)).to(torch.float64)

    class Ending(utils.IterableDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Any:
            return iter([])

    class Augmented(utils.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return torch.randn(3).double(), torch.zeros(()).double()

    rows = torch.asarray(ROWS)
    cases = [
        (utils.DataLoader(Ending()), TypeError, "upper_data is a Ending, which ends"),
        (iter([rows]), TypeError, "which ends and cannot be indexed"),
        (Augmented(), ValueError, "differs when it is read twice"),
        ((rows.float(), rows[:, 0].float()), TypeError, "differ in dtype, float32 and float64"),
    ]
    for given, error, message in cases:
        with pytest.raises(error, match=message):
            modules(torch, net, torch.float64, upper_data=given)
    with pytest.raises(TypeError, match="y and x differ in dtype, float32 and float64"):
        problems.from_torch(fit, ridge, x=rows[0], y=rows[0].float())
    with pytest.raises(TypeError, match=r"x\['b'\] and x\['a'\] differ in dtype"):
        problems.from_torch(fit, ridge, x={"a": rows, "b": rows.float()}, y=rows)


def test_a_loader_that_ends_inside_an_objective(
    backend: Backend, tmp_path: Path, capsys: Any
) -> None:
    """Through the command, with the user's own line."""
    file = tmp_path / "ends.py"
    library = {"torch": "import torch as xp", "jax": "import jax.numpy as xp"}[backend.name]
    file.write_text(
        f"""
{library}
from accbo.problems import from_objectives
batches = iter([])

def upper(x, y, sample):
    return ((next(batches) @ y) ** 2).sum()

def problem():
    lower = lambda x, y, s: ((y - x) ** 2).sum()
    return from_objectives(upper, lower, 2, 2, backend="{backend.name}")
"""
    )
    assert main(["audit", f"{file}:problem"]) == 2
    said = capsys.readouterr().err
    assert "a loader that it reads from has ended" in said
    assert "ends.py, line 7" in said
    assert len(said.splitlines()) == 1
