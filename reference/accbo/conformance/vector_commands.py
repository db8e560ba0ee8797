"""``accbo vectors …``: make, check, list and describe the vectors, and judge results with them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from accbo._exit import COULD_NOT_RUN, DEPARTS, OK, Answer
from accbo._extras import install
from accbo._pieces.workers import WorkerError
from accbo._printable import one_line
from accbo.conformance.methods import DEFAULT, METHODS, catalogue, known, option
from accbo.conformance.vectors.proof import commands as proof_commands
from accbo.conformance.vectors.vector import (
    SET,
    Vector,
    convention,
    folder_of,
    load,
    set_files,
)


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo vectors``."""
    parser.description = "Test vectors for any language. `accbo vectors page` says how to use them."
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_verify(inner)
    _add_list(inner)
    _add_page(inner)
    _add_path(inner)
    _add_schema(inner)
    _add_lint(inner)
    proof_commands.add_command(inner)
    _add_generate(inner)


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="judge the results that another language wrote",
        description="Judge results. Exit code 0: conforms, 1: departs, 2: could not run.",
        epilog="`accbo vectors page` says how results are written",
    )
    parser.add_argument("results", metavar="RESULTS.json")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit XML")
    add_strict(parser)
    parser.set_defaults(run=_verify)


def _add_list(commands: Any) -> None:
    parser = commands.add_parser("list", help="list the vectors of a set")
    add_algorithm(parser)
    parser.add_argument("--fault", metavar="NAME", help="only those that catch this fault")
    parser.add_argument("--fast", action="store_true", help="only those of the fast tier")
    parser.add_argument("--set", type=int, default=SET, metavar="N", help="an older set")
    parser.set_defaults(run=_list)


def _add_page(commands: Any) -> None:
    parser = commands.add_parser("page", help="print what an implementer has to know")
    parser.set_defaults(run=_page)


def _add_path(commands: Any) -> None:
    parser = commands.add_parser("path", help="print the folder that the vectors are in")
    parser.add_argument("--set", type=int, default=SET, metavar="N", help="an older set")
    parser.set_defaults(run=_path)


def _add_schema(commands: Any) -> None:
    parser = commands.add_parser("schema", help="print a JSON Schema")
    parser.add_argument("what", nargs="?", choices=("vectors", "results"), default="vectors")
    parser.add_argument("--write", action="store_true", help="write all into the source tree")
    parser.set_defaults(run=_schema)


def _add_lint(commands: Any) -> None:
    parser = commands.add_parser(
        "lint",
        help="check files of vectors",
        description="Check files of vectors beyond their schema, and prove their numbers. Exit "
        "code 0: nothing to say, 1: something is wrong, 2: a file cannot be read. Takes "
        f"python-flint: {install('prove')}",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="default: the package's own set")
    parser.add_argument("--set", type=int, default=SET, metavar="N", help="an older set")
    parser.set_defaults(run=_lint)


def _add_generate(commands: Any) -> None:
    parser = commands.add_parser(
        "generate",
        help="make the vectors anew, at 50 digits",
        description="Make the vectors and write them into the package. A run that was stopped "
        "goes on where it was. Takes MPArray: " + install("mparray"),
    )
    add_algorithm(parser)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 where a file differs"
    )
    parser.add_argument(
        "--jobs", type=_jobs, default=2, metavar="N", help="processes (default %(default)s)"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="another place for the files")
    parser.add_argument(
        "--flags",
        action="store_true",
        help="only the flags of the vectors that are there, after a change of the known mistakes",
    )
    parser.set_defaults(run=_generate)


def add_algorithm(parser: Any) -> None:
    """Add ``--algorithm`` to a command."""
    parser.add_argument(
        "--algorithm", metavar="NAME", help=f"one of {', '.join(METHODS)}; default: {DEFAULT}"
    )


