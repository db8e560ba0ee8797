"""No exit code 0 without a verdict, and no crash that looks like one, at any entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import _limits, audit, cli
from accbo._exit import Answer, SteadyStream, finish
from accbo._limits import TooLong
from accbo.auditing import AuditError
from accbo.conformance import ConformanceError, check, from_function, parametrize
from accbo.conformance.as_tests import VERDICT
from accbo.conformance.verdict import judge
from accbo.conformance.verdict.report import ERROR, PASS
from tests import misbehaving
from tests.misbehaving import DEED, DEEDS, PLACE, RUBBISH
from tests.support import press_ctrl_c
from theory_checks import __main__ as theory

FILE = misbehaving.__file__
ROOT = Path(FILE).parents[1]
pytest_plugins = ["pytester"]


@pytest.fixture
def deed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what is done, and where."""

    def chosen(what: str, place: str) -> None:
        monkeypatch.setenv(DEED, what)
        monkeypatch.setenv(PLACE, place)

    return chosen


def first_line(text: str) -> str:
    return text.splitlines()[0]


# --- the three programs -----------------------------------------------------------------------


@pytest.mark.parametrize("what", DEEDS)
@pytest.mark.parametrize("place", ["constructor", "step", "state", "property", "declaration"])
def test_an_implementation(
    what: str, place: str, deed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deed(what, place)
    path = tmp_path / "report.json"
    arguments = ["conform", f"{FILE}:Implementation", "--fast", "--json", str(path)]
    assert cli.main(arguments) == 2
    out, error = capsys.readouterr()
    assert (out + error).count("misbehaving.py, line ") == 1  # said once, with her own line
    if place != "declaration":
        assert ": could not run (" in first_line(out)
        assert json.loads(path.read_text(encoding="utf-8"))["exit_code"] == 2


@pytest.mark.parametrize("what", DEEDS)
@pytest.mark.parametrize("place", ["factory", "noise", "method", "expectation"])
def test_a_problem(what: str, place: str, deed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    deed(what, place)
    plain = (
        "raises",
        "stops an iteration",
        "raises without a text",
        "is out of memory",
        "recurses",
    )
    if place == "expectation" and what in plain:
        pytest.skip("an exception says that sample=None is not supported")
    assert cli.main(["audit", f"{FILE}:Problem", "--samples", "64"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert "misbehaving.py, line " in error


@pytest.mark.parametrize("what", DEEDS)
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", id="processes")])
def test_a_fault_of_ones_own(
    what: str, jobs: str, deed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if jobs == "2" and what not in ("exits with 0", "ends the process"):
        pytest.skip("the deed is done in a process of its own; two of them are enough")
    deed(what, "fault")
    path = tmp_path / "theory.json"
    arguments = ["--check", "neumann_bias", "--fault", f"{FILE}:fault", "--jobs", jobs]
    assert theory.main([*arguments, "--json", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("theory_checks: neumann_bias ")
    assert "misbehaving.py, line " in error
    assert not path.exists()


@pytest.mark.parametrize("option", ["--schedule", "--problem"])
def test_a_schedule_and_a_problem_of_ones_own(
    option: str, deed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    deed("exits with 0", {"--schedule": "schedule", "--problem": "factory"}[option])
    name = {"--schedule": "schedule", "--problem": "Problem"}[option]
    assert theory.main(["--check", "rate", option, f"{FILE}:{name}", "--jobs", "1"]) == 2
    assert "SystemExit: 0" in capsys.readouterr().err


def test_no_check_is_no_green(capsys: pytest.CaptureFixture[str]) -> None:
    """Before, 0 of 0 checks had passed."""
    every = ["--schedule", f"{FILE}:schedule", "--noise", "sign", "--jobs", "1"]
    found = theory.chosen_checks(None, theory.settings_of(theory.parser().parse_args(every)))
    assert found  # some check takes both
    assert theory._code([], 0) == 2


@pytest.mark.parametrize("what", ["exits with 0", "ends the process", "interrupts itself"])
def test_an_import(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "quits.py"
    deed = {"exits with 0": "sys.exit(0)", "ends the process": "os._exit(0)"}
    path.write_text(f"import os, sys\n{deed.get(what, 'raise KeyboardInterrupt')}\n")
    for program in (
        lambda: cli.main(["conform", f"{path}:f", "--fast"]),
        lambda: cli.main(["explain", f"{path}:f"]),
        lambda: cli.main(["audit", f"{path}:f"]),
        lambda: theory.main(["--check", "neumann_bias", "--fault", f"{path}:f"]),
    ):
        assert program() == 2
        assert "quits.py, line 2" in capsys.readouterr().err


def test_explaining_what_crashes(deed: Any) -> None:
    deed("raises", "step")
    assert cli.main(["explain", f"{FILE}:Implementation"]) == 2


# --- the functions, and pytest ------------------------------------------------------------------


@pytest.mark.parametrize("what", DEEDS)
@pytest.mark.parametrize("place", ["constructor", "step", "state", "property"])
def test_check_raises_an_error_of_ours(what: str, place: str, deed: Any) -> None:
    """A script that ends with it does not end with somebody else's 0."""
    deed(what, place)
    with pytest.raises(ConformanceError, match="could not run") as caught:
        check(misbehaving.Implementation, fast=True)
    assert caught.value.report.exit_code == 2


@pytest.mark.parametrize("what", [each for each in DEEDS if "memory" not in each])
def test_audit_raises_an_error_of_ours(what: str, deed: Any) -> None:
    deed(what, "method")
    with pytest.raises(AuditError, match="cross_lower"):
        audit(misbehaving.Problem())


def decorated(factory: Any, **options: Any) -> dict[str, Any]:
    """The functions that a test gets, by name."""
    cases = parametrize(factory, fast=True, **options).args[1]
    return {case.id: case.values[0] for case in cases}


@pytest.mark.parametrize("what", DEEDS)
def test_parametrize_fails_and_does_not_end(what: str, deed: Any) -> None:
    deed(what, "step")
    run = next(iter(decorated(misbehaving.Implementation).values()))
    with pytest.raises(AssertionError, match="step raised"):
        run()


@pytest.mark.parametrize("outcome", ["pytest.skip('no')", "pytest.exit('done', returncode=0)"])
def test_somebody_elses_skip_is_no_skip(outcome: str) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        exec(f"import pytest\n{outcome}")

    run = next(iter(decorated(from_function(step)).values()))
    with pytest.raises(AssertionError, match="step raised"):
        run()


def test_what_covers_nothing_fails() -> None:
    """All skipped looks green to pytest."""

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        raise NotImplementedError("later")

    last = decorated(from_function(step))[VERDICT]
    with pytest.raises(AssertionError, match=r"nothing was judged .*[\s\S]*: not covered: later"):
        last()
    decorated(misbehaving.Implementation)[VERDICT]()


WRONG = """
from accbo.conformance import from_function, parametrize

def step(problem, algorithm, state, sample):
    after = algorithm.step(problem, state, sample)
    return after._replace(x=after.x + 0.001)

@parametrize(from_function(step), fast=True)
def test_wrong(check):
    check()
"""


def test_without_assertions_a_wrong_one_fails(pytester: pytest.Pytester) -> None:
    """python -O leaves out ``assert``, and with the plugin off pytest does not put it back."""
    (pytester.path / "test_mine.py").write_text(WRONG)
    command = [sys.executable, "-O", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-W", "ignore::pytest.PytestConfigWarning", "-k", "one-term"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONOPTIMIZE": "1"}
    done = subprocess.run(command, cwd=pytester.path, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert " passed" not in done.stdout.splitlines()[-1]


def test_the_plugin(pytester: pytest.Pytester, deed: Any) -> None:
    deed("exits with 0", "step")
    (pytester.path / "test_own.py").write_text("def test_two(): assert 1 + 1 == 2")
    plugin = [] if _is_installed() else ["-p", "accbo.conformance.plugin"]
    options = ["-q", *plugin, "--accbo-fast", "--accbo-conform", f"{FILE}:Implementation"]
    done = pytester.runpytest_inprocess(*options, "test_own.py")
    assert done.ret == 1
    shown = done.stdout.str()
    assert "step raised SystemExit: 0" in shown
    assert "not tried: the first 25 cases ended so" in shown
    assert "1 passed" in shown


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(each.name == "accbo" for each in entry_points(group="pytest11"))


# --- rubbish, hangs, limits ---------------------------------------------------------------------


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_no_departure(name: str) -> None:
    change, message = RUBBISH[name]
    found = check(misbehaving.shows(change), on_fail="return", fast=True)
    assert found.exit_code == 2
    text = found.text()
    assert text.count(message) == 1
    assert "no mistake of the catalogue" not in text
    assert "misbehaving.py, line " in text
    broken = [one for one in found.checks if one.status == ERROR]
    assert f"could not run {broken[0].name}" in text


def test_a_crash_beside_what_is_right_is_no_departure() -> None:
    seen: list[int] = []

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        seen.append(1)
        if len(seen) == 9:
            raise RuntimeError("now and then")
        return algorithm.step(problem, state, sample)

    found = check(from_function(step, batched=True), on_fail="return", fast=True)
    assert found.exit_code == 2
    assert found.counts[PASS] > 50


def test_names_of_ones_own_begin_with_an_underscore() -> None:
    factory = misbehaving.shows(lambda right: {**right, "_rate": 0.1})
    assert check(factory, on_fail="return", fast=True).exit_code == 0


@pytest.mark.parametrize("hang", ["while True: pass", "swallow()"])
def test_a_step_that_hangs_and_one_that_eats_every_exception(hang: str) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        exec(hang, {"swallow": misbehaving.swallow}) if hang != "swallow()" else eats()

    def eats() -> None:
        for _ in range(3):  # the signal comes again and again
            try:
                while True:
                    pass
            except BaseException:
                pass

    found = check(from_function(step), on_fail="return", fast=True, time_limit=0.05)
    assert found.exit_code == 2
    assert len([one for one in found.checks if one.status == ERROR]) <= 25


def test_the_limit_for_all_cases_keeps_what_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        judge, "diagnose", lambda *_: judge.NOTHING
    )  # what it looks like is not asked

    def slow(right: bool) -> Any:
        seen: list[int] = []

        def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
            seen.append(1)
            if len(seen) > 5:
                raise TooLong(_limits._running[0])  # as when the time is used up just here
            after = algorithm.step(problem, state, sample)
            return after if right else after._replace(y=after.y + 1)

        return from_function(step, batched=True)

    for right, code in ((True, 2), (False, 1)):
        found = check(slow(right), on_fail="return", fast=True, limit_total=3000)
        assert found.exit_code == code
        assert found.stopped == "the limit of 3000 s for all cases was used up"
        assert f"stopped: {found.stopped}" in found.text()
        assert len(found.checks) >= 1
        assert json.loads(found.json())["stopped"] == found.stopped


def test_a_limit_in_pytest() -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        while True:
            pass

    cases = list(decorated(from_function(step), limit_total=0.05).values())
    for run in cases[1:3]:
        with pytest.raises(AssertionError, match="not judged: the limit of"):
            run()


def test_a_problem_that_hangs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(
        "from accbo.problems import quadratic\n"
        "class Slow:\n"
        "    def __init__(self): self.base = quadratic()\n"
        "    def __getattr__(self, name): return getattr(self.base, name)\n"
        "    def upper(self, x, y, sample=None):\n"
        "        while True: pass\n"
    )
    assert cli.main(["audit", f"{path}:Slow", "--time-limit", "0.05"]) == 2
    assert "upper did not return within 0.05 s" in capsys.readouterr().err
    assert cli.main(["audit", f"{path}:Slow", "--limit-total", "0.05"]) == 2
    assert "stopped: the limit of 0.05 s was used up" in capsys.readouterr().out


def test_theory_checks_keep_what_was_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = theory.run_cases

    def slow(*arguments: Any) -> Any:
        yield next(iter(whole(*arguments)))
        raise TooLong(_limits._running[0])  # as when the time is used up just here

    monkeypatch.setattr(theory, "run_cases", slow)
    checks = ["--check", "neumann_bias", "momentum_variance", "--jobs", "1"]
    path = tmp_path / "out.json"
    limit = ["--limit-total", "3000", "--json", str(path)]
    assert theory.main([*checks, *limit]) == 2
    assert "stopped after 1 of 2 checks: the limit of 3000 s was used up" in capsys.readouterr().out
    assert len(json.loads(path.read_text())["checks"]) == 1


# --- the end of a program -----------------------------------------------------------------------


def test_ctrl_c_is_told_from_an_exception_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    def raises() -> Answer:
        raise KeyboardInterrupt

    assert finish("accbo", press_ctrl_c) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert finish("accbo", raises) == 2
    assert "something raised KeyboardInterrupt" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [0, None, True, Answer(7), "all is well"])
def test_no_answer_is_no_green(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish("accbo", lambda: answer) == 2


def test_files_come_before_the_print_and_from_the_first_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def work() -> Answer:
        os.chdir("elsewhere")
        sys.stdout.close()
        sys.stdout = None  # type: ignore[assignment]
        return Answer(1, "wrong", ((Path("out.json"), "{}\n"),))

    assert finish("accbo", work) == 1
    assert (tmp_path / "out.json").read_text() == "{}\n"
    assert capsys.readouterr().out == "wrong\n"


def test_a_file_that_cannot_be_written_loses_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ((tmp_path / "no" / "where.json", "{}"),)
    assert finish("accbo", lambda: Answer(0, "conforms", files)) == 2
    out, error = capsys.readouterr()
    assert out == "conforms\n"
    assert error.startswith(f"accbo: cannot write {files[0][0]}: ")


class Gone:
    """A stream whose reader has gone."""

    encoding = "utf-8"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize(
    ("error", "code"), [(BrokenPipeError(), 0), (OSError(28, "No space left on device"), 2)]
)
@pytest.mark.parametrize("verdict", [0, 1])
def test_a_reader_that_left_changes_no_code(
    error: Exception, code: int, verdict: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Gone(error))
    assert finish("accbo", lambda: Answer(verdict, "text")) == (code if verdict == 0 else verdict)


def test_what_the_encoding_lacks_is_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="cp1252") as file:
        SteadyStream(file).say("‖∇Φ‖ ≤ ε at \ud800 é")
    assert path.read_text(encoding="cp1252") == "???? ? ? at ? é\n"


PIPE = "{program} 2>&1 | true; echo ${{PIPESTATUS[0]}}"
CONFORM = "-m accbo.cli conform {wrong}:step --fast --json out.json"
THEORY = "-m theory_checks --check neumann_bias --jobs 1 --json out.json --fault '1/l missing'"


@pytest.mark.parametrize("program", [CONFORM, THEORY], ids=["accbo", "theory_checks"])
def test_a_closed_pipe(program: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from accbo.conformance import from_function\n"
        "@from_function\n"
        "def step(problem, algorithm, state, sample):\n"
        "    print('here I am' * 999)\n"  # its own prints reach nobody either
        "    after = algorithm.step(problem, state, sample)\n"
        "    return after._replace(x=after.x + 0.001)\n"
    )
    line = f"{sys.executable} {program.format(wrong=wrong)} | true; exit ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": _path()}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    assert done.returncode == 1, done.stderr
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def _path() -> str:
    here = [str(ROOT), str(ROOT / "reference")]
    return os.pathsep.join([*here, os.environ.get("PYTHONPATH", "")])


def test_an_output_in_another_encoding(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "theory_checks", "--check", "neumann_bias", "--jobs", "1"]
    env = {**os.environ, "PYTHONPATH": _path(), "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([*line, "--json", "out.json"], cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"1 of 1 checks passed" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))


def test_an_error_state_and_warnings_of_somebody_else(tmp_path: Path) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        np.seterr(all="raise")
        warnings.simplefilter("error")
        os.chdir(tmp_path)
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
        return algorithm.step(problem, state, sample)

    before, here = np.geterr(), os.getcwd()
    try:
        with warnings.catch_warnings():
            found = check(from_function(step, batched=True), on_fail="return", fast=True)
    finally:
        os.chdir(here)
    assert np.geterr() == before
    assert sys.stdout is not None
    assert found.exit_code in (0, 2)  # underflows of its own are its own
    assert found.exit_code == 0 or "FloatingPointError" in found.text()


def test_no_decision_rests_on_an_assertion() -> None:
    """What Python leaves out under -O may narrow a type, and nothing else."""
    import ast

    found = []
    for folder in ("reference", "theory_checks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Assert) and not ast.unparse(node.test).endswith(
                    "is not None"
                ):
                    found.append(f"{path.name}: {ast.unparse(node)}")
    assert found == []
