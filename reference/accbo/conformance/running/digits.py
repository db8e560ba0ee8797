"""How many digits numbers were written with: a program that prints too few departs everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

ENOUGH = 16  # of a float64 that was written in full, nearly all take so many; many take 17


def written_with(values: Iterable[float]) -> int:
    """The least number of digits that all ``values`` could have been written with.

    Significant ones or, where those are fewer, decimals. 0 without a number.
    """
    significant = decimals = 0
    for value in values:
        if value == 0 or value != value or abs(value) == float("inf"):
            continue
        _, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
        significant = max(significant, len(digits))
        decimals = max(decimals, -int(exponent))
    return min(significant, decimals) if decimals else significant


def hint(shown: Iterable[float], expected: Iterable[float]) -> str:
    """What to say of results with too few digits; nothing where the right ones are as short."""
    digits = written_with(shown)
    if not 0 < digits < ENOUGH or written_with(expected) < ENOUGH:
        return ""
    return (
        f"the numbers are written with {digits} digits; write 17, or the shortest form that "
        "reads back as the same number"
    )
