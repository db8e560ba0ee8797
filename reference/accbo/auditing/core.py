"""``audit``: does the theory apply to a user's own problem? What is asked, in order."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accbo import schedules
from accbo._arrays import Array, asarray, to_host
from accbo._blame import described
from accbo._foreign import ForeignError, foreign
from accbo._limits import TooLong, at_most
from accbo._printable import clean
from accbo.auditing.contract import BATCH, Rows, contract
from accbo.auditing.curvature import (
    Curvature,
    curvature,
    hessian_lipschitz,
    lower_level,
    of_means,
    of_realisations,
)
from accbo.auditing.derivatives import derivatives, products
from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.growth import rays, variances
from accbo.auditing.influence import influence
from accbo.auditing.kinks import gradient_jump, hessian_jump
from accbo.auditing.lowest import lowest
from accbo.auditing.moments import means
from accbo.auditing.oracle import AuditError, Normals, Oracle, Point, Points
from accbo.auditing.report import Audit
from accbo.auditing.smoothness import bounded_gradient, relaxed_smoothness, smoothness
from accbo.auditing.spectra import flat
from accbo.auditing.starting import outside, theory, watch
from accbo.divergence import DivergenceWarning
from accbo.namespaces import like as like_of
from accbo.problem import BilevelProblem, Constants, constants_of
from accbo.run import NonFiniteError, run
from accbo.sampling import Tape, probe_normals
from accbo.validation import check_array, check_count, check_finite, check_problem, check_shapes

if TYPE_CHECKING:
    from tqdm import tqdm

WALK_ACCURACY, WALK_TERMS, WALK_WARM = 0.25, 64, 400  # 64 normalised steps of 1/16
WALK_POINTS = 8
DECLARED = 1e-6  # relative: how far a declared constant may be passed, for rounding
PARTS = 6


def audit(
    problem: BilevelProblem,
    x: Array | None = None,
    y: Array | None = None,
    *,
    epsilon: float = 0.1,
    seed: int = 0,
    samples: int = 4096,
    like: Array | None = None,
    name: str | None = None,
    progress: bool | None = None,
    time_limit: float | None = None,
    limit_total: float | None = None,
) -> Audit:
    """Whether the theory's assumptions hold for ``problem``, near x ``(d_x,)`` and y ``(d_y,)``.

    Only the oracle's methods, its noise declarations and, where it has them, its ``constants``
    are used; ``sample=None`` need not be supported. x and y left out are the problem's own start
    (``start_point()``) or else standard normal, in the namespace of ``like``, or of the start, or
    of the problem's ``backend``, or NumPy's. ``samples`` are drawn for each mean;
    ``epsilon`` is the accuracy that parameters are proposed for. ``progress=None`` shows a bar
    on a terminal once two seconds have passed. ``time_limit`` is in seconds a call of the problem,
    ``limit_total`` for the whole; what was found until then is in the audit. Raises ``AuditError``
    where the oracle cannot be used (a wrong shape, a NaN, an exception of its own, whatever its
    kind), ``TypeError`` or ``ValueError`` for arguments that do not fit.
    """
    asked = _Asked(epsilon, seed, samples, like, name, progress, time_limit)
    found: list[Finding] = []
    with at_most(limit_total) as limit:
        try:
            with foreign("the problem"):
                return _audit(problem, x, y, asked, found)
        except TooLong as late:
            if late.limit is not limit:
                raise
            said = f"the limit of {limit_total:g} s was used up"
            return Audit(clean(asked.name_of(problem)), tuple(found), None, None, said)
        except NotImplementedError as error:
            raise AuditError(f"the problem raised {described(error)}") from error
        except ForeignError as error:
            if isinstance(error.__cause__, Exception):  # TypeError and ValueError as promised
                raise error.__cause__ from None
            raise AuditError(str(error)) from error


class _Asked(NamedTuple):
    """What an audit was asked for, beside the problem and the points."""

    epsilon: float
    seed: int
    samples: int
    like: Array | None
    name: str | None
    progress: bool | None
    time_limit: float | None

    def name_of(self, problem: Any) -> str:
        """What the problem is called."""
        return self.name or type(problem).__name__


def _audit(
    problem: BilevelProblem,
    x: Array | None,
    y: Array | None,
    asked: _Asked,
    findings: list[Finding],
) -> Audit:
    epsilon, seed, samples, like, _, progress, time_limit = asked
    if isinstance(problem, type):
        raise TypeError(f"problem must be an object, got the class {problem.__name__}")
    check_problem(problem)
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon!r}")
    check_count("seed", seed, 0)
    check_count("samples", samples, 64)
    normals = probe_normals(seed)
    x, y = _start(problem, x, y, like, normals)
    for label, array in (("x", x), ("y", y)):
        check_array(label, array)
        check_finite(label, array)
    check_shapes(problem, x, y)
    if x.ndim != 1:
        raise ValueError(f"x must be one point of shape (d_x,), got {tuple(x.shape)}")
    start = to_host(x).astype(float), to_host(y).astype(float)
    oracle = Oracle(problem, x, seed, samples, time_limit)
    from tqdm.auto import tqdm

    hidden = None if progress is None else not progress
    with tqdm(total=PARTS, unit="part", leave=False, delay=2, disable=hidden) as bar:
        measured = _findings(oracle, start, normals, bar, findings)
    name, found = clean(asked.name_of(problem)), tuple(findings)
    if measured is None:
        return Audit(name, found, None, None)
    constants = measured.constants if measured.convex else None
    if not any(finding.verdict == FAILS for finding in findings):
        return Audit(name, found, constants, theory(measured.constants, epsilon))
    plan = outside(measured.curvature, measured.constants, epsilon)
    return Audit(name, found, constants, plan, watch=watch(findings))


def _start(
    problem: BilevelProblem,
    x: Array | None,
    y: Array | None,
    like: Array | None,
    normals: Normals,
) -> tuple[Array, Array]:
    """x and y, where they are left out the problem's own, or normal."""
    own = getattr(problem, "start_point", None)
    began = own() if callable(own) else None
    shown = next((a for a in (like, x, y, *(began or ())) if a is not None), None)
    if shown is None:
        shown = like_of(str(getattr(problem, "backend", "numpy")))
    given = []
    for index, (part, size) in enumerate(((x, problem.d_x), (y, problem.d_y))):
        drawn = normals((size,))
        if part is None:
            part = asarray(drawn if began is None else to_host(began[index]), shown)
        given.append(part)
    return given[0], given[1]


