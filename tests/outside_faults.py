"""Faults that the catalogue does not have, as changes of a program written apart from AccBO.

``Stranger`` is AccBO once more, from SPEC 2 alone: it shares the derivatives and the layout of
the samples with the package, and nothing else. A fault overrides one of its rules; many act
only now and then, in one sampling, or by a percent or two. ``FAULTS`` says which of them there
are, and ``tests/test_outside_faults.py`` what sees each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accbo.algorithms import AccBOState

Part = dict[str, np.ndarray]


def rows(part: Part) -> list[Part]:
    """One sample a row of a leading axis."""
    count = next(iter(part.values())).shape[0]
    return [{name: leaf[row] for name, leaf in part.items()} for row in range(count)]


@dataclass(frozen=True)
class Stranger:
    """AccBO by another hand; ``algorithm`` gives the declared numbers and the layouts."""

    algorithm: Any
    memory: dict[str, Any] = field(default_factory=dict, compare=False)  # of faults that have one

    def __getattr__(self, name: str) -> Any:
        return getattr(self.algorithm, name)

    # --- the numbers at iteration t ---------------------------------------------------------

    def alpha(self, t: int) -> float:
        return self.algorithm.lower_step_size

    def gamma(self, t: int) -> float:
        return self.algorithm.lower_momentum

    def tau(self, t: int) -> float:
        return self.algorithm.averaging

    def beta(self, t: int) -> float:
        return self.algorithm.momentum

    def eta(self, t: int) -> float:
        return self.algorithm.upper_step_size

    def terms(self, t: int) -> int:
        return self.algorithm.neumann_terms

    def scale(self, t: int) -> float:
        return self.algorithm.neumann_scale

    def steps(self) -> int:
        """N of Option II."""
        return self.algorithm.lower_steps

    # --- the rules --------------------------------------------------------------------------

    def inverse(self, p: Any, x: Any, y: Any, v: Any, sample: Any, t: int) -> Any:
        """S v."""
        terms, scale, sampling = self.terms(t), self.scale(t), self.algorithm.neumann_sampling
        samples = rows(sample.hessian)

        def factor(u: Any, row: int) -> Any:
            return u - p.hvp_lower(x, y, u, samples[row]) / scale

        if sampling == "chained":
            running = [v]
            for q in range(1, terms):
                running.append(factor(running[-1], q - 1))
            return sum(running) / scale
        if sampling == "independent":
            # factor j of term q is row (j − 1)(2Q − j)/2 + q − j, Q as declared
            declared, found = self.algorithm.neumann_terms, v
            for q in range(1, terms):
                u = v
                for j in range(1, q + 1):
                    u = factor(u, (j - 1) * (2 * declared - j) // 2 + q - j)
                found = found + u
            return found / scale
        u = v
        for j in range(1, terms):
            u = np.where(sample.power["power"] >= j, factor(u, j - 1), u)
        return self.random_factor(t) * u / scale

    def random_factor(self, t: int) -> float:
        return self.algorithm.neumann_terms

    def h(self, p: Any, x: Any, y: Any, sample: Any, t: int) -> Any:
        """The estimate of the hypergradient."""
        v = p.grad_y_upper(x, y, sample.upper)
        implicit = p.cross_lower(x, y, self.inverse(p, x, y, v, sample, t), sample.cross)
        return p.grad_x_upper(x, y, sample.upper) - implicit

    def moved(self, x: Any, m: Any, t: int) -> Any:
        """The upper step."""
        largest = np.max(np.abs(m), axis=-1, keepdims=True)
        scaled = m / np.where(largest > 0, largest, 1.0)
        length = np.sqrt(np.sum(scaled**2, axis=-1, keepdims=True))
        return x - self.eta(t) * (scaled / np.where(largest > 0, length, 1.0))

    def recursed(self, p: Any, new: Any, old: Any, m: Any, sample: Any, t: int) -> Any:
        """m_t from m_{t−1}."""
        return self.h(p, *new, sample, t) + self.beta(t) * (m - self.h(p, *old, sample, t))

    def lowered(self, p: Any, x: Any, y: Any, before: Any, pi: Part, t: int) -> Any:
        """One lower step."""
        z = y + self.gamma(t) * (y - before)
        return z - self.alpha(t) * p.grad_y_lower(x, z, pi)

    def below(self, p: Any, x: Any, state: Any, samples: Part, t: int) -> Any:
        """y_{t+1}."""
        y, before = state.y, state.y_previous
        if self.algorithm.period is not None:
            y, before = self.restart(state), self.restart(state)
        for pi in rows(samples)[: self.steps()]:
            y, before = self.lowered(p, x, y, before, pi, t), y
        return y

    def restart(self, state: Any) -> Any:
        """Where Option II begins a refresh."""
        return state.y

    def averaged(self, average: Any, y: Any, t: int) -> Any:
        """ŷ_{t+1}."""
        return (1 - self.tau(t)) * average + self.tau(t) * y

    def first_momentum(self, p: Any, x: Any, y: Any, first: Any) -> Any:
        """m_0."""
        parts = {name: rows(getattr(first, name)) for name in ("upper", "cross", "hessian")}
        powers = rows(first.power) if first.power else [{}] * len(parts["upper"])
        found = [
            self.h(p, x, y, first._replace(upper=u, cross=c, hessian=z, power=q, lower={}), 0)
            for u, c, z, q in zip(
                parts["upper"], parts["cross"], parts["hessian"], powers, strict=True
            )
        ]
        return sum(found) / len(found)

    # --- the algorithm ----------------------------------------------------------------------

    def init(self, p: Any, x: Any, y: Any, start: Any) -> AccBOState:
        before = y
        for pi in rows(start.warm_start):
            y, before = self.lowered(p, x, y, before, pi, 0), y
        zero = AccBOState(x, x, y, y, y, y, 0 * x, 0)
        after = self.below(p, x, zero, start.first.lower, 0)
        average = self.averaged(y, after, 0)
        point = average if self.algorithm.order == "sequential" else y
        m = self.first_momentum(p, x, point, start.first)
        return AccBOState(self.moved(x, m, 0), x, after, y, average, y, m, 1)

    def step(self, p: Any, state: Any, sample: Any) -> AccBOState:
        t, x = state.iteration, state.x
        sample = self.taken(sample, t)
        after = self.below(p, self.lower_point(state), state, sample.lower, t)
        average = self.averaged(state.y_average, after, t)
        new, old = (x, state.y_average), (state.x_previous, state.y_average_previous)
        if self.algorithm.order == "sequential":
            new, old = (x, average), (state.x_previous, state.y_average)
        m = self.recursed(p, new, old, state.momentum, sample, t)
        return AccBOState(
            self.moved(x, m, t), x, after, state.y, average, state.y_average, m, t + 1
        )

    def taken(self, sample: Any, t: int) -> Any:
        """The sample of iteration t."""
        return sample

    def lower_point(self, state: Any) -> Any:
        """The x of the lower step."""
        return state.x


# --- the faults ---------------------------------------------------------------------------------

FAULTS: dict[str, type[Stranger]] = {}


def fault(cls: type[Stranger]) -> type[Stranger]:
    """Enter a fault under the name that its docstring begins with."""
    FAULTS[str(cls.__doc__).split(":")[0]] = cls
    return cls


def single(value: Any) -> Any:
    """Through float32 and back."""
    return value.astype(np.float32).astype(np.float64)


# the momentum


@fault
class NoCorrection200(Stranger):
    """no_correction_200: every 200th iteration a moving average."""

    def recursed(self, p, new, old, m, sample, t):
        if t % 200 == 0:
            return (1 - self.beta(t)) * self.h(p, *new, sample, t) + self.beta(t) * m
        return super().recursed(p, new, old, m, sample, t)


@fault
class NoCorrectionInOne(Stranger):
    """no_correction_in_one: a moving average in sequential order, Option II, randomised."""

    def recursed(self, p, new, old, m, sample, t):
        a = self.algorithm
        if (a.order, a.neumann_sampling) == ("sequential", "randomised") and a.period:
            return (1 - self.beta(t)) * self.h(p, *new, sample, t) + self.beta(t) * m
        return super().recursed(p, new, old, m, sample, t)


@fault
class Omb105(Stranger):
    """omb_105: 1 − β is 5 % too large."""

    def beta(self, t):
        return 1 - 1.05 * (1 - self.algorithm.momentum)


@fault
class OmbDouble(Stranger):
    """omb_double: 1 − β is twice as large where β > 0.95."""

    def beta(self, t):
        beta = self.algorithm.momentum
        return 1 - 2 * (1 - beta) if beta > 0.95 else beta


@fault
class BetaSquared(Stranger):
    """beta_squared: β² above 0.98."""

    def beta(self, t):
        beta = self.algorithm.momentum
        return beta**2 if beta > 0.98 else beta


@fault
class BetaCap99(Stranger):
    """beta_cap_99: β at most 0.99."""

    def beta(self, t):
        return min(self.algorithm.momentum, 0.99)


@fault
class Beta99(Stranger):
    """beta_99: β·0.99."""

    def beta(self, t):
        return 0.99 * self.algorithm.momentum


@fault
class Corr999(Stranger):
    """corr_999: 0.999 of the correction."""

    def recursed(self, p, new, old, m, sample, t):
        beta, right = self.beta(t), super().recursed(p, new, old, m, sample, t)
        return right + 0.001 * beta * self.h(p, *old, sample, t)


@fault
class Reuse10(Stranger):
    """reuse_10: the sample of h is used again in every 10th iteration."""

    def taken(self, sample, t):
        if t % 10 == 0:
            return self.memory["last"]._replace(lower=sample.lower)
        self.memory["last"] = sample
        return sample


@fault
class M0Scaled(Stranger):
    """m0_scaled: m_0 is 2 % long."""

    def first_momentum(self, p, x, y, first):
        return 1.02 * super().first_momentum(p, x, y, first)


# the hypergradient


@fault
class CrossDropped100(Stranger):
    """cross_dropped_100: the implicit term is left out in every 100th iteration."""

    def h(self, p, x, y, sample, t):
        if t and t % 100 == 0:
            return p.grad_x_upper(x, y, sample.upper)
        return super().h(p, x, y, sample, t)


@fault
class RandomQm1(Stranger):
    """random_Qm1: the randomised series with factor Q − 1 for Q ≥ 6."""

    def random_factor(self, t):
        terms = self.algorithm.neumann_terms
        return terms - 1 if terms >= 6 else terms


@fault
class Series1001(Stranger):
    """series_1001: 0.1 % of the series."""

    def inverse(self, *arguments):
        return 1.001 * super().inverse(*arguments)


@fault
class L101(Stranger):
    """l_101: l is 1 % too large."""

    def scale(self, t):
        return 1.01 * self.algorithm.neumann_scale


@fault
class BigQCap(Stranger):
    """big_Q_cap: five terms at most."""

    def terms(self, t):
        return min(self.algorithm.neumann_terms, 5)


@fault
class SharedLast(Stranger):
    """shared_last: the last two factors share a sample."""

    def inverse(self, p, x, y, v, sample, t):
        shared = {
            name: np.concatenate((leaf[:-1], leaf[-2:-1])) for name, leaf in sample.hessian.items()
        }
        return super().inverse(p, x, y, v, sample._replace(hessian=shared), t)


@fault
class RandomSameQ(Stranger):
    """random_same_q: every replicate takes the q of the first."""

    def inverse(self, p, x, y, v, sample, t):
        power = {name: leaf[..., :1, :] + 0 * leaf for name, leaf in sample.power.items()}
        return super().inverse(p, x, y, v, sample._replace(power=power), t)


@fault
class HBias(Stranger):
    """h_bias: 0.003 is added to h."""

    def h(self, *arguments):
        return super().h(*arguments) + 0.003


@fault
class GradyNoNoise(Stranger):
    """grady_no_noise: ∇_y F without its noise."""

    def h(self, p, x, y, sample, t):
        inverse = self.inverse(p, x, y, p.grad_y_upper(x, y), sample, t)
        return p.grad_x_upper(x, y, sample.upper) - p.cross_lower(x, y, inverse, sample.cross)


@fault
class CrossNoNoise(Stranger):
    """cross_no_noise: ∇²_xy G without its noise."""

    def h(self, p, x, y, sample, t):
        return super().h(p, x, y, sample._replace(cross=None), t)


@fault
class GradxY0(Stranger):
    """gradx_y0: ∇_x F at y = 0."""

    def h(self, p, x, y, sample, t):
        right = super().h(p, x, y, sample, t)
        moved = p.grad_x_upper(x, 0 * y, sample.upper) - p.grad_x_upper(x, y, sample.upper)
        return right + moved


@fault
class GradyX0(Stranger):
    """grady_x0: ∇_y F at x = 0."""

    def h(self, p, x, y, sample, t):
        inverse = self.inverse(p, x, y, p.grad_y_upper(0 * x, y, sample.upper), sample, t)
        return p.grad_x_upper(x, y, sample.upper) - p.cross_lower(x, y, inverse, sample.cross)


@fault
class HessY0(Stranger):
    """hess_y0: ∇²_yy G at y = 0."""

    def inverse(self, p, x, y, v, sample, t):
        return super().inverse(p, x, 0 * y, v, sample, t)


@fault
class CrossX0(Stranger):
    """cross_x0: ∇²_xy G at x = 0."""

    def h(self, p, x, y, sample, t):
        v = p.grad_y_upper(x, y, sample.upper)
        implicit = p.cross_lower(0 * x, y, self.inverse(p, x, y, v, sample, t), sample.cross)
        return p.grad_x_upper(x, y, sample.upper) - implicit


@fault
class F32H(Stranger):
    """f32_h: h in single precision."""

    def h(self, *arguments):
        return single(super().h(*arguments))


# the upper step


@fault
class Eta102(Stranger):
    """eta_102: steps 2 % long."""

    def eta(self, t):
        return 1.02 * self.algorithm.upper_step_size


@fault
class EtaDecaySlow(Stranger):
    """eta_decay_slow: η/(1 + t/1000)."""

    def eta(self, t):
        return self.algorithm.upper_step_size / (1 + t / 1000)


@fault
class SkipUpper200(Stranger):
    """skip_upper_200: x stays where it is in every 200th iteration."""

    def moved(self, x, m, t):
        return x if t and t % 200 == 0 else super().moved(x, m, t)


@fault
class Clipped(Stranger):
    """clipped: m/max(‖m‖, 1)."""

    def moved(self, x, m, t):
        length = np.linalg.norm(m, axis=-1, keepdims=True)
        return x - self.eta(t) * m / np.maximum(length, 1.0)


# the lower level


@fault
class HeavyBall(Stranger):
    """heavy_ball: the gradient at y."""

    def lowered(self, p, x, y, before, pi, t):
        z = y + self.gamma(t) * (y - before)
        return z - self.alpha(t) * p.grad_y_lower(x, y, pi)


@fault
class CurvatureAtY(Stranger):
    """curvature_at_y: the noise of the gradient at y, its mean at z."""

    def lowered(self, p, x, y, before, pi, t):
        z = y + self.gamma(t) * (y - before)
        noise = p.grad_y_lower(x, y, pi) - p.grad_y_lower(x, y)
        return z - self.alpha(t) * (p.grad_y_lower(x, z) + noise)


@fault
class Alpha101(Stranger):
    """alpha_101: α is 1 % long."""

    def alpha(self, t):
        return 1.01 * self.algorithm.lower_step_size


@fault
class Gamma98(Stranger):
    """gamma_98: 0.98 γ."""

    def gamma(self, t):
        return 0.98 * self.algorithm.lower_momentum


@fault
class SnagReset(Stranger):
    """snag_reset: no momentum in every 25th iteration."""

    def gamma(self, t):
        return 0.0 if t % 25 == 0 else self.algorithm.lower_momentum


@fault
class LateGamma0(Stranger):
    """late_gamma0: no momentum from t = 200."""

    def gamma(self, t):
        return 0.0 if t >= 200 else self.algorithm.lower_momentum


@fault
class Tau102(Stranger):
    """tau_102: τ(1.02 − 0.02τ)."""

    def tau(self, t):
        tau = self.algorithm.averaging
        return tau * (1.02 - 0.02 * tau)


@fault
class AvgWarmup(Stranger):
    """avg_warmup: the plain mean at first, τ_t = max(τ, 1/(t + 1))."""

    def tau(self, t):
        return max(self.algorithm.averaging, 1 / (t + 1))


@fault
class RestartAverage(Stranger):
    """restart_average: Option II restarts from ŷ."""

    def restart(self, state):
        return state.y_average


@fault
class Opt2NMinus1(Stranger):
    """opt2_n_minus_1: Option II takes one step too few."""

    def steps(self):
        return self.algorithm.lower_steps - (self.algorithm.period is not None)


@fault
class LowerXOld(Stranger):
    """lower_x_old: the lower step at x_{t−1}."""

    def lower_point(self, state):
        return state.x_previous


@fault
class LowerNoise95(Stranger):
    """lower_noise_95: 95 % of the lower noise."""

    def taken(self, sample, t):
        kept = {k: v if v.dtype.kind == "i" else 0.95 * v for k, v in sample.lower.items()}
        return sample._replace(lower=kept)


@fault
class F32Y(Stranger):
    """f32_y: y in single precision."""

    def lowered(self, *arguments):
        return single(super().lowered(*arguments))


@fault
class F32Avg(Stranger):
    """f32_avg: ŷ in single precision."""

    def averaged(self, *arguments):
        return single(super().averaged(*arguments))


# the start


@fault
class AverageFromInit(Stranger):
    """average_from_init: ŷ_0 = y_init, before the warm start."""

    def init(self, p, x, y, start):
        state = super().init(p, x, y, start)
        average = self.averaged(y, state.y, 0)
        return state._replace(y_average=average)


@fault
class WarmMomentumKept(Stranger):
    """warm_momentum_kept: iteration 0 goes on from the warm start's pair."""

    def init(self, p, x, y, start):
        state, before = super().init(p, x, y, start), y
        for pi in rows(start.warm_start):
            y, before = self.lowered(p, x, y, before, pi, 0), y
        if self.algorithm.period is not None:
            return state
        (pi,) = rows(start.first.lower)
        after = self.lowered(p, x, y, before, pi, 0)
        return state._replace(y=after, y_average=self.averaged(y, after, 0))
