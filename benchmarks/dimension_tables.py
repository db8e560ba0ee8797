"""The study of dimensions as tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

COLUMNS = {
    "NumPy": "numpy, matrix-free",
    "NumPy, dense": "numpy, dense",
    "JAX": "jax, matrix-free",
    "JAX, dense": "jax, dense",
    "drawing": "drawing the tape",
}


def tables(document: dict[str, Any]) -> str:
    """Cost, memory, growth and accuracy, one table each."""
    parts = (
        _cost(document["cost"]),
        _memory(document["memory"]),
        _growth(document["growth"]),
        _accuracy(document["accuracy"]),
        _accuracy_growth(document["accuracy_growth"]),
    )
    load = document["load"]
    return "\n\n".join(parts) + f"\n\nload {load['first']:.1f} before, {load['last']:.1f} after"


def _cost(rows: list[dict[str, Any]]) -> str:
    sizes = list(dict.fromkeys((row["d_x"], row["d_y"]) for row in rows))
    times = {(row["d_x"], row["d_y"], row["variant"]): row["us_min"] for row in rows}
    lines = [
        f"{d_x:>8,}{d_y:>8,}"
        + "".join(_number(times.get((d_x, d_y, name))) for name in COLUMNS.values())
        for d_x, d_y in sizes
    ]
    head = f"{'d_x':>8}{'d_y':>8}" + "".join(f"{name:>16}" for name in COLUMNS)
    return _table("least µs per step, R = 1, Q = 10", head, lines)


def _number(value: float | None) -> str:
    return f"{'–' if value is None else f'{value:,.1f}':>16}"


def _memory(rows: list[dict[str, Any]]) -> str:
    lines = [f"{row['d']:>8,}  {row['form']:<12}{row['bytes']:>14,}" for row in rows]
    head = f"{'d':>8}  {'form':<12}{'bytes':>14}"
    return _table("held at the peak of two iterations in NumPy, samples and problem", head, lines)


def _growth(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{row['what']:<22}{row['along']:<12}{row['exponent']:>9.2f}"
        f"   d = {row['from']:,} … {row['to']:,}"
        for row in rows
    ]
    head = f"{'what':<22}{'along':<12}{'exponent':>9}   fitted on"
    return _table("growth of the cost", head, lines)


def _accuracy(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{row['regime']:<28}{row['d_x']:>8,}{row['d_y']:>8,}{row['replicates']:>5}"
        f"{_level(row, 'gradient'):>22}{_level(row, 'error'):>22}"
        for row in rows
    ]
    head = f"{'noise':<28}{'d_x':>8}{'d_y':>8}{'R':>5}{'‖∇Φ(x_t)‖':>22}{'‖m_t − ∇Φ(x_t)‖':>22}"
    steps = rows[0]["steps"] if rows else 0
    return _table(f"means over t ≥ T/2, T = {steps}, with 99 % intervals", head, lines)


def _level(row: dict[str, Any], quantity: str) -> str:
    low, high = row[f"{quantity}_interval"]
    return f"{row[quantity]:.4f} ± {(high - low) / 2:.4f}"


def _accuracy_growth(rows: list[dict[str, Any]]) -> str:
    names = {"gradient": "‖∇Φ‖", "error": "‖m − ∇Φ‖"}
    lines = [
        f"{row['regime']:<28}{row['along']:<12}{names[row['quantity']]:<10}{row['bound']:>6.1f}"
        f"{row['exponent']:>9.3f}  [{row['interval'][0]:.3f}, {row['interval'][1]:.3f}]"
        f"  d = {row['from']:,} … {row['to']:,}"
        for row in rows
    ]
    head = f"{'noise':<28}{'along':<12}{'of':<10}{'bound':>6}{'seen':>9}  99 % interval"
    return _table("exponents of the accuracy in d", head, lines)


def _table(title: str, head: str, lines: Iterable[str]) -> str:
    return "\n".join((title, head, "-" * len(head), *lines))
