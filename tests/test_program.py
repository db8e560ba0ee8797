"""One program: its commands, its version, what it says to a mistyped word, completion."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import accbo
from accbo._columns import listed
from accbo.cli import COMMANDS, main, parser_with


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """The exit code, and what was printed, on both streams."""
    try:
        code: object = main(words)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out + err


def test_every_command_has_a_parser_with_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(["--help"], capsys)
    assert code == 0
    for name, command in COMMANDS.items():
        assert f"    {name} " in text
        if name == "bench":
            continue
        parser = parser_with([name])
        assert parser.parse_args  # filled without an exception
        assert command.help[-1] not in ".!"


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["--version"], capsys) == (0, f"accbo {accbo.__version__}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["confrom"], "accbo: error: there is no command 'confrom'; did you mean conform? (conf"),
        (
            ["vectors", "verfy"],
            "accbo vectors: error: there is no command 'verfy'; did you mean ve",
        ),
        (
            ["conform", "a:b", "--fst"],
            "accbo conform: error: there is no option --fst; did you mea",
        ),
        (
            ["run", "a", "--sedes=3"],
            "accbo run: error: there is no option --sedes=3; did you mean -",
        ),
        (
            ["theory", "--profile", "ful"],
            "argument --profile: there is no 'ful'; did you mean full",
        ),
        (["conform", "a:b", "c"], "accbo conform: error: one argument too many: 'c'"),
        (["qqqq"], "there is no command 'qqqq' (conform, "),
        ([], "accbo: error: the following arguments are required: COMMAND"),
    ],
)
def test_a_mistyped_word_meets_the_nearest(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(words, capsys)
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def test_theory_is_the_program_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    from theory_checks.__main__ import main as theory

    assert theory(["--list"]) == 0
    expected = capsys.readouterr().out
    assert said(["theory", "--list"], capsys) == (0, expected)


def test_the_benchmarks_are_called_from_any_folder_of_a_clone_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(Path(__file__).parents[1])
    code, text = said(["bench", "--help"], capsys)
    assert (code, "--size R,d" in text) == (0, True)
    monkeypatch.setattr("accbo.cli.__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.chdir(tmp_path)
    code, text = said(["bench", "--help"], capsys)
    assert (code, text.count("\n")) == (2, 1)
    assert "call this in a clone" in text


def test_a_file_that_is_not_there_is_named_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    code, text = said(["trace", "verify", str(path)], capsys)
    assert (code, text) == (2, f"accbo: {path}: No such file or directory\n")


def test_a_shell_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    code, script = said(["complete", "bash"], capsys)
    assert code == 0
    ask = "COMP_WORDS=(accbo {0}); COMP_CWORD=$(({1}-1)); _shtab_accbo; echo ${{COMPREPLY[@]}}"
    for words, expected in [
        ("conf", "conform"),
        ("conform --fa", "--fast"),
        ("vectors ver", "verify"),
        ("theory --profile q", "quick"),
    ]:
        line = ask.format(words, len(words.split()) + 1)
        given = f"{script}\n{line}"
        ended = subprocess.run([shell, "-c", given], capture_output=True, text=True, check=True)
        assert ended.stdout.split() == [expected], (words, ended.stderr)


def test_a_listing_is_folded_between_words_on_a_terminal_alone() -> None:
    rows = [("short", "one two three four five six"), ("a name of twenty-one", "text"), ("no", "")]
    assert listed(rows, 8, 30).splitlines() == [
        "short    one two three four",
        "         five six",
        "a name of twenty-one",
        "         text",
        "no",
    ]
    assert listed(rows, 8, None).splitlines() == [
        "short    one two three four five six",
        "a name of twenty-one text",
        "no",
    ]


@pytest.mark.parametrize("words", [["faults"], ["list"], ["theory", "--list"]])
def test_listings_fit_a_terminal_of_80_columns(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("accbo._exit.SteadyStream.isatty", lambda _: True)
    code, text = said(words, capsys)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    monkeypatch.setattr("accbo._exit.SteadyStream.isatty", lambda _: False)
    assert max(map(len, said(words, capsys)[1].splitlines())) > 80
