"""What a prediction rests on, checked while it is made: not by ``assert``, which -O leaves out."""

from __future__ import annotations


class PredictionError(ArithmeticError):
    """A prediction's own premise does not hold, so that nothing can be judged by it."""


def expect(holds: object, premise: str) -> None:
    """Raise ``PredictionError`` unless ``premise`` holds."""
    if not holds:
        raise PredictionError(f"no verdict: the prediction's own premise fails: {premise}")