def add_strict(parser: Any) -> None:
    """Add ``--strict`` to a command."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit code 1 also where it departs at the edge of the range of floating point alone, "
        "where squares over- or underflow; without it the verdict says so, and the exit code is 0",
    )


def _jobs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"must lie between 1 and 64, got {text}")
    return number


# --- what they do -----------------------------------------------------------------------------


def folder() -> Path:
    """Where the package keeps the vectors of the newest set."""
    return folder_of(SET)


def answer(report: Any, options: argparse.Namespace) -> Answer:
    """What a report says, and the files that were asked for."""
    files = ((options.json, report.json), (options.junit, report.junit))
    written = tuple((path, text()) for path, text in files if path is not None)
    return Answer(report.exit_code, report.text(), written)


def _verify(options: argparse.Namespace) -> Answer:
    from accbo.conformance.verdict.judge import judge, no_start

    try:
        from accbo.conformance.running.results import (
            digits_hint,
            observations,
            read_results,
        )
    except ImportError as error:
        return _lacks(error)
    results = read_results(options.results)
    shown = observations(results)
    report = judge(
        shown,
        implementation=results.implementation,
        cases=results.set,
        conventions=results.conventions,
        contract=no_start(shown),
        first=digits_hint(shown),
        strict=options.strict,
    )
    return answer(report, options)


def _list(options: argparse.Namespace) -> Answer:
    method = known(options.algorithm or DEFAULT)
    if options.fault is not None and options.fault not in catalogue(method):
        raise ValueError(
            f"there is no fault {options.fault!r}; accbo faults{option(method)} lists them"
        )
    lines = [
        _line(vector)
        for vector in load(options.set, method)
        if options.fault in (None, *vector.flags) and (vector.fast or not options.fast)
    ]
    return Answer(OK, "\n".join(lines))


def _line(vector: Vector) -> str:
    choices = convention(vector)
    choice = "{order}, {neumann_sampling}, option {option}".format(**choices) if choices else ""
    size = f"{vector.problem.d_x}x{vector.problem.d_y}"
    tier = "fast" if vector.fast else ""
    parts = f"{vector.id:44} {vector.kind:10} {vector.dtype} {size:5}"
    return f"{parts} {choice or vector.method:38} {tier}".rstrip()


def _page(_: argparse.Namespace) -> Answer:
    return Answer(OK, (folder().parent / "VECTORS.md").read_text(encoding="utf-8").rstrip("\n"))


def _path(options: argparse.Namespace) -> Answer:
    return Answer(OK, str(folder_of(options.set)))


def _schema(options: argparse.Namespace) -> Answer:
    try:
        from accbo.conformance.vectors.records import SCHEMAS, schema
    except ImportError as error:
        return _lacks(error)
    if not options.write:
        return Answer(OK, schema(f"{options.what}.schema.json").rstrip("\n"))
    return Answer(OK, files=tuple((folder().parent / name, schema(name)) for name in SCHEMAS))


def _lint(options: argparse.Namespace) -> Answer:
    try:
        from accbo.conformance.vectors.lint import lint
    except ImportError as error:
        return _lacks(error)
    paths = options.files or set_files(options.set)
    found = lint(paths, whole=not options.files)
    if not paths:
        return Answer(COULD_NOT_RUN, complaint="accbo: there are no files of vectors to look at")
    said = "\n".join(map(one_line, found)) or f"nothing to say about {len(paths)} files"
    return Answer(DEPARTS if found else OK, said)


def _generate(options: argparse.Namespace) -> Answer:
    try:
        from accbo.conformance.vectors.build import generate
        from accbo.conformance.vectors.reflag import reflag
    except ImportError as error:
        return _lacks(error)
    place = options.folder or folder()
    if options.flags:
        changed = reflag(known(options.algorithm or DEFAULT), check=options.check)
        code = DEPARTS if changed and options.check else OK
        return Answer(code, "\n".join([*changed, f"{len(changed)} vectors"]))
    try:
        method = known(options.algorithm or DEFAULT)
        differing = generate(place, check=options.check, jobs=options.jobs, method=method)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    except WorkerError as error:
        return Answer(COULD_NOT_RUN, complaint=f"accbo: {error}; the same command does")
    except ImportError as error:  # MPArray is asked for late
        return _lacks(error)
    said = "\n".join(differing) or f"{place}: {_outcome(options.check)}"
    return Answer(DEPARTS if differing else OK, said)


def _outcome(check: bool) -> str:
    return "as the generator makes it" if check else "written"


def _lacks(error: ImportError) -> Answer:
    return Answer(COULD_NOT_RUN, complaint=f"accbo: {error}")
