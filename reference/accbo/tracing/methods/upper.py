"""The step of x: a normalised or a plain one, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accbo.tracing.methods.group import Wrong
from accbo.tracing.parts import Checks, Constants, holds, normalised, projected
from accbo.tracing.rows import Number, Rows, Vec

Direction = Callable[[Rows], tuple[Vec, np.ndarray]]  # m and ‖m‖
_NEAR = 1e-3  # how far a fitted number may be off where rows are chosen by it


def of(name: str, shift: int = 0) -> Direction:
    """A logged vector as the direction."""

    def direction(rows: Rows) -> tuple[Vec, np.ndarray]:
        return rows.vec(name, shift), rows.vec(name, shift).size

    return direction


def normalised_step(rows: Rows, c: Constants, direction: Direction, size: Number) -> Checks:
    """x_{t+1} = x_t − η m/‖m‖ and ‖x_{t+1} − x_t‖ = η."""
    m, norm = direction(rows)
    x = normalised(rows.vec("x"), m, norm, size, c["_d_x"])
    return {"x": (rows.vec("x", 1), x)} | _moved(rows, c, norm, size)


def _moved(rows: Rows, c: Constants, norm: np.ndarray, size: Number) -> Checks:
    move = rows.vec("move")
    away = np.abs(move.size - size)
    room = c["_u"] * (8 * (rows.vec("x").size + size) + np.sqrt(c["_d_x"]) * size)
    return {"move": holds(away <= room, move.known & (norm > 0) & np.isfinite(size * norm))}


def plain_step(rows: Rows, direction: Direction, size: Number) -> Checks:
    """x_{t+1} = x_t − η m."""
    m, _ = direction(rows)
    return {"x": (rows.vec("x", 1), rows.vec("x") - size * m)}


def lengths(rows: Rows, direction: Direction) -> np.ndarray:
    """How far x went: as logged, or along −m/‖m‖ by least squares over the projections."""
    m, norm = direction(rows)
    gone = rows.vec("x", 1) - rows.vec("x")
    with np.errstate(all="ignore"):
        fitted = -(gone.p * m.p).sum(axis=1) / (m.p * m.p).sum(axis=1) * norm
    move = rows.vec("move").size
    return np.where(np.isnan(move), fitted, move)


def wrong_steps(direction: Direction, name: str, older: Direction) -> tuple[Wrong, ...]:
    """The mistakes of a normalised step along ``direction``, whose name is ``name``."""

    def scaled(size: Callable[[Rows, Constants, np.ndarray, np.ndarray], np.ndarray]) -> Wrong:
        def judge(rows: Rows, c: Constants) -> Checks:
            m, norm = direction(rows)
            length = lengths(rows, direction)
            made = size(rows, c, norm, length)
            return {
                "x": (
                    rows.vec("x", 1),
                    normalised(rows.vec("x"), m, norm, made, c["_d_x"]),
                )
            } | _moved(rows, c, norm, made)

        return Wrong("", judge)

    def named(name: str, wrong: Wrong) -> Wrong:
        return Wrong(name, wrong.judge)

    eta = "upper_step_size"
    return (
        named("no normalisation", scaled(lambda rows, c, norm, length: c[eta] * norm)),
        named("clipping", scaled(_clipped)),
        named("ε in the norm", scaled(lambda rows, c, norm, length: _sum(c[eta], norm, length))),
        named("ε in the norm", scaled(lambda rows, c, norm, length: _root(c[eta], norm, length))),
        named("ε in the norm", scaled(lambda rows, c, norm, length: _least(c[eta], norm, length))),
        Wrong(
            f"x moves with the old {name}",
            lambda rows, c: normalised_step(rows, c, older, c[eta]),
        ),
        Wrong("norm per block", _per_block(direction)),
        Wrong("norm that underflows", _stays(direction)),
        Wrong("x projected", _on_ball(direction)),
    )


def _clipped(rows: Rows, c: Constants, norm: np.ndarray, length: np.ndarray) -> np.ndarray:
    """η min(‖m‖, c), c being the longest step over η; some must lie below it, and some not."""
    threshold = _nanmax(length / c["upper_step_size"])
    below = norm < threshold * (1 - _NEAR)
    if not below.any() or not (norm > threshold * (1 + _NEAR)).any():
        return np.full_like(norm, np.nan)
    return np.asarray(c["upper_step_size"] * np.minimum(norm, threshold))


def _sum(eta: float, norm: np.ndarray, length: np.ndarray) -> np.ndarray:
    epsilon = np.nanmedian(norm * (eta / length - 1)) if np.isfinite(length).any() else np.nan
    return eta * norm / (norm + epsilon) if epsilon > 0 else np.full_like(norm, np.nan)


def _root(eta: float, norm: np.ndarray, length: np.ndarray) -> np.ndarray:
    square = norm**2 * ((eta / length) ** 2 - 1)
    epsilon = np.nanmedian(square) if np.isfinite(square).any() else np.nan
    if not epsilon > 0:
        return np.full_like(norm, np.nan)
    return np.asarray(eta * norm / np.sqrt(norm**2 + epsilon))


def _least(eta: float, norm: np.ndarray, length: np.ndarray) -> np.ndarray:
    short = length < eta * (1 - _NEAR)
    if not short.any() or short.all():  # all of them: a step that is not normalised
        return np.full_like(norm, np.nan)
    epsilon = np.nanmedian((norm * eta / length)[short])
    return np.asarray(eta * norm / np.maximum(norm, epsilon))


def _per_block(direction: Direction) -> Callable[[Rows, Constants], Checks]:
    def judge(rows: Rows, c: Constants) -> Checks:
        """A step of length η√k that is not along m."""
        _, norm = direction(rows)
        move = rows.vec("move").size
        with np.errstate(all="ignore"):
            square = (move / c["upper_step_size"]) ** 2
        blocks = np.round(np.nanmedian(square)) if np.isfinite(square).any() else 0.0
        if blocks < 2:
            return {"x": np.full(len(rows), np.nan)}
        close = np.abs(square - blocks) <= blocks * max(1e-9, 64 * np.sqrt(c["_d_x"]) * c["_u"])
        fits = holds(close, np.isfinite(square) & (norm > 0))
        return {"x": fits, "move": fits}

    return judge


def _on_ball(direction: Direction) -> Callable[[Rows, Constants], Checks]:
    def judge(rows: Rows, c: Constants) -> Checks:
        """The step, and then a ball."""
        left, right = normalised_step(rows, c, direction, c["upper_step_size"])["x"]
        on = projected(right, left)
        move = rows.vec("move").size
        return {"x": (left, on), "move": np.where(np.isnan(move), np.nan, 0.0)}

    return judge


def _stays(direction: Direction) -> Callable[[Rows, Constants], Checks]:
    def judge(rows: Rows, c: Constants) -> Checks:
        """x stays where the square of ‖m‖ underflows."""
        m, norm = direction(rows)
        tiny = 1e-140 if c["_u"] < 1e-10 else 1e-15
        x = normalised(rows.vec("x"), m, norm, c["upper_step_size"], c["_d_x"])
        move, size = rows.vec("move").size, np.where(norm < tiny, 0.0, c["upper_step_size"])
        return {
            "x": (rows.vec("x", 1), rows.vec("x").where(norm < tiny, x)),
            "move": holds(np.abs(move - size) <= 1e-3 * size, ~np.isnan(move)),
        }

    return judge


def _nanmax(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")
