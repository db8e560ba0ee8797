"""Relaxed smoothness at a finite radius: of f as declared, of Φ as it follows (SPEC §1).

Claim       ‖∇_x f(z) − ∇_x f(z')‖ ≤ (L_x0 + L_x1 ‖∇_x f(z)‖)‖z − z'‖ for ‖z − z'‖ within the
            radius, the same in y; ∇Φ has the property with the K0, K1 and the radius that follow
            from f's constants and g's. So Φ lies within ½ (K0 + K1 ‖∇Φ(x)‖)‖x' − x‖² of its
            linearisation at x, which is what every proof of a rate starts from.
Regime      the shipped problems with their own constants, derivatives and values; without
            noise m_0, as AccBO's own ``init`` returns it after a warm start from y = 0, is
            ∇Φ up to the known bias of the series and of the warm start, which is granted.
Statistic   the largest ratio of the left side to the right one over all pairs, by an optimiser
            from many starts (``adversary``); rounding is taken off the left side beforehand, so
            that no pair is held against the claim for cancelled digits. For Φ with ∇Φ in closed
            form, with m_0, and for the linearisation by m_0 against values of Φ.
Rule        at most 1. Where the supremum is known, at least 99.9 % of it too: 1 for f; less for
            Φ under cosh alone; C/√(1 + C²) for m_0's bias where d = 1; √2 (e^(1/√2) − 1) = 1.454
            for cosh with the constants (1, a) of its Hessian, which therefore do not hold at a
            finite radius: what the search can see.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO, Constants, Tape, move
from accbo._arrays import asarray, to_host
from accbo.problems import nonquadratic, quadratic, relaxed_smooth

from .adversary import Effort, Ratio, Space, search
from .backends import like
from .harness import Outcome, Piece, Settings
from .panels import Curve, Panel
from .statistics import Finding, at_most, between

NAME = "smoothness"
CLAIM = "f and Φ are relaxed smooth with the problems' constants; noise-free m_0 linearises Φ"
IN_WORDS = "f and Φ are as smooth as their constants say"
NOT_SHOWN = "that no pair is worse: it searches for the worst"
SOURCE = "SPEC §1"
EFFECT = "f's constants 0.2 % too small: ratio 1.001; m_0 off ∇Φ by twice its known bias: ratio 2"
KILLS = (
    "γ as 1−γ",
    "no warm start",
    "series from q = 1",
    "one term too few",
    "one term too many",
    "1/l missing",
    "random term without Q",
    "sign of the implicit term",
    "cross derivative at the wrong point",
)
DESIGNATED = "cross derivative at the wrong point"
VARIATIONS = ()

EFFORT = {"quick": Effort(1024, 8, 60), "full": Effort(8192, 24, 200)}
ATTAINED = 0.999  # of a known supremum, which the search must come to
ROUNDING = 256 * 2.0**-53  # relative, of a gradient or value: see ``gradient_error``
SERIES, WARM_START = 1e-6, 1e-10  # what they leave, relative: far above and below rounding
SCALE = 1.3  # l over the largest curvature, so that l is neither 1 nor that
WALL = 16.0  # a·|x| up to which cosh is searched: e^−16 is far below 1 − ATTAINED
REACH = 20.0  # of |x| and |y| where nothing grows exponentially
COUPLING, SLOW = 30.0, 0.05  # C ≫ 1 and a ≪ 1 leave Φ's K0 little room: that of the proof
ALONG = 41  # points of a picture


class Instance(NamedTuple):
    """A problem, how far |x_i|, |y_j| are searched, and suprema where they are known."""

    problem: Any
    reach: float
    suprema: dict[str, float]


class Claim(NamedTuple):
    """A statement about pairs of a space: ``ratio`` is at most 1, or has a known supremum."""

    ratio: Ratio
    space: Space


# --- what is claimed of what --------------------------------------------------------------

ABOVE = ("f in x", "f in y")  # in (x, y), by the problem's code alone
BELOW = ("∇Φ", "m_0", "line by m_0", "m_0 off ∇Φ")  # in x
HESSIAN_FORM = "f in x, Hessian constants"
NO_BIAS = ("m_0 off ∇Φ", "cosh alone")  # without coupling both are ∇_x f


@functools.cache
def instances(profile: str) -> dict[str, Instance]:
    """The problems by name."""
    f_is_tight = {"f in x": 1.0, "f in y": 1.0}
    alone = relaxed_smooth((1.0,), 1, coupling=0.0, ripple=0.0)
    constants = alone.constants
    # far out cosh is e^x and K0 negligible: (e^d − 1)/(K1 d), and its integral for the line
    d, root = constants.radius, 1 / math.sqrt(2)
    gradient = math.expm1(d) / (d * constants.K1)
    line = 2 * (math.expm1(d) - d) / (d**2 * constants.K1)
    coupled = relaxed_smooth((1.0,), 1, coupling=np.array([[COUPLING]]), rate=SLOW, ripple=0.0)
    found = {
        "cosh with ripples": Instance(relaxed_smooth(), WALL, f_is_tight),
        "cosh alone": Instance(
            alone,
            WALL,
            {
                **f_is_tight,
                "∇Φ": gradient,
                "m_0": gradient,
                "line by m_0": line,
                HESSIAN_FORM: math.expm1(root) / root,
            },
        ),
        "strong coupling": Instance(
            coupled,
            WALL / SLOW,
            {**f_is_tight, "m_0 off ∇Φ": COUPLING / math.hypot(1, COUPLING)},
        ),
        "log cosh below": Instance(nonquadratic(), REACH, f_is_tight),
        "quadratic": Instance(
            quadratic(), REACH, {**f_is_tight, "∇Φ": 1.0, "m_0": 1.0, "line by m_0": 1.0}
        ),
    }
    if profile == "full":
        found["cosh, d = 4"] = Instance(
            relaxed_smooth((0.4, 1.0, 2.0), 4, rate=0.7, ripple=0.3), WALL / 0.7, f_is_tight
        )
        found["log cosh below, d = 4"] = Instance(
            nonquadratic((0.5, 1.0, 1.5), 4, strength=1.0, shift=0.7), REACH, f_is_tight
        )
    return found


def pieces(settings: Settings) -> list[Piece]:
    """One search per statement and problem."""
    found: list[tuple[Any, ...]] = [
        (statement, name)
        for statement in (*ABOVE, *BELOW)
        for name in instances(settings.profile)
        if (statement, name) != NO_BIAS
    ]
    return [Piece(NAME, key, 0.3) for key in (*found, (HESSIAN_FORM, "cosh alone"))]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """The worst pair of one statement, and the ratio along the line through it."""
    statement, name = piece.key
    claim = _claim(settings, statement, instances(settings.profile)[name])
    with np.errstate(all="ignore"):  # a faulty map may overflow; its ratio is then infinite
        found = search(claim.ratio, claim.space, EFFORT[settings.profile], settings.seed)
        lengths = np.geomspace(claim.space.nearest, claim.space.farthest, ALONG)
        offset = found.second - found.first
        unit = offset / np.linalg.norm(offset)
        along = claim.ratio(np.tile(found.first, (ALONG, 1)), found.first + lengths[:, None] * unit)
    return {
        "ratio": np.array(found.ratio),
        "tried": np.array(found.tried),
        "climbs": found.climbs,
        "pair": np.array([found.first, found.second]),
        "lengths": lengths / claim.space.farthest,
        "along": along,
    }


def _claim(settings: Settings, statement: str, instance: Instance) -> Claim:
    problem, constants = instance.problem, instance.problem.constants
    if statement in BELOW:
        estimate = Estimate(settings, problem)
        space = Space(problem.d_x, instance.reach, constants.radius)
        return Claim(_below(statement, estimate, constants), space)
    both, here = problem.d_x + problem.d_y, like(settings.backend)
    moved = move(problem, here)
    of_x, of_y = (constants.L_x0, constants.L_x1), (constants.L_y0, constants.L_y1)
    radius = upper_radius(of_x[1], of_y[1])
    if statement == HESSIAN_FORM:
        of_x, radius = (1.0, problem.rate), upper_radius(problem.rate, of_y[1])
    gradient = moved.grad_y_upper if statement == "f in y" else moved.grad_x_upper

    def at(z: np.ndarray) -> np.ndarray:
        x, y = asarray(z[:, : problem.d_x], here), asarray(z[:, problem.d_x :], here)
        return to_host(gradient(x, y))

    size = of_y if statement == "f in y" else of_x
    return Claim(relaxed(at, *size), Space(both, instance.reach, radius))


def upper_radius(L_x1: float, L_y1: float) -> float:
    """How far apart z and z' may be for f's property to be claimed; may be infinite."""
    both = L_x1**2 + L_y1**2
    return math.inf if both == 0 else 1 / math.sqrt(2 * both)


# --- the ratios, with rounding taken off ---------------------------------------------------


def gradient_error(p: np.ndarray, gradient: np.ndarray, L0: float, L1: float) -> np.ndarray:
    """How far a computed gradient may be from the exact one, shape ``(n,)``.

    It is the exact one at a point off by ``ROUNDING`` relative to ‖p‖ + 1 (1 for the problem's
    own data, which are of that size), rounded once more; L0 and L1 bound what that does. A test
    compares with 50 digits.
    """
    size = _norm(gradient)
    return ROUNDING * ((L0 + L1 * size) * (_norm(p) + 1) + size)


def relaxed(
    gradient: Callable[[np.ndarray], np.ndarray],
    L0: float,
    L1: float,
    slack: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Ratio:
    """‖∇(q) − ∇(p)‖ over (L0 + L1 ‖∇(p)‖)‖q − p‖, from below; ``slack`` is granted at each."""

    def ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        here, there = gradient(p), gradient(q)
        granted = [
            gradient_error(point, value, L0, L1) + (0.0 if slack is None else slack(point))
            for point, value in ((p, here), (q, there))
        ]
        change = np.maximum(_norm(there - here) - sum(granted), 0.0)
        return change / ((L0 + L1 * (_norm(here) + granted[0])) * _norm(q - p))

    return ratio


def _below(statement: str, estimate: Estimate, constants: Constants) -> Ratio:
    K0, K1 = constants.K0, constants.K1
    if statement == "∇Φ":
        return relaxed(estimate.gradient, K0, K1)
    if statement == "m_0":
        return relaxed(estimate.momentum, K0, K1, estimate.bias)

    def granted(p: np.ndarray, m: np.ndarray) -> np.ndarray:
        return estimate.bias(p) + gradient_error(p, m, K0, K1)

    def off(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        m, gradient = estimate.momentum(p), estimate.gradient(p)
        allowed = granted(p, m) + gradient_error(p, gradient, K0, K1)
        return _norm(m - gradient) / allowed

    def line(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        m, step = estimate.momentum(p), q - p
        length, slack = _norm(step), granted(p, m)
        gap = np.abs(estimate.value(q) - estimate.value(p) - np.sum(m * step, axis=-1))
        rounding = estimate.value_error(p) + estimate.value_error(q)
        rest = np.maximum(gap - slack * length - rounding, 0.0)
        return rest / (0.5 * (K0 + K1 * (_norm(m) + slack)) * length**2)

    return line if statement == "line by m_0" else off


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


# --- AccBO's own gradient, and the truth ---------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """Q, l, T0 and the lower step that leave noise-free m_0 a small and known bias."""

    mu: float
    curvature: float

    @property
    def scale(self) -> float:
        """The scale l of the series."""
        return SCALE * self.curvature

    @property
    def terms(self) -> int:
        """Q."""
        return math.ceil(math.log(SERIES) / math.log1p(-self.mu / self.scale))

    @property
    def rate(self) -> float:
        """s = √(μα), by which the warm start's Lyapunov function falls at each step."""
        return math.sqrt(self.mu / self.curvature)

    @property
    def warm_start(self) -> int:
        """T0: distances fall as the root of that function."""
        left = 1 - self.rate
        return 1 if left <= 0 else math.ceil(2 * math.log(WARM_START) / math.log(left))

    @property
    def distance(self) -> float:
        """‖y_0 − y*‖ is at most this times ‖y_init − y*‖.

        V_0 ≤ ½ (l + μ)‖y_init − y*‖², V ≥ ½ μ‖y − y*‖², and V falls by 1 − s (SPEC 4.3).
        """
        left = max(1 - self.rate, 0.0) ** self.warm_start
        return math.sqrt((self.curvature / self.mu + 1) * left)

    @property
    def neumann(self) -> float:
        """‖H⁻¹v − S_Q v‖ is at most this times ‖v‖ (SPEC 4.1)."""
        return (1 - self.mu / self.scale) ** self.terms / self.mu

    def algorithm(self) -> AccBO:
        """AccBO whose ``init`` is asked for m_0."""
        return AccBO(
            lower_step_size=1 / self.curvature,
            lower_momentum=(1 - self.rate) / (1 + self.rate),
            averaging=0.3,
            momentum=0.9,
            upper_step_size=0.1,
            neumann_terms=self.terms,
            neumann_scale=self.scale,
        )


