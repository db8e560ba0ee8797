"""In which iterations a mistake is made that is not made in all of them."""

from __future__ import annotations

from collections.abc import Iterable

PERIODS = range(2, 13)
FEWEST = 3  # iterations of each kind before something is made of them

SOMETIMES = "in some cases, iterations or replicates alone"


def when(seen: Iterable[tuple[int, bool]]) -> str:
    """Of iterations t, each with whether the mistake was made there: every so many, or some."""
    seen = list(seen)
    wrong, right = ({t for t, is_wrong in seen if is_wrong is kind} for kind in (True, False))
    if min(len(wrong), len(right)) < FEWEST:
        return SOMETIMES
    for period in PERIODS:
        remainders = {t % period for t in wrong}
        if len(remainders) == 1 and not remainders & {t % period for t in right}:
            return f"where t mod {period} = {remainders.pop()} alone"
    return SOMETIMES
