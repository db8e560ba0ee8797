"""The vectors on disk: made by two processes, kept while in the making, compared with the files.

Finished groups wait in a work folder whose name holds the digest of the sources, so that a run
that was killed goes on, and never with what other sources made. The files are written last, each
at once; then the work folder goes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm import tqdm

from accbo._pieces.engine import carried_out
from accbo._pieces.files import cache_folder, write
from accbo._pieces.kept import Kept, Work
from accbo.conformance.methods import DEFAULT, known
from accbo.conformance.vectors.generate import make, make_known
from accbo.conformance.vectors.group import Group, problems
from accbo.conformance.vectors.known import known_problems
from accbo.conformance.vectors.sets import groups_of, known_of
from accbo.conformance.vectors.vector import (
    FORMAT,
    SET,
    encode,
    encode_problem,
    file_of,
    folder_of,
    read,
)

PACKAGE = Path(__file__).parents[2]
FOLDER = folder_of(SET)
KNOWN = "known-answer"
# figures of a float64 estimate, rounded: the last of them may differ on another machine
ESTIMATES = ("tolerance", "difficulty")
ESTIMATE_TOLERANCE = 0.15


def generate(
    folder: Path = FOLDER,
    *,
    check: bool = False,
    jobs: int = 2,
    work: Path | None = None,
    method: str = DEFAULT,
) -> list[str]:
    """Make all vectors of ``method`` and write them into ``folder``, or only compare with it.

    Returns, one line each, what differs from ``folder``'s files (``check``), else nothing.
    Raises ``KeyboardInterrupt`` when stopped; what was finished is kept in ``work``. Raises
    ``CheckpointError`` where that cannot be used, or another process is at work there, and
    ``WorkerError`` where a process died.
    """
    kept = Kept(work or work_folder(known(method)), "group of vectors")
    kept.start({"sources": _sources()}, resume=True)
    try:
        found = documents(_made(method, kept, jobs), method)
        differing = _compare(folder, found, method) if check else []
        if not check:
            for name, document in found.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path, text(document))
        kept.finish()
    finally:
        kept.close()
    return differing


def work_folder(method: str = DEFAULT) -> Path:
    """Where unfinished work waits, one folder for each algorithm and state of the sources."""
    return cache_folder(f"vectors-{method}-{_sources()}")


def _sources() -> str:
    """A digest of the sources and versions that the vectors are made by."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    versions = [metadata.version(name) for name in ("numpy", "mpmath", "mparray")]
    digest.update(repr((sys.version, versions)).encode())
    return digest.hexdigest()[:16]


# --- making -----------------------------------------------------------------------------------


def units(method: str = DEFAULT) -> dict[str, int]:
    """What is made at once, and of how many vectors it is."""
    by_hand = {KNOWN: len(known_of(method))} if known_of(method) else {}
    return {**by_hand, **{group.slug: group.count for group in groups_of(method)}}


def make_unit(slug: str, method: str = DEFAULT) -> list[dict[str, Any]]:
    """The vectors of a group, or the known answers, as JSON values."""
    if slug == KNOWN:
        return [encode(make_known(known)) for known in known_of(method)]
    group = _by_slug(method)[slug]
    return [encode(make(group, number)) for number in range(group.count)]


def _by_slug(method: str) -> dict[str, Group]:
    return {group.slug: group for group in groups_of(method)}


def _made(method: str, kept: Kept, jobs: int) -> dict[str, list[dict[str, Any]]]:
    """Every unit, in the order of the set."""
    sizes, sources = units(method), _sources()
    works = {
        slug: Work(
            slug,
            {"set": SET, "slug": slug, "sources": sources},
            make_unit,
            (slug, method),
            fits=partial(_expect_unit, method, slug),
        )
        for slug in sizes
    }
    made = {}
    with tqdm(total=sum(sizes.values()), unit="vector", desc="vectors") as bar:
        for done in carried_out(list(works.values()), jobs, kept=kept):
            made[done.work.name] = done.value
            bar.update(sizes[done.work.name])
    return {slug: made[slug] for slug in sizes}


