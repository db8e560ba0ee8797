"""CuPy's current device, on a stand-in for CuPy: no device is needed to see which one is asked."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import _arrays
from accbo.problems import quadratic
from tests.support import changed
from theory_checks import report


class Device:
    """``cupy.cuda.Device``: a number, the current one by default, current inside ``with``."""

    current = 0

    def __init__(self, number: int | None = None) -> None:
        self.id = Device.current if number is None else number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __str__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        self.outer, Device.current = Device.current, self.id
        return self

    def __exit__(self, *_: object) -> None:
        Device.current = self.outer


class Array(np.ndarray):
    """``cupy.ndarray``: results lie on the current device, as CuPy puts them there."""

    def __array_finalize__(self, _: Any) -> None:
        self.place = Device()

    @property
    def device(self) -> Device:
        return self.place


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module ``cupy`` with as much as accbo asks of it."""
    made = types.ModuleType("cupy")
    made.ndarray, made.cuda = Array, types.SimpleNamespace(Device=Device)

    def placed(make: Callable[..., Any]) -> Callable[..., Any]:
        def placing(*values: Any, device: Any = None, **options: Any) -> Any:
            with device or Device():
                return make(*values, **options).view(Array)

        return placing

    makers = {name: placed(getattr(np, name)) for name in ("asarray", "ones", "zeros", "full")}
    names = {**vars(np), **makers, "__name__": "cupy"}
    monkeypatch.setitem(sys.modules, "cupy", made)
    monkeypatch.setitem(_arrays._NAMESPACES, Array, types.SimpleNamespace(**names))
    monkeypatch.setattr(_arrays.array_api_compat, "device", lambda array: array.device)
    monkeypatch.setattr(Array, "get", lambda self: self.view(np.ndarray), raising=False)
    yield made
    assert Device.current == 0


def case_on(device: Device) -> tuple[Any, ...]:
    problem = quadratic((1.0, 2.0), 2)
    with device:
        like = np.zeros(1).view(Array)
        return accbo.move((problem, np.ones(2), np.ones(2)), like=like)


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("number", [0, 1])
def test_a_run_on_the_current_device_stays_there(number: int) -> None:
    with Device(number):
        problem, x, y = case_on(Device(number))
        state = accbo.run(changed(), problem, x, y, steps=3, noise=1).state
        assert state.x.device == state.y.device == Device(number)


@pytest.mark.usefixtures("cupy")
def test_arrays_on_another_device_are_refused_in_words() -> None:
    problem, x, y = case_on(Device(1))
    assert x.device == Device(1)
    message = (
        r"x lies on <CUDA Device 1>, and CuPy computes on the current device, <CUDA Device 0>; "
        r"make that of the arrays current: with x\.device: \.\.\."
    )
    with pytest.raises(ValueError, match=message):
        accbo.run(changed(), problem, x, y, steps=3, noise=1)
    with pytest.raises(ValueError, match=message):
        accbo.audit(problem, x, y)


@pytest.mark.usefixtures("cupy")
def test_a_problem_on_another_device_is_refused_in_words() -> None:
    problem, _, _ = case_on(Device(1))
    _, x, y = case_on(Device(0))
    with pytest.raises(TypeError, match=r"x and problem\.\w+ differ in device: <CUDA Device 0>"):
        accbo.run(changed(), problem, x, y, steps=3, noise=1)


@pytest.mark.parametrize("name", ["cupy-cuda12x", "cupy-cuda13x", "cupy"])
def test_the_report_names_the_cupy_that_is_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"numpy": "2.4.6", name: "14.2.0"}
    monkeypatch.setattr(report, "_version", there.get)
    assert report.environment(report.Settings(), 1, ["rate"])["packages"] == there
