"""Ratios of the times, as rows of the JSON file and as a table of at most 100 columns."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import DRAWING, Times

SCHEMA = "accbo-benchmark/1"
OURS = {"numpy": "numpy, ours", "jax": "jax, ours"}


def rows(replicates: int, dimension: int, times: dict[str, Times]) -> list[dict[str, Any]]:
    """One row a variant. ``ratio`` is our time over its time (least times; of medians too).

    For the drawing, ``ratio`` is its share of a NumPy step. ``compared`` marks the rows
    that a statement is made of: the fastest plain NumPy, the best NumPy, the fastest scan.
    """
    plain = _fastest(times, "numpy, plain")
    hand = _fastest(times, "jax, by hand")
    return [
        {
            "R": replicates,
            "d": dimension,
            "variant": name,
            "us_min": time.minimum,
            "us_median": time.median,
            "rounds": time.rounds,
            **_ratios(name, time, times),
            "compared": name in (plain, "numpy, best", hand, DRAWING),
        }
        for name, time in times.items()
    ]


def _fastest(times: dict[str, Times], prefix: str) -> str | None:
    names = [name for name in times if name.startswith(prefix)]
    return min(names, key=lambda name: times[name].minimum, default=None)


def _ratios(name: str, time: Times, times: dict[str, Times]) -> dict[str, Any]:
    ours = times[OURS["jax" if name.startswith("jax") else "numpy"]]
    if name == DRAWING:
        pair = (time.minimum / ours.minimum, time.median / ours.median)
        return {"ratio": pair[0], "ratio_median": pair[1], "ratio_of": "drawing to our NumPy step"}
    pair = (ours.minimum / time.minimum, ours.median / time.median)
    return {"ratio": pair[0], "ratio_median": pair[1], "ratio_of": "ours to this variant"}


def table(all_rows: list[dict[str, Any]]) -> str:
    """All rows; ``*`` marks the rows that count."""
    columns = f"{'µs/step':>10} {'median':>10} {'ratio':>7} {'median':>7}"
    head = f"{'R':>6} {'d':>5}  {'variant':<32} {columns}"
    lines = [head, "-" * len(head)]
    size = None
    for row in all_rows:
        if size not in (None, (row["R"], row["d"])):
            lines.append("")
        size = (row["R"], row["d"])
        lines.append(
            f"{row['R']:>6} {row['d']:>5}  {row['variant']:<32} {row['us_min']:>10.1f} "
            f"{row['us_median']:>10.1f} {row['ratio']:>7.2f} {row['ratio_median']:>7.2f}"
            f"{' *' if row['compared'] else ''}"
        )
    lines += [
        "",
        "µs/step: the least over interleaved rounds, and their median. ratio: our time over",
        "the variant's, NumPy with NumPy, JAX with JAX; for the drawing its share of a NumPy step.",
        "*: the fastest plain NumPy, the best NumPy, the fastest scan by hand, and the drawing.",
    ]
    return "\n".join(lines)


def check_writable(path: Path) -> None:
    """Raise ``OSError`` unless a file can be put at ``path``; leaves nothing behind."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
        pass


def write(path: Path, environment: dict[str, Any], all_rows: list[dict[str, Any]]) -> None:
    """The JSON file, complete or not at all."""
    document = {"schema": SCHEMA, "environment": environment, "rows": all_rows}
    from accbo._pieces.files import write as write_whole  # late: threads are chosen before NumPy

    write_whole(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