class Estimate:
    """Φ, ∇Φ and AccBO's noise-free m_0 at host points ``(n, d_x)``, computed on the backend."""

    def __init__(self, settings: Settings, problem: Any) -> None:
        self._here = like(settings.backend)
        self._host, self._problem = problem, move(problem, self._here)
        self._constants: Constants = problem.constants
        self.plan = Plan(self._constants.mu, self._constants.curvature)
        self._algorithm = settings.apply_fault(self.plan.algorithm())
        self._starts: dict[int, Any] = {}

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """∇Φ(x), by the problem's own code."""
        return to_host(self._problem.hypergradient(asarray(x, self._here)))

    def value(self, x: np.ndarray) -> np.ndarray:
        """Φ(x), by the problem's own code."""
        return to_host(self._problem.value(asarray(x, self._here)))

    def momentum(self, x: np.ndarray) -> np.ndarray:
        """m_0 at x, after a warm start from y = 0."""
        x_here = asarray(x, self._here)
        y = asarray(np.zeros((len(x), self._problem.d_y)), self._here)
        return to_host(self._algorithm.init(self._problem, x_here, y, self._start(x_here)).momentum)

    def bias(self, x: np.ndarray) -> np.ndarray:
        """A bound of ‖m_0 − ∇Φ(x)‖ in exact arithmetic: series, then warm start."""
        c, (y, above, v) = self._constants, self._sizes(x)
        away = self.plan.distance * y
        slope = c.L_y0 + c.L_y1 * v
        series = c.l_g1 * self.plan.neumann * (v + slope * away)
        ratio = c.l_g1 / c.mu
        moved = c.L_x0 + c.L_x1 * above + ratio * slope + v * c.l_g2 * (1 + ratio) / c.mu
        return series + moved * away

    def value_error(self, x: np.ndarray) -> np.ndarray:
        """How far a computed Φ(x) may be from the exact one: x, y* and the sum are rounded."""
        y, above, v = self._sizes(x)
        return ROUNDING * (np.abs(self.value(x)) + 1 + above * _norm(x) + v * (y + 1))

    def _sizes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """‖y*‖, ‖∇_x f‖ and ‖∇_y f‖ at (x, y*(x))."""
        y = self._host.solution(x)
        above, v = self._host.grad_x_upper(x, y), self._host.grad_y_upper(x, y)
        return _norm(y), _norm(above), _norm(v)

    def _start(self, x: Any) -> Any:
        count = x.shape[0]
        if count not in self._starts:
            layout = self._algorithm.draw_start(self._problem, self.plan.warm_start, 1)
            self._starts[count] = Tape(0).open(x).start(layout)
        return self._starts[count]


