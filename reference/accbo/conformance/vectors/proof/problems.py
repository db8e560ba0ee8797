"""The derivatives of VECTORS.md, section 4, from the JSON of a problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accbo.conformance.vectors.proof.lists import (
    Numbers,
    Part,
    add,
    apply,
    apply_transposed,
    dot,
    scale,
    sub,
    times,
)


def problem_of(k: Any, values: Mapping[str, Any]) -> Problem:
    """The problem of a file, over the numbers of ``k``."""
    return FiniteSum(k, values) if values["kind"] == "finite_sum" else Coupled(k, values)


class Problem:
    """What every kind has: its numbers, and the factor of F."""

    def __init__(self, k: Any, values: Mapping[str, Any]) -> None:
        self.k, self.kind = k, values["kind"]
        self.data = {name: numbers(k, value) for name, value in values.items() if name != "kind"}

    def grad_x_upper(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        """∇_x F with its factor."""
        return self.k.settled(scale(self.data["upper_factor"], self._grad_x(x, y, sample)))

    def grad_y_upper(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        """∇_y F with its factor."""
        return self.k.settled(scale(self.data["upper_factor"], self._grad_y(x, y, sample)))

    def grad_y_lower(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        """∇_y G."""
        raise NotImplementedError

    def hvp_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """∇²_yy G v."""
        raise NotImplementedError

    def cross_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """∇²_xy G v, shaped like x."""
        raise NotImplementedError

    def _grad_x(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        raise NotImplementedError

    def _grad_y(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        raise NotImplementedError


class Coupled(Problem):
    """``quadratic``, ``relaxed_smooth`` and ``nonquadratic``."""

    def _grad_x(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        d = self.data
        if self.kind == "relaxed_smooth":
            direct = [self._hyperbolic(entry) for entry in x]
        else:
            direct = times(d["weights"], x)
        return self._with_noise(direct, x, "noise_upper", sample, "additive_x", "multiplicative_x")

    def _hyperbolic(self, x: Any) -> Any:
        d, k = self.data, self.k
        wave = d["ripple"] * d["frequency"] * k.sin(d["frequency"] * x)
        return k.sinh(d["rate"] * x) / d["rate"] + wave

    def _grad_y(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        u = sub(y, self.data["target"])
        direct = u if self.kind == "quadratic" else [self.k.tanh(entry) for entry in u]
        return self._with_noise(direct, y, "noise_upper", sample, "additive_y", "multiplicative_y")

    def grad_y_lower(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        """Hy − Cx, the log cosh of the third kind, and noise."""
        k, d = self.k, self.data
        Cx = apply(k, d["coupling"], x)
        terms = [apply(k, d["hessian"], y), [-entry for entry in Cx]]
        if self.kind == "nonquadratic":
            u = self._shifted(x, y)
            terms.append(scale(d["strength"], [k.tanh(entry) for entry in u]))
        if "coupling" in sample:
            e = d["noise_lower"]["coupling"]
            terms.append([-entry for entry in scale(e, times(sample["coupling"], Cx))])
        product = add(k, *terms)
        return k.settled(
            self._with_noise(product, y, "noise_lower", sample, "additive", "curvature")
        )

    def hvp_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """Hv, the curvature of the log cosh, and noise."""
        k, d = self.k, self.data
        terms = [apply(k, d["hessian"], v)]
        if self.kind == "nonquadratic":
            terms.append(scale(d["strength"], times(self._curvature(x, y), v)))
        product = add(k, *terms)
        return k.settled(self._with_noise(product, v, "noise_lower", sample, "", "curvature"))

    def cross_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """−Cᵀv, the shift of the log cosh, and noise."""
        k, d, noisy = self.k, self.data, v
        if "coupling" in sample:
            e = d["noise_lower"]["coupling"]
            noisy = add(k, v, scale(e, times(sample["coupling"], v)))
        terms = [[-entry for entry in apply_transposed(k, d["coupling"], noisy)]]
        if self.kind == "nonquadratic":
            bent = apply_transposed(k, d["shift"], times(self._curvature(x, y), v))
            terms.append([-entry for entry in scale(d["strength"], bent)])
        return k.settled(add(k, *terms))

    def _shifted(self, x: Numbers, y: Numbers) -> Numbers:
        return sub(y, apply(self.k, self.data["shift"], x))

    def _curvature(self, x: Numbers, y: Numbers) -> Numbers:
        return [self.k.sech2(entry) for entry in self._shifted(x, y)]

    def _with_noise(
        self, direct: Numbers, at: Numbers, noise: str, sample: Part, plain: str, product: str
    ) -> Numbers:
        """``direct``, plus a n, plus b n∘at, where the sample has these fields."""
        scales, terms = self.data[noise], [direct]
        if plain in sample:
            terms.append(scale(scales[plain], sample[plain]))
        if product in sample:
            terms.append(scale(scales[product], times(sample[product], at)))
        return add(self.k, *terms)


class FiniteSum(Problem):
    """``finite_sum``: means over a batch of indices."""

    def _terms(
        self, level: str, x: Numbers, y: Numbers, sample: Part
    ) -> Iterator[tuple[Numbers, Numbers, Any, Any]]:
        """a, c, b and the margin of every index of the batch."""
        features, offsets, labels = (
            self.data[f"{level}_{what}"] for what in ("features", "offsets", "labels")
        )
        for index in sample["index"]:
            a, c, b = features[index], offsets[index], labels[index]
            yield a, c, b, b * (dot(self.k, a, y) + dot(self.k, c, x))

    def _mean(self, vectors: list[Numbers]) -> Numbers:
        return [entry / self.k.number(len(vectors)) for entry in add(self.k, *vectors)]

    def _pull(self, level: str, x: Numbers, y: Numbers, sample: Part, which: int) -> Numbers:
        """−mean b σ(−t) a, or c in place of a."""
        return self._mean(
            [
                scale(-(term[2] * self.k.sigmoid(-term[3])), term[which])
                for term in self._terms(level, x, y, sample)
            ]
        )

    def _grad_x(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        ridge = scale(self.data["upper_ridge"], x)
        return add(self.k, ridge, self._pull("upper", x, y, sample, 1))

    def _grad_y(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        return self._pull("upper", x, y, sample, 0)

    def grad_y_lower(self, x: Numbers, y: Numbers, sample: Part) -> Numbers:
        """μ y − mean b σ(−t) a."""
        ridge = scale(self.data["lower_ridge"], y)
        return self.k.settled(add(self.k, ridge, self._pull("lower", x, y, sample, 0)))

    def hvp_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """μ v + mean σ'(t) (aᵀv) a."""
        ridge = scale(self.data["lower_ridge"], v)
        return self.k.settled(add(self.k, ridge, self._bent(x, y, v, sample, 0)))

    def cross_lower(self, x: Numbers, y: Numbers, v: Numbers, sample: Part) -> Numbers:
        """mean σ'(t) (aᵀv) c."""
        return self.k.settled(self._bent(x, y, v, sample, 1))

    def _bent(self, x: Numbers, y: Numbers, v: Numbers, sample: Part, which: int) -> Numbers:
        return self._mean(
            [
                scale(self.k.sigmoid_slope(term[3]) * dot(self.k, term[0], v), term[which])
                for term in self._terms("lower", x, y, sample)
            ]
        )


def numbers(k: Any, value: Any) -> Any:
    """Every number of nested lists and objects as one of ``k``; words stay."""
    if isinstance(value, Mapping):
        return {name: numbers(k, entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [numbers(k, entry) for entry in value]
    return value if isinstance(value, str) else k.number(float(value))
