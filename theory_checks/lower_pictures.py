"""What ``lower_tracking`` shows: six pictures of predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import lower_decrease as decrease
from . import lower_paths as paths
from . import lower_steps as steps
from . import lower_theory as theory
from .harness import Outcome
from .panels import Curve, Panel

Found = dict[tuple[Any, ...], Outcome]  # of one kind of piece
SHOWN = 0  # the eigenvalue shown: the smallest, followed worst
SHOWN_STEPS = 12  # of the path without noise
SHOWN_SHARES = ("Option I, normal", "Option I, two-point")
HALF = 2.58  # half a 99 % interval, in standard errors


def pictures(found: Callable[[str], Found]) -> list[Panel]:
    """All of them; ``found(kind)`` are the outcomes of that kind of piece."""
    return [
        *_transient(found("noise")),
        _orders(found("rival")),
        _without_noise(found("eigenvector")),
        _contractions(found("contraction")),
        _share(found("share")),
    ]


def _transient(found: Found) -> list[Panel]:
    """Lag and variance of y and ŷ against t, on the smallest eigenvalue."""
    laws, targets = paths.laws("diagonal")
    size, h = len(paths.SPECTRUM), paths.SPECTRUM[SHOWN]
    groups = [outcome for key, outcome in found.items() if key[0] == "diagonal"]
    lag = np.mean([group["lag"][:, :, SHOWN] for group in groups], axis=0)
    square = np.mean([group["square"][:, :, SHOWN] for group in groups], axis=0)
    count = len(groups) * groups[0]["samples"].shape[1] * paths.COPIES
    variance = (square - lag**2) * count / (count - 1)
    every = np.unique(np.geomspace(1, len(lag), 24).astype(int))  # t
    lags: list[Curve] = []
    variances: list[Curve] = []
    for part, (name, index) in enumerate((("y", SHOWN), ("ŷ", 2 * size + SHOWN))):
        times = np.arange(1, len(laws))
        mean = np.array([law.mean[index] for law in laws[1:]])
        spread = np.array([law.covariance[index, index] for law in laws[1:]])
        line = targets[1:, SHOWN] - mean
        lags.append(Curve("recursion", times, line, predicted=True, group=name))
        variances.append(Curve("recursion", times, spread, predicted=True, group=name))
        at, spread_at = lag[every - 1, part], variance[every - 1, part]
        half = HALF * np.sqrt(spread_at / count)
        lags.append(Curve(name, every, at, at - half, at + half, group=name))
        half = HALF * spread_at * math.sqrt(2 / count)
        around = (spread_at - half, spread_at + half)
        variances.append(Curve(name, every, spread_at, *around, group=name))
    return [
        Panel(
            "Lag on a drifting path",
            f"Mean of y* − y and of y* − ŷ for the eigenvalue {h}, with 99 % intervals, on the "
            "mean of the linear recursion: y settles at c[1 − (1 − αh)γ]/(αh), ŷ at "
            "c(1 − τ)/τ more.",
            "t",
            "y* minus iterate",
            lags,
            log_x=True,
        ),
        Panel(
            "Variance below",
            f"Variance of y and ŷ for the eigenvalue {h}, with 99 % intervals, on the recursion "
            "of the covariance. ŷ is the quieter of the two: that is what averaging buys.",
            "t",
            "variance",
            variances,
            log_x=True,
            log_y=True,
        ),
    ]


def _orders(found: Found) -> Panel:
    """Root mean square of y* − ŷ against ε, of AccBO's lower level and of SGD."""
    curves = []
    line = 2.0 ** np.arange(-7, 0)
    sizes = 2.0 ** np.array(steps.EXPONENTS)
    for name, rival in steps.RIVALS.items():
        errors = []
        for epsilon in line:
            step = theory.step_of(steps.MU, steps.lower_of(name, epsilon))
            lag, covariance = theory.stationary(step, steps.PACE * epsilon**2)
            errors.append(math.hypot(lag[2], math.sqrt(covariance[2, 2])))
        label = rival.label
        curves.append(Curve("stationary law", line, errors, predicted=True, group=label))
        samples = [paths.gathered(found, "error", (name, power)) for power in steps.EXPONENTS]
        squares = np.array([np.mean(sample**2) for sample in samples])
        error = np.array([np.std(sample**2) / math.sqrt(sample.size) for sample in samples])
        ends = (np.sqrt(squares - HALF * error), np.sqrt(squares + HALF * error))
        curves.append(Curve(label, sizes, np.sqrt(squares), *ends, group=label))
    return Panel(
        "Tracking error against ε",
        "α = ε², drift and variance as ε² and ε, on the μ-eigenvector, after 4/(μα) steps (SGD at "
        "equal α has then 98 % of its lag). AccBO's lower level falls as ε, SGD at equal α not at "
        "all. SGD at ½√(α/μ) falls as ε too: acceleration is not what buys the order.",
        "ε",
        "root mean square of y* − ŷ",
        curves,
        log_x=True,
        log_y=True,
        power_law=True,
    )


