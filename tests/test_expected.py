"""Expected failures by check, glob and mistake; the diagnosis in pytest, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accbo.conformance import check, parametrize
from accbo.conformance.as_tests import VERDICT, AsTests
from accbo.conformance.verdict.expected import Expected, expectation
from accbo.conformance.verdict.report import EXPECTED, FAIL, PASS, SKIP, UNEXPECTED, Check
from tests.hand_written import factory
from tests.test_plugin_options import pytest_in

NAMES = ("step/0", "step/1", "run/0:start", "start")
MISTAKES = ("stale sample", "series from q = 1")


def settled(
    reasons: dict[str, str], statuses: str, names: Any = (), of_all: bool = True
) -> dict[str, str]:
    """What becomes of NAMES, which fail (f), pass (p) or are not covered (s)."""
    words = {"f": FAIL, "p": PASS, "s": SKIP}
    checks = [
        Check(name, words[each], departure=object() if each == "f" else None)  # type: ignore[arg-type]
        for name, each in zip(NAMES, statuses, strict=True)
    ]
    expected = Expected(reasons, NAMES, MISTAKES)
    return {each.name: each.status for each in expected.settle(checks, names, of_all)}


def test_a_check_by_name_is_strict() -> None:
    assert settled({"step/0": "why"}, "fpss")["step/0"] == EXPECTED
    assert settled({"step/0": "why"}, "ppss")["step/0"] == UNEXPECTED
    assert settled({"step/0": "why"}, "spss")["step/0"] == SKIP
    assert settled({"step/0": "why"}, "ffss")["step/1"] == FAIL


def test_of_a_glob_one_failure_is_enough() -> None:
    found = settled({"step/*": "why"}, "fpfs")
    assert [found[name] for name in NAMES] == [EXPECTED, PASS, FAIL, SKIP]
    assert settled({"step/*": "why"}, "ppfs")["expected: step/*"] == UNEXPECTED
    assert "expected: step/*" not in settled({"step/*": "why"}, "sspp")


def test_a_mistake_excuses_what_it_explains() -> None:
    both = dict.fromkeys(MISTAKES, "why")
    one = {"stale sample": "why"}
    assert set(settled(one, "ffff", [("stale sample",)]).values()) == {EXPECTED}
    assert set(settled(one, "ffff", [("other",), ("stale sample",)]).values()) == {EXPECTED}
    assert set(settled(both, "ffff", [MISTAKES]).values()) == {EXPECTED}
    # half an explanation, or one that leaves something over, excuses nothing
    assert set(settled(one, "ffff", [MISTAKES]).values()) == {FAIL}
    assert set(settled(one, "ffff", [("stale sample",)], of_all=False).values()) == {FAIL}


def test_a_mistake_that_is_not_there_fails() -> None:
    for statuses in ("pppp", "fppp"):
        assert settled({"stale sample": "x"}, statuses)["expected: stale sample"] == UNEXPECTED
    assert "expected: stale sample" not in settled({"stale sample": "x"}, "ssss")


def test_what_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'stale sample'\?"):
        Expected({"stale samples": "why"}, NAMES, MISTAKES)
    assert Expected({"stale samples": "why"}, NAMES, MISTAKES, stopped=True).reason("start") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a/*=because", ("a/*", "because")),
        ("series from q = 1=old = kept", ("series from q = 1", "old = kept")),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_what_is_expected_and_why(text: str, wanted: tuple[str, str]) -> None:
    assert expectation(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "a=", "=b", "a = b"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected CHECK=REASON or MISTAKE=REASON"):
        expectation(text)


# --- of a whole implementation --------------------------------------------------------------------


def test_a_mistake_may_be_expected_by_name() -> None:
    wrong = factory("SLIP", 0, "sign")
    (names,) = check(wrong, fast=True, on_fail="return").names
    found = check(wrong, fast=True, on_fail="return", expected_failures={names[0]: "known"})
    assert found.exit_code == 0
    assert found.counts[EXPECTED] > 3
    assert not found.counts[FAIL]
    right = check(
        factory("SLIP", 0), fast=True, on_fail="return", expected_failures={names[0]: "?"}
    )
    assert right.exit_code == 1
    assert [each.name for each in right.failed] == [f"expected: {names[0]}"]


def outcome(run: Any) -> str:
    """How a test of pytest ends that does nothing but ``run``."""
    try:
        run()
    except pytest.skip.Exception:
        return "skipped"
    except pytest.xfail.Exception:
        return "xfailed"
    except AssertionError as error:
        return str(error)
    return "passed"


def outcomes(made: Any, **options: Any) -> dict[str, str]:
    cases = parametrize(made, fast=True, **options).args[1]
    return {str(case.id): outcome(case.values[0]) for case in cases}


def test_pytest_says_the_diagnosis_once() -> None:
    found = outcomes(factory("SLIP", 0, "sign"))
    whole = check(factory("SLIP", 0, "sign"), fast=True, on_fail="return")
    (names,) = whole.names
    assert [name for name, said in found.items() if "in the long run" in said] == [VERDICT]
    first, *rest = found[VERDICT].split("\n")
    assert f"matches “{names[0]}”" in first
    assert any(line.startswith("    right: ") for line in rest)
    assert found["deterministic (step)"] == "passed"
    assert found["deterministic (trajectory)"] == "passed"
    assert found["start"] in ("passed", "skipped")
    # nothing but the verdict is in pytest alone
    assert {each.name for each in whole.checks} == set(found) - {VERDICT}


def test_pytest_expects_mistakes_as_well() -> None:
    wrong = factory("SLIP", 0, "sign")
    (names,) = check(wrong, fast=True, on_fail="return").names
    found = outcomes(wrong, expected_failures={names[0]: "known"})
    assert set(found.values()) == {"passed", "skipped", "xfailed"}
    assert found[VERDICT] == "passed"
    found = outcomes(factory("SLIP", 0), expected_failures={names[0]: "known"})
    assert "and is not: take it off the list" in found[VERDICT]
    found = outcomes(factory("SLIP", 0), expected_failures={"slip-*": "known"})
    assert "expected: slip-*" in found[VERDICT]


def test_a_verdict_is_on_all_of_it_wherever_it_is_made() -> None:
    """As in one of several processes that share the tests."""
    run = dict(AsTests(factory("SLIP", 0, "sign"), fast=True).checks())[VERDICT]
    assert "matches “" in run().message
    run = dict(AsTests(factory("SLIP", 0), fast=True).checks())[VERDICT]
    assert run().status == PASS


def test_one_that_is_not_deterministic_fails_in_pytest() -> None:
    class Moody(factory("SLIP", 0)):  # type: ignore[misc]
        calls = 0

        def state(self) -> dict[str, Any]:
            type(self).calls += 1
            shown: dict[str, Any] = super().state()
            return {**shown, "x": shown["x"] + 1e-3 * self.calls}

    found = outcomes(Moody)
    assert "two runs of slip-" in found["deterministic (step)"]


def test_in_the_summary_of_pytest(tmp_path: Path) -> None:
    options = ("--accbo-conform", "mine.py:wrong", "--accbo-algorithm", "SLIP", "--accbo-fast")
    xml = tmp_path / "junit.xml"
    ended = pytest_in(tmp_path, *options, f"--junitxml={xml}")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    (short,) = [each for each in lines if each.startswith("FAILED ::mine.py:wrong::verdict")]
    assert "departs" in short or "matches" in short
    assert ended.stdout.count("in the long run: ") == 1
    assert "in the long run: " in xml.read_text()
    (name,) = check(factory("SLIP", 0, "sign"), fast=True, on_fail="return").names[0]
    ended = pytest_in(tmp_path, *options, "--accbo-expect", f"{name}=known")
    assert ended.returncode == 0, ended.stdout
    assert "xfailed" in ended.stdout
