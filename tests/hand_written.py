"""Eight algorithms written out anew, loop by loop: other orders of sums, work in place.

For the oracle: what a careful stranger would write, one replicate after the other, and what a
careless one would with ``wrong``. Nothing here is taken from the package but the derivatives.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Arrays = dict[str, Any]


class Hand:
    """One replicate of an algorithm ``a`` on a problem ``p``; ``seed`` decides the arrangement."""

    def __init__(self, p: Any, a: Any, fields: Arrays, t: int, seed: int, wrong: str = "") -> None:
        self.p, self.a, self.t, self.wrong = p, a, t, wrong
        self.now = {name: np.array(value) for name, value in fields.items()}
        self.kept: Arrays = {}
        self.draw = random.Random(seed)
        self.coins = [self.draw.random() < 0.5 for _ in range(8)]

    # --- small parts ------------------------------------------------------------------------

    def total(self, terms: Iterable[Any]) -> Any:
        """A sum in an order of its own."""
        given = list(terms)
        self.draw.shuffle(given)
        found = np.array(given[0])
        for one in given[1:]:
            found = one + found if self.coins[0] else found + one
        return found

    def mean(self, oracle: Callable[[Any], Any], batch: Any) -> Any:
        """The mean over a batch, sample by sample."""
        values = [oracle(one) for one in rows_of(batch)]
        if self.coins[1]:
            return self.total(values) / len(values)
        return self.total(value / len(values) for value in values)

    def descend(self, y: Any, gradient: Any, size: float) -> None:
        """y ← y − size · gradient, in place."""
        y -= size * gradient

    def difference(self, direct: Any, cross: Any) -> Any:
        """∇_x F − ∇²_xy G z."""
        if self.wrong == "sign":
            return direct + cross
        return -(cross - direct) if self.coins[2] else direct - cross

    def moved(self, x: Any, direction: Any, size: float) -> Any:
        """x − η m/‖m‖, of which squares may under- and overflow."""
        largest = np.max(np.abs(direction))
        length = largest * np.linalg.norm(direction / largest)
        return x - (size / length) * direction if self.coins[3] else x - size * direction / length

    def chained(self, x: Any, y: Any, v: Any, factors: Iterable[Callable[[Any], Any]]) -> Any:
        """(1/l) Σ p_q, or Σ p_q/l."""
        scale, powers = self.a.neumann_scale, [v]
        for product in factors:
            powers.append(powers[-1] - product(powers[-1]) / scale)
        if self.coins[4]:
            return self.total(powers) / scale
        return self.total(power / scale for power in powers)

    def lower(self, x: Any, y: Any, pi: Any, xi: Any = None) -> Any:
        """∇_y G, and a leak where there is to be one."""
        gradient = self.p.grad_y_lower(x, y, pi)
        return gradient + self.p.grad_y_upper(x, y, xi) if self.wrong == "leak" else gradient

    # --- moving averages and a linear system ---------------------------------------------------

    def step_slip(self, sample: Any) -> None:
        """SLIP and BO-REP, which differ in the number of rows alone."""
        self._averaged(sample, normalised=True)

    step_borep = step_slip

    def step_masoba(self, sample: Any) -> None:
        """MA-SOBA: x moves with the old average."""
        self._averaged(sample, normalised=False)

    def _averaged(self, sample: Any, normalised: bool) -> None:
        a, p, now = self.a, self.p, self.now
        x, y, z, m = (now[name] for name in ("x", "y", "z", "momentum"))
        nu, beta, eta = a.linear_step_size, a.momentum, a.upper_step_size
        v, Hz = p.grad_y_upper(x, y, sample.upper_y), p.hvp_lower(x, y, z, sample.hessian)
        z_next = (z - nu * Hz) + nu * v if self.coins[5] else z + nu * (v - Hz)
        d = self.difference(
            p.grad_x_upper(x, y, sample.upper), p.cross_lower(x, y, z, sample.cross)
        )
        m_next = m + (1 - beta) * (d - m) if self.coins[6] else (1 - beta) * d + beta * m
        y_next, total = np.array(y), 0.0 * y
        for pi in rows_of(sample.lower):
            gradient = self.lower(x, y_next, pi, sample.upper_y)
            total = total + gradient if self.wrong == "no zeroing" else gradient
            self.descend(y_next, total, a.lower_step_size)
        x_next = self.moved(x, m_next, eta) if normalised else x - eta * m
        now.update(x=x_next, y=y_next, z=z_next, momentum=m_next)

    # --- SAGA ---------------------------------------------------------------------------------

    def step_saba(self, sample: Any) -> None:
        """Five tables of rows, written to in place."""
        a, p, now = self.a, self.p, self.now
        x, y, z = now["x"], now["y"], now["z"]
        (at_i,) = rows_of(sample.lower)
        at_j = sample.upper
        i, j = int(at_i["index"][0]), int(at_j["index"][0])
        new = {
            "grad_y_lower": (i, self.lower(x, y, at_i, at_j)),
            "hvp_lower": (i, p.hvp_lower(x, y, z, at_i)),
            "cross_lower": (i, p.cross_lower(x, y, z, at_i)),
            "grad_y_upper": (j, p.grad_y_upper(x, y, at_j)),
            "grad_x_upper": (j, p.grad_x_upper(x, y, at_j)),
        }
        e = {name: self._saga(f"tables.{name}", *pair) for name, pair in new.items()}
        now["x"] = x - a.upper_step_size * self.difference(e["grad_x_upper"], e["cross_lower"])
        now["y"] = y - a.lower_step_size * e["grad_y_lower"]
        now["z"] = z + a.linear_step_size * (e["grad_y_upper"] - e["hvp_lower"])

    def _saga(self, name: str, index: int, new: Any) -> Any:
        stored, mean = self.now[f"{name}.stored"], self.now[f"{name}.mean"]
        other = index
        if self.wrong == "another index":
            other = (index + 1) % len(stored)
        estimate = mean + (new - stored[other])
        change = (new - stored[index]) / len(stored)
        stored[index] = new
        if self.coins[5]:
            self.now[f"{name}.mean"] = self.total(list(stored)) / len(stored)
        else:
            self.now[f"{name}.mean"] = mean + change
        return estimate

    # --- recursive momentum -------------------------------------------------------------------

    def step_sustain(self, sample: Any) -> None:
        """Both recursions written out."""
        a, now, w = self.a, self.now, self.a.offset
        (pi,) = rows_of(sample.lower)
        new, old = (now["x"], now["y"]), (now["x_previous"], now["y_previous"])
        other = sample
        if self.wrong == "another q":
            q = np.array([self.draw.randrange(a.neumann_terms)])
            other = sample._replace(power={"power": q})
        u, m = now["lower_momentum"], now["momentum"]
        if self.wrong == "two old":
            u, m = self.kept.get("u", u), self.kept.get("m", m)
            self.kept = {"u": now["lower_momentum"], "m": now["momentum"]}
        shrink = (w + self.t - 1) ** (-2 / 3)
        below = [self.lower(*point, pi, sample.upper) for point in (new, old)]
        above = [self._drawn(*new, sample), self._drawn(*old, other)]
        u = self._recursive(*below, u, 1 - a.lower_averaging * shrink)
        m = self._recursive(*above, m, 1 - a.upper_averaging * shrink)
        size = (w + self.t) ** (-1 / 3)
        now.update(x_previous=now["x"], y_previous=now["y"], lower_momentum=u, momentum=m)
        now["x"] = now["x"] - a.upper_step_size * size * m
        now["y"] = now["y"] - (a.lower_step_size * size) * u
        if self.wrong == "old is new":
            now.update(x_previous=now["x"], y_previous=now["y"])

    def _recursive(self, new: Any, old: Any, m: Any, decay: float) -> Any:
        if self.coins[6]:
            return self.total([new, decay * m, -decay * old])
        return new + decay * (m - old)

    def _drawn(self, x: Any, y: Any, sample: Any) -> Any:
        a, p = self.a, self.p
        power = p.grad_y_upper(x, y, sample.upper)
        if self.coins[4]:
            power = a.neumann_terms * power / a.neumann_scale
        for zeta in list(rows_of(sample.hessian))[: int(sample.power["power"][0])]:
            power = power - p.hvp_lower(x, y, power / a.neumann_scale, zeta)
        if not self.coins[4]:
            power = a.neumann_terms * power / a.neumann_scale
        cross = p.cross_lower(x, y, power, sample.cross)
        return self.difference(p.grad_x_upper(x, y, sample.upper), cross)

    # --- SPIDER -------------------------------------------------------------------------------

    def step_vrbo(self, sample: Any) -> None:
        """Differences sample by sample."""
        a, now = self.a, self.now
        x, y, u, v = (now[name] for name in ("x", "y", "lower_estimate", "estimate"))
        if len(next(iter(sample.large.upper.values()))):
            u, v = self._estimates((x, y), sample.large)
        x_next, total = x - a.upper_step_size * v, 0.0 * u
        old, new = (x_next if self.wrong == "blind" else x, y), (x_next, np.array(y))
        for index in range(a.lower_steps + 1):
            batch = one_row(sample.inner, index)
            at_new, at_old = self._estimates(new, batch), self._estimates(old, batch)
            u, v = (e + (n - o) for e, n, o in zip((u, v), at_new, at_old, strict=True))
            total = total + u if self.wrong == "no zeroing" else u
            old, new = new, (x_next, new[1] - a.lower_step_size * total)
        now.update(x=x_next, y=old[1], lower_estimate=u, estimate=v)

    def _estimates(self, point: Any, batch: Any) -> tuple[Any, Any]:
        """Means of ∇_y G and h over a batch."""
        x, y = point
        below, above = [], []
        for s in range(len(next(iter(batch.upper.values())))):
            xi, zeta0, pi = (
                {key: leaf[s] for key, leaf in part.items()}
                for part in (batch.upper, batch.cross, batch.lower)
            )
            zetas = [
                {key: leaf[s] for key, leaf in zeta.items()} for zeta in rows_of(batch.hessian)
            ]
            products = [
                lambda power, zeta=zeta: self.p.hvp_lower(x, y, power, zeta)  # type: ignore[misc]
                for zeta in zetas
            ]
            inverse = self.chained(x, y, self.p.grad_y_upper(x, y, xi), products)
            cross = self.p.cross_lower(x, y, inverse, zeta0)
            above.append(self.difference(self.p.grad_x_upper(x, y, xi), cross))
            below.append(self.lower(x, y, pi, xi))
        return self.total(below) / len(below), self.total(above) / len(above)

    # --- plain samples ------------------------------------------------------------------------

    def step_ttsa(self, sample: Any) -> None:
        """y first, x at the new y."""
        a, now, t = self.a, self.now, self.a.offset + self.t
        (pi,) = rows_of(sample.lower)
        gradient = self.lower(now["x"], now["y"], pi, sample.upper)
        self.descend(now["y"], gradient, a.lower_step_size * t**-0.4)
        if self.wrong == "two steps":  # in no catalogue
            self.descend(now["y"], gradient, a.lower_step_size * t**-0.4)
        now["x"] = now["x"] - a.upper_step_size * t**-0.6 * self._drawn(now["x"], now["y"], sample)

    def step_stocbio(self, sample: Any) -> None:
        """D steps, then a series of means."""
        a, p, now = self.a, self.p, self.now
        x, y, total = now["x"], now["y"], 0.0 * now["y"]
        for batch in rows_of(sample.lower):
            gradient = self.mean(lambda pi: p.grad_y_lower(x, y, pi), batch)
            if self.wrong == "leak":
                gradient = gradient + self.mean(lambda xi: p.grad_y_upper(x, y, xi), sample.upper)
            total = total + gradient if self.wrong == "no zeroing" else gradient
            self.descend(y, total, a.lower_step_size)
        products = [
            lambda power, batch=batch: self.mean(  # type: ignore[misc]
                lambda zeta: p.hvp_lower(x, y, power, zeta), batch
            )
            for batch in rows_of(sample.hessian)
        ]
        v = self.mean(lambda xi: p.grad_y_upper(x, y, xi), sample.upper)
        z = self.chained(x, y, v, products)
        cross = self.mean(lambda zeta: p.cross_lower(x, y, z, zeta), sample.cross)
        direct = self.mean(lambda xi: p.grad_x_upper(x, y, xi), sample.upper)
        now["x"] = x - a.upper_step_size * self.difference(direct, cross)


def rows_of(part: Any) -> Iterable[Any]:
    """The rows of a part of a sample."""
    for index in range(len(next(iter(part.values())))):
        yield {key: leaf[index] for key, leaf in part.items()}


def one_row(sample: Any, index: int) -> Any:
    """Row ``index`` of every part of a NamedTuple."""
    parts = ({key: leaf[index] for key, leaf in part.items()} for part in sample)
    return type(sample)(*parts)


# --- as the oracle takes it ---------------------------------------------------------------------


def factory(method: str, seed: int, wrong: str = "") -> Any:
    """The factory of one arrangement, or of one mistake in it; replicates one after the other."""

    class Implementation:
        algorithm, batched = method, True

        def __init__(self, problem: Any, a: Any, state: Any) -> None:
            fields = flat(state)
            self.shape = fields["x"].shape[:-1]
            t = state.iteration
            self.runs = [
                Hand(problem, a, {k: v[r] for k, v in fields.items()}, t, seed + number, wrong)
                for number, r in enumerate(np.ndindex(self.shape))
            ]

        def step(self, sample: Any) -> None:
            for r, run in zip(np.ndindex(self.shape), self.runs, strict=True):
                getattr(run, f"step_{method.lower()}")(one_replicate(sample, r))
                run.t += 1

        def state(self) -> Arrays:
            first = self.runs[0].now
            stacked = {k: np.stack([run.now[k] for run in self.runs]) for k in first}
            return {k: v.reshape(*self.shape, *v.shape[1:]) for k, v in stacked.items()}

    return Implementation


def flat(state: Any, before: str = "") -> Arrays:
    """The arrays of a state by dotted name."""
    found: Arrays = {}
    for name, value in state._asdict().items():
        if hasattr(value, "_asdict"):
            found |= flat(value, f"{before}{name}.")
        elif name != "iteration":
            found[before + name] = value
    return found


def one_replicate(sample: Any, r: tuple[int, ...]) -> Any:
    """A sample without its axes of replicates, which stand in front of the last."""
    if isinstance(sample, dict):
        return {key: leaf[(..., *r, slice(None))] for key, leaf in sample.items()}
    return type(sample)(*(one_replicate(part, r) for part in sample))
