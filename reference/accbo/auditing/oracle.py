"""The oracle of a problem, called with host arrays: every answer is looked at before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    index_dtype,
    is_array,
    to_host,
    unit_roundoff,
)
from accbo._blame import described
from accbo._foreign import ForeignError, LateError, foreign
from accbo._law import evaluate, expect_law
from accbo.problem import BilevelProblem, Noise, NoiseFields
from accbo.sampling import NO_NOISE, probe_normals

Draws = Mapping[str, np.ndarray]  # fields of a sample, with the leading axes of the points
Normals = Callable[[tuple[int, ...]], np.ndarray]
Point = tuple[np.ndarray, np.ndarray]  # x (d_x,) and y (d_y,)
Points = Sequence[Point]


class Method(NamedTuple):
    """``level`` of its noise, whether it takes v, and the variable it is shaped like or none."""

    level: str
    takes_v: bool = False
    shaped: str = ""


METHODS = {
    "upper": Method("upper"),
    "grad_x_upper": Method("upper", shaped="x"),
    "grad_y_upper": Method("upper", shaped="y"),
    "lower": Method("lower"),
    "grad_y_lower": Method("lower", shaped="y"),
    "hvp_lower": Method("lower", takes_v=True, shaped="y"),
    "cross_lower": Method("lower", takes_v=True, shaped="x"),
}
BANK, BANK_STREAM = 256, 99  # draws of a mean where sample=None is not supported
MOST_DRAWS, ROOM = 2**16, 2**23  # of a mean: draws, numbers held at once
AT_ONCE = 2**16  # numbers of x and y that are averaged over the bank in one call


class AuditError(ValueError):
    """The audit could not run; the message says which method, and what was expected."""


class OracleRaisedError(AuditError):
    """A method raised an exception of its own."""


class Oracle:
    """``problem`` with host arrays in float64 on both sides.

    ``like`` shows the namespace, dtype and device that the problem works in. ``expected`` says
    for which methods ``sample=None`` works; ``mean`` averages draws for the others.
    ``time_limit`` is in seconds a call.
    """

    def __init__(
        self,
        problem: BilevelProblem,
        like: Array,
        seed: int,
        samples: int,
        time_limit: float | None = None,
    ) -> None:
        self.time_limit = time_limit
        self.problem, self.like, self.seed, self.samples = problem, like, seed, samples
        self.sizes = {"x": problem.d_x, "y": problem.d_y}
        self.expected: dict[str, bool] = {}
        self._banks: dict[str, Draws] = {}
        self.roundoff = unit_roundoff(like)

    # --- samples ---------------------------------------------------------------------------------

    def fields(self, level: str) -> NoiseFields:
        """The declared noise of a level, ``upper`` or ``lower``; never empty."""
        declared = self.problem.upper_noise if level == "upper" else self.problem.lower_noise
        return {name: _noise(level, name, noise) for name, noise in declared.items()} or {
            "none": NO_NOISE
        }

    def draw(self, level: str, count: int, stream: int) -> Draws:
        """``count`` draws of a level's noise, as a Latin hypercube; streams are independent.

        Of every coordinate the draws fall one each into ``count`` slices of equal probability.
        Means are unbiased, their variance is at most count/(count − 1) times that of independent
        draws (Owen, 1997), and no rare value of a single coordinate is missed.
        """
        normals = probe_normals(1000 * (self.seed + 1) + 2 * stream + (level == "upper"))
        return {name: _latin(noise, count, normals) for name, noise in self.fields(level).items()}

    def rarest(self, level: str) -> float:
        """The probability of the rarest value of a field; 1 where values are not counted."""
        return min(map(_rarest, self.fields(level).values()))

    def draws_of_a_mean(self, level: str) -> int:
        """``samples``, or more so as not to miss the rarest value, or fewer for lack of room."""
        wanted = max(self.samples, min(MOST_DRAWS, math.ceil(4 / self.rarest(level))))
        return min(wanted, max(BANK, ROOM // sum(self.sizes.values())))

    # --- calls -----------------------------------------------------------------------------------

    def there(self, array: np.ndarray) -> Array:
        """A host array, copied to where the problem works; integers stay integers."""
        whole = np.issubdtype(array.dtype, np.integer)
        return asarray(array.copy(), self.like, index_dtype(self.like) if whole else None)

    def raw(
        self, method: str, x: Array, y: Array, v: Array | None, sample: Mapping[str, Array] | None
    ) -> Array:
        """The method's own answer; raises ``AuditError`` unless it is an array of its shape."""
        given = (x, y) if v is None else (x, y, v)
        at = f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}"
        how = "" if sample is not None else " with sample=None"
        try:
            with foreign(f"{method}{how}", self.time_limit), np.errstate(all="ignore"):
                answer = getattr(self.problem, method)(*given, sample)
        except (ForeignError, NotImplementedError) as error:
            # what ends a process is no way to say that sample=None is not supported
            plain = isinstance(error.__cause__ or error, Exception)
            late = isinstance(error, LateError)
            text = (
                str(error)
                if isinstance(error, ForeignError)
                else f"{method}{how} raised {described(error)}"
            )
            refusal = OracleRaisedError if plain and not late else AuditError
            raise refusal(f"{text} (for {at})") from error
        shaped = METHODS[method].shaped
        wanted = tuple(x.shape[:-1]) + ((self.sizes[shaped],) if shaped else ())
        if not wanted and isinstance(answer, float | np.generic):
            return np.asarray(answer)
        if not is_array(answer):
            raise AuditError(f"{method} must return an array, got {type(answer).__name__}")
        if tuple(answer.shape) != wanted:
            raise AuditError(
                f"{method} returned shape {tuple(answer.shape)}, expected {wanted}, for {at}"
            )
        return answer

    def __call__(
        self,
        method: str,
        x: np.ndarray,
        y: np.ndarray,
        v: np.ndarray | None = None,
        sample: Draws | None = None,
        *,
        finite: bool = True,
    ) -> np.ndarray:
        """The answer on the host in float64; x, y, v and the sample share their leading axes.

        Raises ``AuditError`` for a wrong shape and, where ``finite``, for a NaN or an infinity.
        """
        moved = None if sample is None else {k: self.there(leaf) for k, leaf in sample.items()}
        direction = None if v is None else self.there(v)
        answer = self.raw(method, self.there(x), self.there(y), direction, moved)
        host = to_host(answer).astype(float)
        if finite and not np.all(np.isfinite(host)):
            entry = np.argwhere(~np.isfinite(host))[0].tolist()
            row = entry.pop(0) if x.ndim == 2 else ...
            where = f"entry {entry[0]} " if entry else ""
            how = "sample=None" if sample is None else f"a sample of seed {self.seed}"
            raise AuditError(
                f"{method} returned a NaN or an infinity {where}at x = {_start(x[row])}, "
                f"y = {_start(y[row])}, with {how}; expected finite numbers"
            )
        return host

    def mean(
        self,
        method: str,
        x: np.ndarray,
        y: np.ndarray,
        v: np.ndarray | None = None,
        *,
        finite: bool = True,
    ) -> np.ndarray:
        """The expectation, of one point or of rows: ``sample=None``, or a mean over draws.

        The draws are the same at every point, so that differences between points are smooth.
        """
        if self.expected.get(method, True):
            return self(method, x, y, v, finite=finite)
        if x.ndim == 1:
            along = None if v is None else v[None]
            one: np.ndarray = self.mean(method, x[None], y[None], along, finite=finite)[0]
            return one
        bank, means = self._bank(METHODS[method].level), []
        some = max(1, AT_ONCE // (BANK * sum(self.sizes.values())))
        for first in range(0, len(x), some):
            part = slice(first, first + some)
            count = len(x[part])
            xs, ys = (np.repeat(a[part], BANK, axis=0) for a in (x, y))
            along = None if v is None else np.repeat(v[part], BANK, axis=0)
            draws = {k: np.tile(leaf, (count, *[1] * (leaf.ndim - 1))) for k, leaf in bank.items()}
            answer = self(method, xs, ys, along, draws, finite=finite)
            means.append(np.mean(answer.reshape(count, BANK, *answer.shape[1:]), axis=1))
        return np.concatenate(means)

    def _bank(self, level: str) -> Draws:
        """The draws of every mean of a level."""
        if level not in self._banks:
            self._banks[level] = self.draw(level, BANK, BANK_STREAM)
        return self._banks[level]

    def learn_expectations(self, x: np.ndarray, y: np.ndarray) -> None:
        """Find out for which methods ``sample=None`` works; one that raises does not."""
        for name, method in METHODS.items():
            try:
                self(name, x, y, y if method.takes_v else None)
                self.expected[name] = True
            except OracleRaisedError:
                self.expected[name] = False


def repeated(array: np.ndarray, count: int) -> np.ndarray:
    """``count`` rows, each ``array``."""
    return np.broadcast_to(array, (count, *array.shape))


def one(draws: Draws, index: int) -> Draws:
    """Draw ``index`` alone, without a leading axis."""
    return {name: leaf[index] for name, leaf in draws.items()}


def tiled(draws: Draws | None, count: int) -> Draws | None:
    """One draw under a leading axis of ``count``."""
    return None if draws is None else {k: repeated(leaf, count) for k, leaf in draws.items()}


def unit(vector: np.ndarray) -> np.ndarray:
    """``vector`` at length 1."""
    values: np.ndarray = vector / np.linalg.norm(vector)
    return values


def _noise(level: str, name: str, given: object) -> Noise:
    """A declared field; raises ``AuditError`` where it is none."""
    where = f"{level}_noise[{name!r}]"
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise AuditError(f"{where} must be accbo.Noise(law, shape[, parameter]); got {given!r}")
    noise = Noise(*given)
    try:
        expect_law(noise.law, f"{where}.law")
    except ValueError as error:
        raise AuditError(str(error)) from None
    return noise


def _rarest(noise: Noise) -> float:
    """The probability of the rarest value, 1 where values are not counted."""
    if noise.law == "index":
        return 1 / float(noise.parameter or 1)
    if noise.law == "two_point" and noise.parameter is not None:
        return min(noise.parameter, 1 - noise.parameter)
    return 1.0


def _latin(noise: Noise, count: int, normals: Normals) -> np.ndarray:
    from scipy.special import ndtr, ndtri  # late: dear to import

    shape = (count, *noise.shape)
    slices = np.argsort(normals(shape), axis=0)  # a random permutation for every coordinate
    u = (slices + ndtr(normals(shape))) / count
    values: np.ndarray
    if callable(noise.law):
        values = evaluate(noise.law, u, "noise")
        return values
    if noise.law == "normal":
        values = ndtri(u)
        return values
    if noise.law == "sign":
        return np.where(u < 0.5, 1.0, -1.0)
    if noise.law == "index":
        rows = int(noise.parameter or 1)
        values = np.minimum((u * rows).astype(np.int64), rows - 1)
        return values
    p = 0.5 if noise.parameter is None else float(noise.parameter)
    values = np.where(u < p, ((1 - p) / p) ** 0.5, -((p / (1 - p)) ** 0.5))
    return values


def _start(vector: np.ndarray) -> str:
    shown = ", ".join(f"{number:.6g}" for number in vector[:4])
    return f"[{shown}{', …' if len(vector) > 4 else ''}]"
