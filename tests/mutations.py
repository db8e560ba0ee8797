"""The edits of ``tests/mutants.py``: what a slip of the pen, or a tired copy, would leave."""

from __future__ import annotations

from typing import NamedTuple

PARTS = ("tests/test_parts.py", "tests/test_step.py")


class Mutation(NamedTuple):
    """``old``, found once in ``file``, becomes ``new``; ``tests`` are tried in this order.

    An edit of a ``part`` of AccBO is shown to the property tests first.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = PARTS
    part: bool = True


def _edits(file: str, edits: dict[str, tuple[str, str]], **options: object) -> list[Mutation]:
    stem = file.rsplit("/", 1)[-1].removesuffix(".py")
    return [
        Mutation(f"{stem}: {name}", f"reference/accbo/{file}", old, new, **options)  # type: ignore[arg-type]
        for name, (old, new) in edits.items()
    ]


Z, STEP = "z = y + momentum * (y - y_previous)", "return z - step_size * gradient(z)"
MEAN = "(1 - weight) * y_average + weight * y"
LOWER = _edits(
    "lower.py",
    {
        "heavy ball": (STEP, "return z - step_size * gradient(y)"),
        "0.98 γ": (Z, "z = y + 0.98 * momentum * (y - y_previous)"),
        "γ²": (Z, "z = y + momentum**2 * (y - y_previous)"),
        "γ of the other sign": (Z, "z = y + momentum * (y_previous - y)"),
        "y for z": (STEP, "return y - step_size * gradient(z)"),
        "α 1 % long": (STEP, "return z - 1.01 * step_size * gradient(z)"),
        "a step uphill": (STEP, "return z + step_size * gradient(z)"),
        "τ(1.02 − 0.02τ)": (
            MEAN,
            "y_average + weight * (1.02 - 0.02 * weight) * (y - y_average)",
        ),
        "τ and 1 − τ swapped": (MEAN, "weight * y_average + (1 - weight) * y"),
        "no average": (MEAN, "y + 0 * (weight * y_average)"),
    },
) + _edits(
    "lower.py",
    {
        "SGD uphill": ("return y - step_size * gradient(y)", "return y + step_size * gradient(y)"),
        "SGD's gradient at 0": (
            "lambda y: problem.grad_y_lower(x, y, sample), y, step_size",
            "lambda y: problem.grad_y_lower(x, 0 * y, sample), y, step_size",
        ),
        "no step is one": ("if rows(samples) != 1:", "if rows(samples) > 1:"),
    },
    tests=(*PARTS, "tests/test_slip.py", "tests/test_bad_input.py"),
    part=False,
)

RECURSION = "return at_new + decay * (momentum - at_old)"
MOMENTUM = _edits(
    "momentum.py",
    {
        "0.999 of the correction": (
            RECURSION,
            "return at_new + decay * (momentum - 0.999 * at_old)",
        ),
        "β² above 0.98": (
            RECURSION,
            "return at_new + (decay**2 if decay > 0.98 else decay) * (momentum - at_old)",
        ),
        "1 − β 5 % large": (
            RECURSION,
            "return at_new + (1.05 * decay - 0.05) * (momentum - at_old)",
        ),
        "β at most 0.99": (RECURSION, "return at_new + min(decay, 0.99) * (momentum - at_old)"),
        "correction without β": (RECURSION, "return at_new + momentum - at_old"),
        "no correction": (RECURSION, "return (1 - decay) * at_new + decay * momentum"),
        "no momentum": (RECURSION, "return at_new + 0 * decay * (momentum - at_old)"),
        "β of the other sign": (RECURSION, "return at_new - decay * (momentum - at_old)"),
        "points swapped": (
            "at_new, at_old = evaluate_pair(gradient, new, old)\n    return at_new + decay",
            "at_old, at_new = evaluate_pair(gradient, new, old)\n    return at_new + decay",
        ),
        "old y for new": (
            "evaluate_pair(gradient, new, old)\n    return at_new + decay",
            "evaluate_pair(gradient, (new[0], old[1]), old)\n    return at_new + decay",
        ),
    },
) + _edits(
    "momentum.py",
    {
        "average: weights swapped": (
            "return decay * momentum + (1 - decay) * gradient(*new)",
            "return (1 - decay) * momentum + decay * gradient(*new)",
        ),
        "average: a sum": (
            "return decay * momentum + (1 - decay) * gradient(*new)",
            "return decay * momentum + gradient(*new)",
        ),
    },
    part=False,
)

CHAIN = "power = power - inverse * product(power, row(sample.hessian, q - 1))"
RANDOM = "return (terms * inverse) * power"
HYPERGRADIENT = _edits(
    "hypergradient.py",
    {
        "chained: series from q = 1": (
            "inverse, power, total = _inverse(scale, v), v, v",
            "inverse, power, total = _inverse(scale, v), v, 0 * v",
        ),
        "chained: a term too few": ("for q in range(1, terms):", "for q in range(1, terms - 1):"),
        "chained: last two factors alike": (
            CHAIN,
            "power = power - inverse * product(\n"
            "            power, row(sample.hessian, min(q - 1, max(terms - 3, 0)))\n        )",
        ),
        "chained: one sample": (
            CHAIN,
            "power = power - inverse * product(power, row(sample.hessian, 0))",
        ),
        "chained: factors from behind": (
            CHAIN,
            "power = power - inverse * product(power, row(sample.hessian, terms - 1 - q))",
        ),
        "chained: I + H/l": (
            CHAIN,
            "power = power + inverse * product(power, row(sample.hessian, q - 1))",
        ),
        "chained: the last power alone": (
            "        total = total + power\n    return inverse * total",
            "        total = power\n    return inverse * total",
        ),
        "independent: the wrong term is done": (
            "total = total + powers[0, ...]",
            "total = total + powers[-1, ...]",
        ),
        "independent: a slab shared": (
            "first = powers[1:, ...], first + terms - j",
            "first = powers[1:, ...], first",
        ),
        "independent: I + H/l": (
            "powers = powers - inverse * product(powers, slab)",
            "powers = powers + inverse * product(powers, slab)",
        ),
        "randomised: Q − 1 for Q ≥ 6": (
            RANDOM,
            "return ((terms - (terms >= 6)) * inverse) * power",
        ),
        "randomised: no factor Q": (RANDOM, "return inverse * power"),
        "randomised: one factor too few": (
            'sample.power["power"] >= j',
            'sample.power["power"] > j',
        ),
        "l 1 % large": ("**place) / scale", "**place) / (1.01 * scale)"),
        "the implicit term's sign": (
            "return direct - problem.cross_lower(x, y, z, sample.cross)",
            "return direct + problem.cross_lower(x, y, z, sample.cross)",
        ),
        "∇²_xy G without its sample": (
            "return direct - problem.cross_lower(x, y, z, sample.cross)",
            "return direct - problem.cross_lower(x, y, z)",
        ),
        "∇_x F without its sample": (
            "direct = problem.grad_x_upper(x, y, sample.upper)",
            "direct = problem.grad_x_upper(x, y)",
        ),
        "a row too many": (
            'if sampling == "independent" else terms - 1',
            'if sampling == "independent" else terms',
        ),
    },
) + _edits(
    "hypergradient.py",
    {
        "z: the wrong sign of v": (
            "return z - step_size * (product(z) - v)",
            "return z - step_size * (product(z) + v)",
        ),
        "z: twice the step": (
            "return z - step_size * (product(z) - v)",
            "return z - 2 * step_size * (product(z) - v)",
        ),
    },
    tests=("tests/test_slip.py", "tests/test_masoba.py"),
    part=False,
)

LENGTH = "return x - step_size * (scaled / xp.maximum(length, 1.0))"
UPPER = _edits(
    "upper.py",
    {
        "η 2 % long": (LENGTH, "return x - 1.02 * step_size * (scaled / xp.maximum(length, 1.0))"),
        "η 2 % long beyond 10⁶": (
            LENGTH,
            "return x - step_size * xp.where(largest > 1e6, 1.02, 1.0) * "
            "(scaled / xp.maximum(length, 1.0))",
        ),
        "uphill": (LENGTH, "return x + step_size * (scaled / xp.maximum(length, 1.0))"),
        "ε in the norm": (
            LENGTH,
            "return x - step_size * (scaled / (xp.maximum(length, 1.0) + 1e-9))",
        ),
        "clipped": (
            LENGTH,
            "return x - step_size * (direction / xp.maximum(norm(direction)[..., None], 1.0))",
        ),
        "not normalised": (LENGTH, "return x - step_size * direction"),
        "sum norm": (
            "length = norm(scaled)[..., None]",
            "length = xp.sum(xp.abs(scaled), axis=-1, keepdims=True)",
        ),
        "squares underflow": (
            "scaled = direction / xp.where(largest > 0, largest, 1.0)",
            "scaled = direction",
        ),
        "max without abs": ("largest = xp.max(xp.abs(direction)", "largest = xp.max((direction)"),
        "0 divided by 0": ("xp.where(largest > 0, largest, 1.0)", "largest"),
    },
) + _edits(
    "upper.py",
    {"plain step uphill": ("return x - step_size * direction", "return x + step_size * direction")},
    part=False,
)

SAGA = _edits(
    "saga.py",
    {
        "no mean": ("return change + table.mean, Table", "return change, Table"),
        "the mean after": (
            "return change + table.mean, Table",
            "return change + table.mean + change / terms, Table",
        ),
        "mean moved by n times": ("table.mean + change / terms)", "table.mean + change)"),
        "mean never moved": ("table.mean + change / terms)", "table.mean)"),
        "never stored": (
            "stored = xp.where(here, new[..., None, :], table.stored)",
            "stored = table.stored",
        ),
        "stored everywhere": (
            "stored = xp.where(here, new[..., None, :], table.stored)",
            "stored = 0 * table.stored + new[..., None, :]",
        ),
        "old of the wrong sign": ("change = new - old", "change = new + old"),
        "any number of rows": ("if table.stored.shape[-2] != its_sum.terms:", "if False:"),
        "batches of any size": ("if law.shape != (1,):", "if False:"),
    },
    tests=("tests/test_saga.py", "tests/test_saba.py"),
    part=False,
)

SPIDER = _edits(
    "spider.py",
    {
        "not carried": (
            "return estimate + _mean(at_new - at_old)",
            "return _mean(at_new) + 0 * estimate + 0 * _mean(at_old)",
        ),
        "backwards": (
            "return estimate + _mean(at_new - at_old)",
            "return estimate + _mean(at_old - at_new)",
        ),
        "a sum for a mean": (
            "return estimate + _mean(at_new - at_old)",
            "return estimate + size * _mean(at_new - at_old)",
        ),
        "points swapped": (
            "evaluate_pair(gradient, _repeated(new, size), _repeated(old, size))",
            "evaluate_pair(gradient, _repeated(old, size), _repeated(new, size))",
        ),
        "batch_mean: a sum": (
            "return _mean(oracle(*_repeated(point, size)))",
            "return size * _mean(oracle(*_repeated(point, size)))",
        ),
        "batch_mean: the first alone": (
            "return _mean(oracle(*_repeated(point, size)))",
            "return oracle(*_repeated(point, size))[0, ...]",
        ),
    },
    tests=("tests/test_spider.py", "tests/test_vrbo.py"),
    part=False,
)

AFTER = "return AccBOState(x_next, x, y_next, y, y_average_next, y_average, momentum, t + 1)"
ACCBO = _edits(
    "algorithms/accbo.py",
    {
        "old point at ŷ_t": (
            "new, old = (x, y_average), (x_previous, y_average_previous)",
            "new, old = (x, y_average), (x_previous, y_average)",
        ),
        "old point at x_t": (
            "new, old = (x, y_average), (x_previous, y_average_previous)",
            "new, old = (x, y_average), (x, y_average_previous)",
        ),
        "h at y": (
            "new, old = (x, y_average), (x_previous, y_average_previous)",
            "new, old = (x, y), (x_previous, y_previous)",
        ),
        "sequential: new point at ŷ_t": (
            "new, old = (x, y_average_next), (x_previous, y_average)",
            "new, old = (x, y_average), (x_previous, y_average)",
        ),
        "sequential: old point at ŷ_{t−1}": (
            "new, old = (x, y_average_next), (x_previous, y_average)",
            "new, old = (x, y_average_next), (x_previous, y_average_previous)",
        ),
        "x_previous overwritten": (AFTER, AFTER.replace("x_next, x,", "x_next, x_next,")),
        "y_previous overwritten": (AFTER, AFTER.replace("y_next, y,", "y_next, y_next,")),
        "ŷ_previous overwritten": (
            AFTER,
            AFTER.replace("y_average_next, y_average,", "y_average_next, y_average_next,"),
        ),
        "y for ŷ": (AFTER, AFTER.replace("y_average_next, y_average,", "y_next, y_average,")),
        "the clock stands": (AFTER, AFTER.replace("t + 1", "t")),
        "refresh one late": (
            "return self.period is None or t % self.period == 0",
            "return self.period is None or t % self.period == 1 % self.period",
        ),
        "restart keeps the pair": (
            "            y_previous = y\n",
            "            y_previous = y_previous\n",
        ),
        "start: ŷ_0 overwritten": (
            "y_average_previous=y,",
            "y_average_previous=y_average_next,",
        ),
        "start: y_0 overwritten": (
            "            y_previous=y,\n",
            "            y_previous=y_next,\n",
        ),
        "start: always simultaneous": (
            'point = (x, y) if self.order == "simultaneous" else (x, y_average_next)',
            "point = (x, y)",
        ),
    },
)

Z_SYSTEM = {
    "z: H without its sample": (
        "return problem.hvp_lower(x, y, u, sample.hessian)",
        "return problem.hvp_lower(x, y, u)",
    ),
    "z: ∇_y F without its sample": (
        "v = problem.grad_y_upper(x, y, sample.upper_y)\n        y_next",
        "v = problem.grad_y_upper(x, y)\n        y_next",
    ),
    "z_0 = 1": (
        "namespace(y).zeros_like(y), start.first",
        "namespace(y).ones_like(y), start.first",
    ),
}


def _others(name: str, edits: dict[str, tuple[str, str]]) -> list[Mutation]:
    tests = (f"tests/test_{name}.py", "tests/test_conformance_others.py")
    return _edits(f"algorithms/{name}.py", edits, tests=tests, part=False)


OTHERS = [
    *_others(
        "slip",
        {
            **Z_SYSTEM,
            "β²": (", (x, y), momentum, self.momentum)", ", (x, y), momentum, self.momentum**2)"),
        },
    ),
    *_others(
        "borep",
        {
            **Z_SYSTEM,
            "β²": (", (x, y), momentum, self.momentum)", ", (x, y), momentum, self.momentum**2)"),
            "refresh one late": (
                "return t % self.period == 0",
                "return t % self.period == 1 % self.period",
            ),
        },
    ),
    *_others(
        "masoba",
        {
            **Z_SYSTEM,
            "β²": (", (x, y), average, self.momentum)", ", (x, y), average, self.momentum**2)"),
        },
    ),
    *_others(
        "saba",
        {
            "index of the other level": (
                "i, j = at_i[below.field], at_j[above.field]",
                "i, j = at_j[above.field], at_i[below.field]",
            ),
            "one batch for both levels": (
                "at_i, at_j = row(sample.lower, 0), sample.upper",
                "at_i, at_j = row(sample.lower, 0), row(sample.lower, 0)",
            ),
            "table at y = 0": (
                "full_pass(problem.grad_y_lower, (x, y), below, y)",
                "full_pass(problem.grad_y_lower, (x, 0 * y), below, y)",
            ),
            "Jz of the whole sum": (
                "problem.cross_lower(x, y, z, at_i)",
                "problem.cross_lower(x, y, z)",
            ),
        },
    ),
    *_others(
        "stocbio",
        {
            "H without its batch": (
                "return mean(problem.hvp_lower, x, y, u, batch)",
                "return problem.hvp_lower(x, y, u)",
            ),
            "∇_y F at y = 0": (
                "v = mean(problem.grad_y_upper, x, y, sample.upper)",
                "v = mean(problem.grad_y_upper, x, 0 * y, sample.upper)",
            ),
            "the clock stands": ("y, k + 1)", "y, k)"),
        },
    ),
    *_others(
        "sustain",
        {
            "old point at y_t": (
                "new, old = (x, y), (x_previous, y_previous)",
                "new, old = (x, y), (x_previous, y)",
            ),
            "c_g for c_f": (
                "1 - self.upper_averaging * eta",
                "1 - self.lower_averaging * eta",
            ),
            "∇_y G without its sample": (
                "problem.grad_y_lower(x, y, row(sample.lower, 0))",
                "problem.grad_y_lower(x, y)",
            ),
            "x_{t−1} forgotten": ("x_previous=x,", "x_previous=0 * x,"),
        },
    ),
    *_others(
        "ttsa",
        {
            "h at y_t": (
                "gradient(x, y_next), self._upper_size(t)",
                "gradient(x, y), self._upper_size(t)",
            ),
            "β_{t+1}": (
                "sample.lower, self._lower_size(t)",
                "sample.lower, self._lower_size(t + 1)",
            ),
            "the clock stands": (
                "return TTSAState(x_next, y_next, t + 1)",
                "return TTSAState(x_next, y_next, t)",
            ),
        },
    ),
    *_others(
        "vrbo",
        {
            "refresh one late": (
                "return t % self.period == 0",
                "return t % self.period == 1 % self.period",
            ),
            "both sides at the new x": (
                "((x, y), (x_next, y), u, v)",
                "((x_next, y), (x_next, y), u, v)",
            ),
            "y from the old point": ("x, y = new", "x, y = old"),
            "v backwards": ("(gradient, new, old, v, size)", "(gradient, old, new, v, size)"),
        },
    ),
]

MUTATIONS: tuple[Mutation, ...] = (
    *LOWER,
    *MOMENTUM,
    *HYPERGRADIENT,
    *UPPER,
    *SAGA,
    *SPIDER,
    *ACCBO,
    *OTHERS,
)

# edits that nothing can see, with the reason
EQUIVALENT: dict[str, str] = {}
