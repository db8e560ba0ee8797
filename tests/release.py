"""``python -m tests.release``, or ``tox -e release``: what must be true of a release, looked at.

Builds the source distribution and the wheel, installs the wheel alone in a fresh environment, and
runs every command of the README that needs no clone in an empty folder. Exit code 0 where all of
it is true, 1 where something is not, 2 where it could not be looked at. What it cannot see is
printed at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("tests/", "docs/", "theory_checks/", "benchmarks/")  # no module of a user's name
NOT_SHIPPED = (".gitignore", ".pre-commit-config.yaml")
COMMANDS = {  # each with its exit code in an installation without extras, in an empty folder
    "accbo --version": 0,
    "accbo --help": 0,
    "accbo faults": 0,
    "accbo list": 0,
    "accbo data list": 0,
    "accbo vectors page": 0,
    "accbo vectors path": 0,
    "accbo vectors list --fast": 0,
    "accbo theory --list": 0,
    "accbo theory --check neumann_bias": 0,
    "accbo vectors lint": 2,
    "accbo theory --report r": 2,
    "accbo bench": 2,
    "accbo conform mine.py:Mine": 2,
}
BY_HAND = (
    "the figures of docs/results.md, by the command above each",
    "the pictures: accbo theory --figures docs/figures",
    "screenshots of the site and of both reports, at 390 and 1280 px",
    "a tag, and the date in CHANGELOG.md",
)


def main() -> int:
    """Print a line a fact; returns the exit code."""
    good = True
    try:
        for fact, trouble in facts():
            print(f"{'no ' if trouble else 'yes'} {fact}{': ' if trouble else ''}{trouble}")
            sys.stdout.flush()
            good &= not trouble
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    print("by hand: " + "; ".join(BY_HAND))
    return 0 if good else 1


def facts() -> Iterator[tuple[str, str]]:
    """Every fact with what speaks against it."""
    yield "one version everywhere", versions()
    yield "nothing uncommitted", " ".join(_git("status", "--porcelain").split())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run([sys.executable, "-m", "build", "--outdir", name, str(ROOT)])
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        yield "the source distribution is complete", lacking(sdist, _git("ls-files").split("\n"))
        yield "the wheel has types, pages and vectors, and no tests", misplaced(wheel)
        yield from installed(folder, wheel)


def versions() -> str:
    """Where another version stands than in the package."""
    (version,) = re.findall(r'__version__ = "(.+)"', _text("reference/accbo/__init__.py"))
    places = {
        "CITATION.cff": rf"^version: {re.escape(version)}$",
        "CHANGELOG.md": rf"^## {re.escape(version)}\b",
    }
    wrong = [f for f, pattern in places.items() if not re.search(pattern, _text(f), re.MULTILINE)]
    return f"not {version} in {', '.join(wrong)}" if wrong else ""


def lacking(sdist: Path, tracked: list[str]) -> str:
    """Tracked files that the source distribution has not."""
    with tarfile.open(sdist) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    return " ".join(f for f in tracked if f and not f.endswith(NOT_SHIPPED) and f not in shipped)


def misplaced(wheel: Path) -> str:
    """What the wheel lacks, or should not have."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    needed = (
        "accbo/py.typed",
        "accbo/conformance/vectors/VECTORS.md",
        "accbo/_figures/page.html.j2",
        "accbo/_theory/rate.py",
    )
    missing = [f"no {name}" for name in needed if name not in names]
    return " ".join(missing + [name for name in names if name.startswith(ELSEWHERE)])


def installed(folder: Path, wheel: Path) -> Iterator[tuple[str, str]]:
    """Commands of the wheel, without extras, in an empty folder."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    _run([str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel)])
    empty = folder / "empty"
    empty.mkdir()
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command, expected in COMMANDS.items():
        program, *words = command.split()
        ended = subprocess.run(
            [str(programs / program), *words],
            cwd=empty,
            env=alone,
            capture_output=True,
            text=True,
            check=False,
        )
        right = ended.returncode == expected and "Traceback" not in ended.stderr
        yield f"{command}: {expected}", "" if right else f"{ended.returncode}, {ended.stderr}"


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _git(*words: str) -> str:
    return _run(["git", "-C", str(ROOT), *words])


def _run(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