class _Measured(NamedTuple):
    """The constants as estimated; ``convex``: μ > 0, without which they are no constants."""

    curvature: Curvature
    constants: Constants
    convex: bool


def _findings(
    oracle: Oracle, start: Point, normals: Normals, bar: tqdm, findings: list[Finding]
) -> _Measured | None:
    """All findings, into ``findings``; the contract's alone, and no constants, if it is broken."""
    x, y = start
    many = [np.vstack((a, a + normals((BATCH - 1, a.size)))) for a in start]
    findings += contract(oracle, Rows(many[0], many[1], normals((BATCH, y.size))))
    bar.update()
    if any(finding.verdict == FAILS for finding in findings):
        return None
    points = [start, *((x + normals(x.shape), y + normals(y.shape)) for _ in range(2))]
    findings += derivatives(oracle, points, normals) + products(oracle, points, normals)
    bar.update()
    findings += means(oracle, points[:2], normals)
    bar.update()

    seen, drawn = of_means(oracle, points, normals), of_realisations(oracle, points, normals)
    rough = curvature(seen, drawn)
    convex = rough.mu > flat(oracle) * rough.largest
    walk, ended = _walk(oracle, start, rough) if convex else (points, [])
    findings += ended
    seen += of_means(oracle, walk[1:], normals)
    far = rays(x, y, normals)
    least = lowest(oracle, start, far, normals)
    # near the end of the walk, where y is near y*(x): what it is sparse in is a kink there
    places = [start, walk[-1]]
    jump = gradient_jump(oracle, places, normals)
    findings += lower_level(oracle, seen, drawn, far, least, jump, normals)
    findings += influence(oracle, seen + drawn, [*points, *walk[1:]], convex, normals)
    bar.update()
    fits = relaxed_smoothness(oracle, walk, normals)
    findings += [smoothness(oracle, v, fit, far, normals) for v, fit in fits.items()]
    slope = bounded_gradient(oracle, walk[1:], far[-1])
    bent = hessian_lipschitz(
        oracle, walk, far, jump or hessian_jump(oracle, places, normals), normals
    )
    findings += [slope, bent]
    bar.update()
    findings += variances(oracle, far)
    bar.update()

    found = curvature(seen, drawn)
    convex = found.mu > flat(oracle) * found.largest
    constants = Constants(
        mu=found.mu,
        l_g1=found.l_g1,
        l_g2=bent.figures["l_g2"],
        curvature=found.largest,
        L_x0=fits["x"].l0,
        L_x1=fits["x"].l1,
        L_y0=fits["y"].l0,
        L_y1=fits["y"].l1,
        l_f0=slope.figures["l_f0"],
    )
    findings += _declared(oracle, start, constants) if convex else []
    return _Measured(found, constants, convex)


