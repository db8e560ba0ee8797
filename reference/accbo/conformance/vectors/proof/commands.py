"""``accbo vectors prove``: is every number of a set what the page says?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from accbo._exit import COULD_NOT_RUN, DEPARTS, OK, Answer
from accbo._extras import install
from accbo.conformance.vectors.vector import SET, set_files


def add_command(commands: Any) -> None:
    """Add ``prove`` to the sub-parsers of ``accbo vectors``."""
    parser = commands.add_parser(
        "prove",
        help="prove that every expected number is the exact one, correctly rounded",
        description="Replay vectors in ball arithmetic, by a program written from the page alone, "
        "and prove that each expected number is the float64 nearest to the exact one (ties to "
        "even) and each proven tolerance a bound on rounding. Exit code 0: all is proven, 1: "
        "something is refuted, 2: could not run, or not told. Takes python-flint: "
        + install("prove"),
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="default: the package's own set")
    parser.add_argument("--set", type=int, default=SET, metavar="N", help="an older set")
    parser.set_defaults(run=_prove)


def _prove(options: argparse.Namespace) -> Answer:
    try:
        from accbo.conformance.vectors.files import read_document
        from accbo.conformance.vectors.proof.prove import prove
    except ImportError as error:
        return Answer(COULD_NOT_RUN, complaint=f"accbo: {error}")
    paths = [Path(file) for file in options.files] or set_files(options.set)
    proof = prove([read_document(path) for path in paths])
    if proof.refuted:
        return Answer(DEPARTS, proof.text())
    return Answer(OK if proof.holds else COULD_NOT_RUN, proof.text())
