"""Nine algorithms as plain loops, one replicate at a time: what ``tests.edits`` makes wrong.

From the specification alone, with nothing from the package but the derivatives. ``s`` holds the
fields of the state by dotted name; each is stored as soon as it is made, and read from there by
what is made of it, so that whoever watches ``s`` sees which quantity is wrong of itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.samples import cells, count, length, mean, rows

# --- AccBO ------------------------------------------------------------------------------------


def accbo(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y, average = s["x"], s["y"], s["y_average"]
    s["y"] = nesterov(p, a, x, y, y if a.period else s["y_previous"], sample.lower)
    s["y_average"] = (1 - a.averaging) * average + a.averaging * s["y"]
    at, was = average, s["y_average_previous"]
    if a.order == "sequential":
        at, was = s["y_average"], average
    new = hypergradient(p, a, x, at, sample)
    old = hypergradient(p, a, s["x_previous"], was, sample)
    s["momentum"] = new + a.momentum * (s["momentum"] - old)
    s["x"] = normalised(x, s["momentum"], a.upper_step_size)
    s["x_previous"], s["y_previous"], s["y_average_previous"] = x, y, average


def accbo_start(s: Any, start: Any, p: Any, a: Any) -> None:
    x, y = s["x"], s["y"]
    s["y"] = nesterov(p, a, x, y, y, start.warm_start)
    y = s["y"]
    s["y"] = nesterov(p, a, x, y, y, start.first.lower)
    s["y_average"] = (1 - a.averaging) * y + a.averaging * s["y"]
    at = s["y_average"] if a.order == "sequential" else y
    s["momentum"] = mean([hypergradient(p, a, x, at, one) for one in cells(start.first, "lower")])
    s["x"] = normalised(x, s["momentum"], a.upper_step_size)
    s["x_previous"], s["y_previous"], s["y_average_previous"] = x, y, y


def nesterov(p: Any, a: Any, x: Any, y: Any, y_old: Any, batches: Any) -> Any:
    for pi in rows(batches):
        z = y + a.lower_momentum * (y - y_old)
        y, y_old = z - a.lower_step_size * p.grad_y_lower(x, z, pi), y
    return y


def hypergradient(p: Any, a: Any, x: Any, y: Any, sample: Any) -> Any:
    v = p.grad_y_upper(x, y, sample.upper)
    if a.neumann_sampling == "chained":
        z = chained(p, a, x, y, v, sample)
    elif a.neumann_sampling == "independent":
        z = independent(p, a, x, y, v, sample)
    else:
        z = randomised(p, a, x, y, v, sample)
    return implicit(p, x, y, z, sample)


def chained(p: Any, a: Any, x: Any, y: Any, v: Any, sample: Any) -> Any:
    total = v
    for zeta in rows(sample.hessian):
        v = v - p.hvp_lower(x, y, v, zeta) / a.neumann_scale
        total = total + v
    return total / a.neumann_scale


def independent(p: Any, a: Any, x: Any, y: Any, v: Any, sample: Any) -> Any:
    zetas, total = list(rows(sample.hessian)), v
    for q in range(1, a.neumann_terms):
        power, place = v, q - 1
        for j in range(1, q + 1):
            power = power - p.hvp_lower(x, y, power, zetas[place]) / a.neumann_scale
            place = place + a.neumann_terms - j - 1
        total = total + power
    return total / a.neumann_scale


def randomised(p: Any, a: Any, x: Any, y: Any, v: Any, sample: Any) -> Any:
    q = int(sample.power["power"][0])
    for zeta in list(rows(sample.hessian))[:q]:
        v = v - p.hvp_lower(x, y, v, zeta) / a.neumann_scale
    return a.neumann_terms * v / a.neumann_scale


def implicit(p: Any, x: Any, y: Any, z: Any, sample: Any) -> Any:
    return p.grad_x_upper(x, y, sample.upper) - p.cross_lower(x, y, z, sample.cross)


def normalised(x: Any, m: Any, size: Any) -> Any:
    largest = np.max(np.abs(m))
    if largest == 0:
        return x
    unit = m / largest
    return x - size * unit / np.linalg.norm(unit)


# --- SLIP, BO-REP, MA-SOBA --------------------------------------------------------------------


def slip(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y, z = s["x"], s["y"], s["z"]
    s["z"] = linear(p, a, x, y, z, sample)
    s["y"] = descent(p, x, y, sample.lower, a.lower_step_size)
    d = implicit(p, x, y, z, sample)
    s["momentum"] = a.momentum * s["momentum"] + (1 - a.momentum) * d
    s["x"] = normalised(x, s["momentum"], a.upper_step_size)


def slip_start(s: Any, start: Any, p: Any, a: Any) -> None:
    x, first = s["x"], start.first
    s["y"] = descent(p, x, s["y"], start.warm_start, a.lower_step_size)
    y, z = s["y"], 0 * s["y"]
    s["z"] = linear(p, a, x, y, z, first)
    s["y"] = descent(p, x, y, first.lower, a.lower_step_size)
    samples = cells(first, "upper_y", "hessian", "lower")
    s["momentum"] = mean([implicit(p, x, y, z, one) for one in samples])
    s["x"] = normalised(x, s["momentum"], a.upper_step_size)


def borep(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    slip(s, t, sample, p, a)


def borep_start(s: Any, start: Any, p: Any, a: Any) -> None:
    slip_start(s, start, p, a)


def masoba(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y, z = s["x"], s["y"], s["z"]
    s["z"] = linear(p, a, x, y, z, sample)
    s["y"] = descent(p, x, y, sample.lower, a.lower_step_size)
    s["x"] = x - a.upper_step_size * s["momentum"]
    d = implicit(p, x, y, z, sample)
    s["momentum"] = a.momentum * s["momentum"] + (1 - a.momentum) * d


def masoba_start(s: Any, start: Any, p: Any, a: Any) -> None:
    x, first = s["x"], start.first
    s["y"] = descent(p, x, s["y"], start.warm_start, a.lower_step_size)
    y, z = s["y"], 0 * s["y"]
    s["z"] = linear(p, a, x, y, z, first)
    s["y"] = descent(p, x, y, first.lower, a.lower_step_size)
    s["x"] = x
    samples = cells(first, "upper_y", "hessian", "lower")
    s["momentum"] = mean([implicit(p, x, y, z, one) for one in samples])


def linear(p: Any, a: Any, x: Any, y: Any, z: Any, sample: Any) -> Any:
    v, product = p.grad_y_upper(x, y, sample.upper_y), p.hvp_lower(x, y, z, sample.hessian)
    return z - a.linear_step_size * (product - v)


def descent(p: Any, x: Any, y: Any, batches: Any, size: Any) -> Any:
    for pi in rows(batches):
        y = y - size * p.grad_y_lower(x, y, pi)
    return y


# --- SABA -------------------------------------------------------------------------------------


def saba(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y, z = s["x"], s["y"], s["z"]
    (below,) = rows(sample.lower)
    above = sample.upper
    i, j = int(below["index"][0]), int(above["index"][0])
    g = table(s, "grad_y_lower", i, p.grad_y_lower(x, y, below))
    product = table(s, "hvp_lower", i, p.hvp_lower(x, y, z, below))
    cross = table(s, "cross_lower", i, p.cross_lower(x, y, z, below))
    v = table(s, "grad_y_upper", j, p.grad_y_upper(x, y, above))
    direct = table(s, "grad_x_upper", j, p.grad_x_upper(x, y, above))
    s["y"] = y - a.lower_step_size * g
    s["z"] = z - a.linear_step_size * (product - v)
    s["x"] = x - a.upper_step_size * (direct - cross)


def table(s: Any, name: str, index: int, new: Any) -> Any:
    stored, average = s[f"tables.{name}.stored"].copy(), s[f"tables.{name}.mean"]
    change = new - stored[index]
    stored[index] = new
    s[f"tables.{name}.stored"] = stored
    s[f"tables.{name}.mean"] = average + change / len(stored)
    return change + average


def saba_start(s: Any, start: Any, p: Any, a: Any) -> None:
    x = s["x"]
    s["y"] = descent(p, x, s["y"], start.warm_start, a.lower_step_size)
    y, z = s["y"], 0 * s["y"]
    n, m = count(p.lower_noise), count(p.upper_noise)
    g = filled(s, "grad_y_lower", [p.grad_y_lower(x, y, one(i)) for i in range(n)])
    product = filled(s, "hvp_lower", [p.hvp_lower(x, y, z, one(i)) for i in range(n)])
    cross = filled(s, "cross_lower", [p.cross_lower(x, y, z, one(i)) for i in range(n)])
    v = filled(s, "grad_y_upper", [p.grad_y_upper(x, y, one(j)) for j in range(m)])
    direct = filled(s, "grad_x_upper", [p.grad_x_upper(x, y, one(j)) for j in range(m)])
    s["y"] = y - a.lower_step_size * g
    s["z"] = z - a.linear_step_size * (product - v)
    s["x"] = x - a.upper_step_size * (direct - cross)


def filled(s: Any, name: str, values: Any) -> Any:
    s[f"tables.{name}.stored"] = np.stack(values)
    s[f"tables.{name}.mean"] = mean(values)
    return s[f"tables.{name}.mean"]


def one(index: int) -> Any:
    return {"index": np.array([index])}


# --- SUSTAIN ----------------------------------------------------------------------------------


def sustain(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y = s["x"], s["y"]
    (pi,) = rows(sample.lower)
    shrink = 1 / (a.offset + t - 1) ** (2 / 3)
    size = 1 / (a.offset + t) ** (1 / 3)
    new, old = p.grad_y_lower(x, y, pi), p.grad_y_lower(s["x_previous"], s["y_previous"], pi)
    keep = 1 - a.lower_averaging * shrink
    s["lower_momentum"] = new + keep * (s["lower_momentum"] - old)
    new, old = drawn(p, a, x, y, sample), drawn(p, a, s["x_previous"], s["y_previous"], sample)
    keep = 1 - a.upper_averaging * shrink
    s["momentum"] = new + keep * (s["momentum"] - old)
    s["y"] = y - a.lower_step_size * size * s["lower_momentum"]
    s["x"] = x - a.upper_step_size * size * s["momentum"]
    s["x_previous"], s["y_previous"] = x, y


def sustain_start(s: Any, start: Any, p: Any, a: Any) -> None:
    x, size = s["x"], 1 / a.offset ** (1 / 3)
    s["y"] = descent(p, x, s["y"], start.warm_start, a.lower_step_size * size)
    y = s["y"]
    (pi,) = rows(start.first.lower)
    s["lower_momentum"] = p.grad_y_lower(x, y, pi)
    s["momentum"] = mean([drawn(p, a, x, y, one) for one in cells(start.first, "lower")])
    s["y"] = y - a.lower_step_size * size * s["lower_momentum"]
    s["x"] = x - a.upper_step_size * size * s["momentum"]
    s["x_previous"], s["y_previous"] = x, y


def drawn(p: Any, a: Any, x: Any, y: Any, sample: Any) -> Any:
    v = p.grad_y_upper(x, y, sample.upper)
    return implicit(p, x, y, randomised(p, a, x, y, v, sample), sample)


# --- VRBO -------------------------------------------------------------------------------------


def vrbo(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y = s["x"], s["y"]
    if length(sample.large.upper) > 0:
        s["lower_estimate"] = lower_mean(p, x, y, sample.large)
        s["estimate"] = upper_mean(p, a, x, y, sample.large)
    s["x"] = x - a.upper_step_size * s["estimate"]
    old, new = (x, y), (s["x"], y)
    for batch in cells(sample.inner):
        s["y"] = new[1]
        change = lower_mean(p, *new, batch) - lower_mean(p, *old, batch)
        s["lower_estimate"] = s["lower_estimate"] + change
        change = upper_mean(p, a, *new, batch) - upper_mean(p, a, *old, batch)
        s["estimate"] = s["estimate"] + change
        old, new = new, (s["x"], s["y"] - a.lower_step_size * s["lower_estimate"])


def vrbo_start(s: Any, start: Any, p: Any, a: Any) -> None:
    s["y"] = descent(p, s["x"], s["y"], start.warm_start, a.lower_step_size)
    vrbo(s, 0, start.first, p, a)


def lower_mean(p: Any, x: Any, y: Any, batch: Any) -> Any:
    return mean([p.grad_y_lower(x, y, one.lower) for one in cells(batch, axis="hessian")])


def upper_mean(p: Any, a: Any, x: Any, y: Any, batch: Any) -> Any:
    return mean([upper_one(p, a, x, y, one) for one in cells(batch, axis="hessian")])


def upper_one(p: Any, a: Any, x: Any, y: Any, sample: Any) -> Any:
    v = p.grad_y_upper(x, y, sample.upper)
    return implicit(p, x, y, chained(p, a, x, y, v, sample), sample)


# --- TTSA, StocBiO ----------------------------------------------------------------------------


def ttsa(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y = s["x"], s["y"]
    s["y"] = descent(p, x, y, sample.lower, a.lower_step_size / (a.offset + t) ** 0.4)
    d = drawn(p, a, x, s["y"], sample)
    s["x"] = x - a.upper_step_size / (a.offset + t) ** 0.6 * d


def ttsa_start(s: Any, start: Any, p: Any, a: Any) -> None:
    size = a.lower_step_size / a.offset**0.4
    s["y"] = descent(p, s["x"], s["y"], start.warm_start, size)
    ttsa(s, 0, start.first, p, a)


def stocbio(s: Any, t: int, sample: Any, p: Any, a: Any) -> None:
    x, y = s["x"], s["y"]
    s["y"] = batches(p, a, x, y, sample.lower)
    y = s["y"]
    v = mean([p.grad_y_upper(x, y, xi) for xi in rows(sample.upper)])
    z = v
    for batch in rows(sample.hessian):
        v = v - mean([p.hvp_lower(x, y, v, zeta) for zeta in rows(batch)]) / a.neumann_scale
        z = z + v
    z = z / a.neumann_scale
    direct = mean([p.grad_x_upper(x, y, xi) for xi in rows(sample.upper)])
    cross = mean([p.cross_lower(x, y, z, zeta) for zeta in rows(sample.cross)])
    s["x"] = x - a.upper_step_size * (direct - cross)


def batches(p: Any, a: Any, x: Any, y: Any, samples: Any) -> Any:
    for batch in rows(samples):
        y = y - a.lower_step_size * mean([p.grad_y_lower(x, y, pi) for pi in rows(batch)])
    return y


def stocbio_start(s: Any, start: Any, p: Any, a: Any) -> None:
    s["y"] = batches(p, a, s["x"], s["y"], start.warm_start)
    stocbio(s, 0, start.first, p, a)