def _expect_unit(method: str, slug: str, value: Any) -> None:
    """Raise unless ``value`` are the vectors of a unit, each one that can be read."""
    names = (
        [answer.slug for answer in known_of(method)]
        if slug == KNOWN
        else [str(number) for number in range(_by_slug(method)[slug].count)]
    )
    every = {**known_problems(), **problems()}
    if not isinstance(value, list) or [v["id"] for v in value] != [f"{slug}/{n}" for n in names]:
        raise ValueError(f"these are not the vectors of {slug}")
    json.dumps(value, allow_nan=False)  # which refuses what is not finite
    for vector in value:
        read(vector, every)


# --- files --------------------------------------------------------------------------------------


def documents(
    made: Mapping[str, list[dict[str, Any]]], method: str = DEFAULT
) -> dict[str, dict[str, Any]]:
    """The documents of ``method`` by file: of the kinds of problems, and of what is by hand."""
    every = {**known_problems(), **problems()}
    named = {} if method == DEFAULT else {"algorithm": method}
    found: dict[str, dict[str, Any]] = {}
    for slug, vectors in made.items():
        family = KNOWN if slug == KNOWN else vectors[0]["problem"].split("/")[0]
        empty = {"format": FORMAT, **named, "set": SET, "problems": {}, "vectors": []}
        document = found.setdefault(file_of(method, family), empty)
        document["vectors"].extend(vectors)
        for name in (vector["problem"] for vector in vectors):
            if name not in document["problems"]:
                document["problems"][name] = encode_problem(every[name])
    return found


def text(document: Mapping[str, Any]) -> str:
    """A document with one problem or vector a line, so that a difference can be read."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    problems = ",\n".join(f"{line(k)}:{line(v)}" for k, v in document["problems"].items())
    vectors = ",\n".join(map(line, document["vectors"]))
    named = f'"algorithm":{line(document["algorithm"])},' if "algorithm" in document else ""
    head = f'{{"format":{line(document["format"])},{named}"set":{document["set"]},\n'
    return f'{head}"problems":{{\n{problems}\n}},\n"vectors":[\n{vectors}\n]}}\n'


# --- comparing ----------------------------------------------------------------------------------


def _compare(folder: Path, found: Mapping[str, Any], method: str = DEFAULT) -> list[str]:
    """Everything that differs between ``folder`` and what was made, one line each."""
    there = {str(path.relative_to(folder)) for path in folder.glob(file_of(method, "*"))}
    lines = []
    for name in sorted({*found, *there}):
        lines += _compare_file(folder / name, found.get(name, {"problems": {}, "vectors": []}))
    return lines


def _compare_file(path: Path, made: Mapping[str, Any]) -> list[str]:
    """Everything that differs between a file and a document, one line each."""
    there = _document(path)
    if there is None:
        return [f"{path.name}: is missing or no JSON"]
    lines = [
        f"{path.name}: problem {name} differs"
        for name in _differing(there["problems"], made["problems"])
    ]
    old, new = ({v["id"]: v for v in each["vectors"]} for each in (there, made))
    for name in _differing(old, new):
        if name not in old or name not in new:
            lines.append(f"{name}: is {'not yet there' if name in new else 'no longer made'}")
        else:
            lines.append(f"{name}: {', '.join(_differing(old[name], new[name]))} differ")
    return lines


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = [*old, *(key for key in new if key not in old)]
    return [k for k in keys if k not in old or k not in new or not _same(old[k], new[k], k)]


def _same(old: Any, new: Any, key: str = "") -> bool:
    """Equal, and close in what is an estimate."""
    if isinstance(old, dict) and isinstance(new, dict):
        within = key if key in ESTIMATES else ""
        return old.keys() == new.keys() and all(_same(old[k], new[k], within or k) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(a, b, key) for a, b in zip(old, new, strict=True))
    if key in ESTIMATES and isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=ESTIMATE_TOLERANCE)
    return type(old) is type(new) and bool(old == new)


def _document(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values if {"problems", "vectors"} <= values.keys() else None
    except (OSError, ValueError, AttributeError):
        return None