def _without_noise(found: Found) -> Panel:
    """e_n² on the μ-eigenvector, its law, and the tempting claim."""
    n, s = np.arange(SHOWN_STEPS + 1), decrease.RATES[0]
    squares = found[0,]["e"][0, : SHOWN_STEPS + 1] ** 2
    law = theory.error_without_noise(n, s) ** 2
    return Panel(
        "Without noise, at a fixed x",
        "‖e_n‖²/‖e_0‖² at αl = 1, μ = 0.1, on the μ-eigenvector: exactly (1 + ns)²(1 − s)^(2n). "
        "It starts above (1 − s)^n, which is therefore no bound, and ends far below.",
        "n",
        "‖e_n‖²/‖e_0‖²",
        [
            Curve("AccBO's warm start and steps", n, squares, group="AccBO"),
            Curve("(1 + ns)²(1 − s)^(2n)", n, law, predicted=True, group="AccBO"),
            Curve("the claim (1 − s)^n", n, (1 - s) ** n, predicted=True),
        ],
        log_y=True,
    )


def _contractions(found: Found) -> Panel:
    """V₊/V against αl: promised, and of the worst pair of a quadratic."""
    lengths = np.array(sorted(decrease.LENGTHS))
    line = np.geomspace(lengths[0], lengths[-1], 40)
    promised = [1 - theory.rate(decrease.MU, length) for length in line]
    predicted = [decrease.worst_quadratic(length) for length in line]
    measured = [np.max(decrease.contractions(found[length,], length)) for length in lengths]
    return Panel(
        "Worst decrease of V in one step",
        "Largest V₊/V from any pair. The equality of SPEC 4.12 promises 1 − s on every g; "
        "the worst pair of a quadratic falls a little faster, and AccBO's step as it should.",
        "αl",
        "V₊/V",
        [
            Curve("AccBO on the worst quadratic", lengths, measured, group="AccBO"),
            Curve("law", line, predicted, predicted=True, group="AccBO"),
            Curve("1 − s, on every g", line, promised, predicted=True),
        ],
        log_x=True,
    )


def _share(found: Found) -> Panel:
    """Share of runs that ever exceed a bound, beside the recursion's."""
    curves = []
    for name in SHOWN_SHARES:
        runs, simulated = (
            np.sort(paths.gathered(found, "largest", (name, which)))
            for which in ("AccBO", "recursion")
        )
        bounds = np.linspace(simulated[0], simulated[-1], 41)
        predicted, shares = (
            1 - np.searchsorted(values, bounds) / len(values) for values in (simulated, runs)
        )
        half = HALF * np.sqrt(shares * (1 - shares) / len(runs))
        curves.append(Curve("recursion", bounds, predicted, predicted=True, group=name))
        ends = (shares - half, shares + half)
        curves.append(Curve(name, bounds, shares, *ends, group=name))
    return Panel(
        "Runs that ever stray",
        "Share of runs whose ‖y* − ŷ_t‖ is ever above a bound, t ≤ 50, with 99 % intervals, beside "
        "the same share of runs of the linear recursion. Two-point noise strays farther at the "
        "same variance, so that a bound for Gaussian noise would be false there.",
        "bound",
        "share of runs",
        curves,
    )
