"""A constant as the trace has it: one value, or how it drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SYMBOLS = {
    "upper_step_size": "η",
    "lower_step_size": "α",
    "lower_momentum": "γ",
    "averaging": "τ",
    "momentum": "β",
    "linear_step_size": "ν",
    "_inverse_scale": "1/l",
}
MOST = 200_000  # values that are kept


class Fitted(NamedTuple):
    """A constant: its name, what was declared (or None), what the trace fits, and whether it is it.

    ``text`` is the sentence.
    """

    name: str
    key: str
    declared: float | None
    text: str
    value: float | None  # where it is one number
    explains: bool  # whether it explains every iteration that was looked at


@dataclass
class Values:
    """The values of a constant that the iterations of a trace fit, one each."""

    name: str
    key: str
    constants: Any
    refuted: bool = False

    def __post_init__(self) -> None:
        self._t: list[np.ndarray] = []
        self._value: list[np.ndarray] = []
        self._error: list[np.ndarray] = []
        self.count = 0
        self.refuted_at: int | None = None

    @property
    def undeclared(self) -> bool:
        """Whether the header does not say what it should be."""
        return math.isnan(self.constants[self.name])

    def take(self, t: np.ndarray, value: np.ndarray, error: np.ndarray, fits: np.ndarray) -> None:
        """Values of a window; one that does not fit refutes that the constant is the cause."""
        known = np.isfinite(value) & np.isfinite(error)
        against = known & ~fits
        if against.any() and not self.refuted:
            self.refuted, self.refuted_at = True, int(t[int(np.argmax(against))])
        known &= fits
        if self.count < MOST:
            self._t.append(t[known])
            self._value.append(value[known])
            self._error.append(error[known])
            self.count += int(known.sum())

    def replaced_zero(self) -> bool:
        """Whether the declared constant is 0 and the trace has another."""
        if self.undeclared or self.constants[self.name] != 0:
            return False
        value = self.summary().value
        return value is not None and abs(value) > 1e-3

    def summary(self) -> Fitted:
        """What the values say."""
        symbol = SYMBOLS.get(self.name, self.name)
        declared = self.constants[self.name]
        stated = None if math.isnan(declared) else float(declared)
        t, value, error = (
            np.concatenate(part) if part else np.zeros(0)
            for part in (self._t, self._value, self._error)
        )
        if self.refuted or not t.size:
            text = f"no value of {symbol} makes {self.key} hold"
            return Fitted(self.name, self.key, stated, text, None, False)
        said = "it is not declared" if stated is None else f"declared {stated:.6g}"
        number, how = _described(t, value, error)
        return Fitted(self.name, self.key, stated, f"{symbol} is {how}, {said}", number, True)


def _described(t: np.ndarray, value: np.ndarray, error: np.ndarray) -> tuple[float | None, str]:
    """One number, a geometric or a power law in t, or the range."""
    weight = 1 / np.maximum(error, 1e-300) ** 2
    weight = weight / weight.max()
    mean = float((weight * value).sum() / weight.sum())
    if (np.abs(value - mean) <= 2 * error + 1e-12 * abs(mean)).all():
        return mean, f"{mean:.6g}"
    if t.size >= 4 and (value > 0).all():
        relative = 2 * error / value + 1e-9
        for form, clock in (("geometric", t.astype(float)), ("power", np.log1p(t))):
            slope, start = _line(clock, np.log(value), weight * value**2)
            if (np.abs(np.log(value) - start - slope * clock) <= relative).all():
                return None, _law(form, slope, math.exp(start))
    return None, f"{value[0]:.6g} at t = {t[0]} and {value[-1]:.6g} at t = {t[-1]}"


def _law(form: str, slope: float, start: float) -> str:
    if form == "power":
        return f"{start:.6g}·(1 + t)^{slope:.4g}"
    ratio = math.exp(slope)
    steps = 10 ** max(0, round(-math.log10(max(abs(slope), 1e-12)) - 1))
    if steps == 1:
        return f"{start:.6g}·{ratio:.6g}^t"
    return f"{start:.6g}·{math.exp(slope * steps):.4g}^(t/{steps})"


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    total = weight.sum()
    mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
    spread = (weight * (x - mean_x) ** 2).sum()
    slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / spread) if spread else 0.0
    return slope, float(mean_y - slope * mean_x)
