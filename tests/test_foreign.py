"""Somebody else's code, its exceptions in a sentence, its time, and the text it brings along."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from accbo import cli
from accbo._blame import described, hint, is_own
from accbo._foreign import ForeignError, foreign, read
from accbo._limits import TooLong, at_most
from accbo._printable import INSTEAD, clean, cleaned
from accbo.auditing import HOLDS, Audit, Finding
from accbo.conformance import check, from_function
from accbo.conformance.running.observe import _is_known
from accbo.conformance.vectors.vector import load
from accbo.conformance.verdict.judge import judge
from tests.backends import need
from tests.support import press_ctrl_c
from theory_checks.report import json_text

# --- exceptions -------------------------------------------------------------------------------


def caught(code: str) -> BaseException:
    try:
        exec(code, {"np": np})
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


HINTS = [
    ("np.zeros(1).clone()", "factory.namespace = 'torch'"),
    ("np.zeros(1).requires_grad_()", "factory.namespace = 'torch'"),
    ("np.zeros(1).at[0].set(1)", "factory.namespace = 'jax'"),
    ("raise TypeError(\"abs(): argument 'input' must be Tensor, not numpy.ndarray\")", "'torch'"),
    ("raise RuntimeError('element 0 of tensors does not require grad')", "x.detach()"),
    ('raise RuntimeError("Can\'t call numpy() on Tensor that requires grad.")', "detach() what"),
    ("import array_api_compat; array_api_compat.is_nothing_array", "which may be too old"),
    ("from numpy import no_such_function", f"numpy {np.__version__} is installed"),
    ("raise ImportError('attempted relative import with no known parent')", "optlib.accbo:X"),
]


@pytest.mark.parametrize(("code", "advice"), HINTS, ids=[code[:40] for code, _ in HINTS])
def test_a_known_cause_gets_a_hint(code: str, advice: str) -> None:
    assert advice in hint(caught(code))


@pytest.mark.parametrize("code", ["1/0", "np.zeros(1).nothing", "raise AttributeError", "{}['x']"])
def test_an_unknown_cause_gets_none(code: str) -> None:
    assert hint(caught(code)) == ""


@pytest.mark.parametrize("backend", ["torch"])
def test_the_texts_of_torch_are_known(backend: str) -> None:
    need(backend)
    import torch

    x = torch.zeros(2, requires_grad=True)
    for act in (lambda: torch.abs(np.zeros(1)), x.numpy, torch.zeros(2).sum().backward):
        with pytest.raises((TypeError, RuntimeError)) as error:
            act()
        assert hint(error.value), error


def test_the_last_line_that_is_the_users_own() -> None:
    """NumPy raises, and the line that called it is said."""

    def mine() -> None:
        np.linalg.solve(np.zeros((2, 2)), np.zeros(2))

    with pytest.raises(ForeignError) as error, foreign("step"):
        mine()
    line = mine.__code__.co_firstlineno + 1
    assert str(error.value).endswith(f"(tests{os.sep}test_foreign.py, line {line})")
    assert str(error.value).startswith("step raised LinAlgError: Singular matrix")


def test_whose_a_file_is(tmp_path: Path) -> None:
    import accbo
    import theory_checks

    assert is_own(str(tmp_path / "mine.py"))
    assert is_own(__file__)
    for module in (accbo, theory_checks, np, json, pytest):
        assert not is_own(str(module.__file__))
        assert not is_own(os.path.dirname(str(module.__file__)))
    assert not is_own("<string>")


def test_what_goes_through_the_guard() -> None:
    with pytest.raises(NotImplementedError), foreign("it"):
        raise NotImplementedError
    with pytest.raises(KeyboardInterrupt), foreign("it"):
        press_ctrl_c()
    with pytest.raises(ForeignError, match="KeyboardInterrupt"), foreign("it"):
        raise KeyboardInterrupt


def test_an_attribute_may_do_anything() -> None:
    class Quits:
        @property
        def namespace(self) -> str:
            raise SystemExit(0)

    assert read(Quits(), "other", 3) == 3
    with pytest.raises(ForeignError, match="the attribute namespace raised SystemExit: 0"):
        read(Quits(), "namespace")


FORKS = """
import os
from accbo._foreign import foreign
end = os._exit
with foreign("it"):
    child = os.fork()
    if child == 0:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), os._exit is end)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_was_forked_may_end_itself() -> None:
    """In a process of its own: one that has JAX's threads must not fork."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "7 True\n"


def test_how_an_exit_is_described() -> None:
    assert described(SystemExit(0)) == "SystemExit: 0"


# --- limits -------------------------------------------------------------------------------------


def spin() -> None:
    while True:
        pass


def test_the_outer_limit_ends_the_inner() -> None:
    with pytest.raises(TooLong) as late, at_most(0.01) as outer, at_most(1000):
        spin()
    assert late.value.limit is outer


def test_the_outer_limit_goes_on_after_an_inner() -> None:
    def twice() -> None:
        with pytest.raises(TooLong), at_most(0.01):
            spin()
        spin()

    with pytest.raises(TooLong) as late, at_most(0.05) as outer:
        twice()
    assert late.value.limit is outer
    with at_most(1000):
        pass
    time.sleep(0.1)  # and nothing comes afterwards


def test_a_limit_that_is_eaten_comes_again() -> None:
    def eats(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(BaseException):
                spin()
        spin()

    with pytest.raises(TooLong), at_most(0.01):
        eats(3)


# --- text ---------------------------------------------------------------------------------------

BAD = "\x1b[31m \x00 \x07 \x7f \x9b2J \ud800 \ufffe \uffff \U0001ffff \u202e \u2028 \r"


def test_what_must_not_be_passed_on_is_replaced() -> None:
    text = clean(BAD)
    assert not set(text) & set(BAD.replace(" ", "").replace("[31m", "").replace("2J", ""))
    assert text.count(INSTEAD) == 12
    assert clean("é ‖∇Φ‖ 漢 🙂") == "é ‖∇Φ‖ 漢 🙂"
    assert clean("a\nb\tc") == f"a{INSTEAD}b{INSTEAD}c"
    assert clean("a\nb", keep="\n") == "a\nb"
    assert cleaned({"a\x1b": ["\ud800", 1, None]}) == {f"a{INSTEAD}": [INSTEAD, 1, None]}


def unfit(text: str) -> list[str]:
    return [character for character in text if character != "\n" and clean(character) != character]


def test_a_report_on_names_from_outside() -> None:
    forged = f"mine{BAD}\nmine: conforms (105 pass)"

    def step(*arguments: Any) -> Any:
        raise RuntimeError(forged)

    found = check(from_function(step), on_fail="return", fast=True, name=forged)
    assert found.exit_code == 2
    for text in (found.text(), found.json(), found.junit()):
        assert unfit(text) == []
        assert "\\u001b" not in text
        text.encode("utf-8")
    assert "\nmine: conforms" not in found.text()
    assert "\x1b" not in json.dumps(json.loads(found.json()), ensure_ascii=False)
    ElementTree.fromstring(found.junit())
    assert judge([], implementation=forged).implementation.count(INSTEAD) == 13


def test_an_audit_and_a_theory_report() -> None:
    audit = Audit(BAD, (Finding(BAD, BAD, BAD, HOLDS, BAD),), None, None)
    assert unfit(audit.json()) == []
    assert "\\u001b" not in audit.json()
    assert "\\u001b" not in json_text({"command": BAD})
    assert unfit(json_text({"command": BAD})) == []


def test_results_with_such_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, xml = tmp_path / "results.json", tmp_path / "out.json", tmp_path / "out.xml"
    values = {"format": "accbo-results/1", "set": 1, "implementation": BAD, "results": {}}
    path.write_text(json.dumps(values))
    assert cli.main(["vectors", "verify", str(path), "--json", str(out), "--junit", str(xml)]) == 2
    said = "".join(capsys.readouterr())
    assert said
    assert unfit(said) == []
    for written in (out, xml):
        if written.exists():
            assert unfit(written.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["\x1b[31m:f", "no\ud800:f", "a\nb.py:f"])
def test_a_target_with_such_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conform", name, "--fast"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert unfit(said) == []


# --- what state() may show ------------------------------------------------------------------------


def test_a_state_holds_fields_and_names_of_ones_own() -> None:
    vector = load()[0]
    assert all(_is_known(name, vector) for name in (*vector.fields, "iteration", "_own"))
    assert not _is_known("m", vector)
    assert not _is_known("z", vector)  # parts() may show it
    assert not _is_known(3, vector)