def _walk(oracle: Oracle, start: Point, rough: Curvature) -> tuple[Points, list[Finding]]:
    """(x, ŷ) along a short run of AccBO from ``start``; a finding where it does not end."""
    declared = constants_of(oracle.problem)
    largest = max(rough.largest, declared.curvature if declared else 0.0)
    constants = Constants(rough.mu, rough.l_g1, 0.0, largest, 1.0, 0.0, 1.0, 0.0, 1.0)
    plan = schedules.accbo(constants, epsilon=WALK_ACCURACY)
    terms = min(plan.algorithm.neumann_terms, WALK_TERMS)
    x, y = (oracle.there(part) for part in start)
    # π as a minibatch, unless its noise is an index, which cannot be scaled
    whole = any(noise.law == "index" for noise in oracle.fields("lower").values())
    scale = 1.0 if whole else plan.lower_scale
    try:
        with warnings.catch_warnings():  # this run is ours; what it met is in the findings
            warnings.simplefilter("ignore", DivergenceWarning)
            result = run(
                dataclasses.replace(plan.algorithm, neumann_terms=terms),
                oracle.problem,
                x,
                y,
                steps=plan.steps,
                noise=Tape(oracle.seed, lower_scale=scale),
                warm_start=min(plan.warm_start, WALK_WARM),
                first=plan.first,
                record={"x": lambda state: state.x, "y": lambda state: state.y_average},
                every=plan.steps // WALK_POINTS,
                progress=False,
            )
    except NonFiniteError as error:
        claim = "the iterates stay where everything is finite"
        at = point_of(*start, oracle.seed)
        text = f"AccBO's run from the start ended: {error}"
        return [start, start], [Finding("walk", claim, "SPEC §2", UNTOLD, text, point=at)]
    xs, ys = (to_host(result.records[k]).astype(float) for k in "xy")
    return [start, *zip(xs, ys, strict=True)], []


def _declared(oracle: Oracle, start: Point, found: Constants) -> list[Finding]:
    """Whether the constants that the problem declares bound those found; none if it has none."""
    declared = constants_of(oracle.problem)
    if declared is None:
        return []
    wrong = [
        f"{name} = {getattr(declared, name):.6g} where {getattr(found, name):.6g} was found"
        for name, sign in (("mu", -1), ("l_g1", 1), ("l_g2", 1), ("curvature", 1))
        if sign * getattr(found, name) > sign * getattr(declared, name) * (1 + sign * DECLARED)
    ]
    claim = "the declared mu is a lower bound, and l_g1, l_g2 and curvature are upper ones"
    text = f"declares {'; '.join(wrong)}" if wrong else "bound what was found"
    at = point_of(*start, oracle.seed) if wrong else None
    verdict = FAILS if wrong else HOLDS
    return [Finding("declared constants", claim, "accbo.Constants", verdict, text, point=at)]