# --- decisions -----------------------------------------------------------------------------


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """At most the claim; not much less where the supremum is known."""
    return [_judge(settings, piece.key, outcomes[piece.key]) for piece in pieces(settings)]


def _judge(settings: Settings, key: tuple[Any, ...], outcome: Outcome) -> Finding:
    statement, name = key
    supremum = instances(settings.profile)[name].suprema.get(statement)
    measured = float(outcome["ratio"])
    if supremum is None:
        return at_most(f"{statement} at most, {name}", 1.0, measured)
    return between(f"{statement}, {name}", ATTAINED * supremum, supremum, measured)


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``: nothing is random but half of the starts, which can only add."""
    return 1.0


# --- pictures ------------------------------------------------------------------------------


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """The worst ratios, and how the ratio depends on the distance of the pair."""
    keys = [piece.key for piece in pieces(settings)]
    bounds = np.array([finding.predicted for finding in findings])
    tried = np.array([float(outcomes[key]["tried"]) for key in keys])
    worst = np.array([finding.measured for finding in findings])
    below = [key for key in keys if key[0] == "∇Φ"]
    loose = "; ".join(f"{key[1]}: {_loose(outcomes[key])}" for key in below)
    cosh = [("f in x", "cosh alone"), (HESSIAN_FORM, "cosh alone")]
    return [
        Panel(
            "The worst pairs found",
            "Ratio over its prediction (1, or a smaller or larger supremum that is known); no pair "
            "may lie above the line. Pairs that were tried before any climb often fall short.",
            "",
            "ratio / prediction",
            [
                Curve("prediction", [-0.5, len(keys) - 0.5], [1.0, 1.0], predicted=True),
                Curve("worst pair of the search", np.arange(len(keys)), worst / bounds),
                Curve("worst pair before it climbs", np.arange(len(keys)), tried / bounds),
            ],
            ticks=[finding.quantity for finding in findings],
        ),
        Panel(
            "How loose Φ's constants are",
            "The ratio for ∇Φ from the worst point along the worst direction; none exceeds the "
            f"claim. By what factor the constants are too large, and for which pair: {loose}.",
            "distance / largest distance searched",
            "ratio",
            [_claimed(), *(_along(key[1], outcomes[key]) for key in below)],
            log_x=True,
        ),
        Panel(
            "Hessian constants do not hold at a finite radius",
            "f in x under cosh alone, along the worst direction. The constants (1, a), which bound "
            "the Hessian, are exceeded from a short distance on; 1.3222 times them are attained.",
            "distance / radius",
            "ratio",
            [
                _claimed(),
                *(
                    _along(label, outcomes[key])
                    for key, label in zip(cosh, ("shipped constants", "(1, a)"), strict=True)
                ),
            ],
        ),
    ]


def _loose(outcome: Outcome) -> str:
    x, other = outcome["pair"]
    point = ", ".join(f"{value:.3g}" for value in x)
    return f"{1 / float(outcome['ratio']):.2f} at x = ({point}), {_norm(other - x):.2g} apart"


def _claimed() -> Curve:
    return Curve("claim", [1e-3, 1.0], [1.0, 1.0], predicted=True)


def _along(label: str, outcome: Outcome) -> Curve:
    return Curve(label, outcome["lengths"], outcome["along"], joined=True)
