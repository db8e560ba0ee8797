"""The law of noise that a user asks for: a name, ``two_point:P``, or a function of one's own."""

from __future__ import annotations

import difflib
import functools
from typing import Any, NamedTuple

import numpy as np

from accbo._law import Law, expect_law, name_of
from accbo.conformance.running.target import load_target

from .own import call

LAWS = ("normal", "two_point", "sign")


class NoiseError(Exception):
    """The law that was asked for is none; the message says why."""


class Chosen(NamedTuple):
    """A law, the probability that goes with ``two_point`` where one was given, and a label."""

    law: Law
    probability: float | None
    name: str


def own_law(noise: str | None) -> str | None:
    """The ``module:function`` that was asked for, unless it is a law by name."""
    law, colon, _ = (noise or "").partition(":")
    return noise if colon and law not in LAWS else None


@functools.cache
def chosen_law(noise: str | None) -> Chosen | None:
    """What ``LAW``, ``two_point:P`` or ``module:function`` means; ``None`` if nothing is asked for.

    Raises ``NoiseError`` for an unknown name, a P outside (0, 1) and a function whose values do
    not have mean 0 and variance 1, ``TargetError`` for one that cannot be loaded or raises.
    """
    if noise is None:
        return None
    if target := own_law(noise):
        law = _function(target)
        return Chosen(law, None, name_of(law))
    law, colon, parameter = noise.partition(":")
    if law not in LAWS:
        near = difflib.get_close_matches(law, LAWS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise NoiseError(
            f"unknown law of noise {law!r}; {hint}known: {', '.join(LAWS)}, MODULE:FUNCTION"
        )
    if not colon:
        return Chosen(law, None, law)
    try:
        probability = float(parameter)
    except ValueError:
        probability = float("nan")
    if law != "two_point" or not 0 < probability < 1:
        raise NoiseError("expected LAW, two_point:P with P in (0, 1), or MODULE:FUNCTION")
    return Chosen(law, probability, noise)


def law_fields(noise: str | None) -> dict[str, Any]:
    """The law that is asked for, as ``UpperNoise`` and ``LowerNoise`` take it."""
    asked = chosen_law(noise)
    if asked is None:
        return {}
    if asked.law == "sign":  # theirs is the fair two-point law
        return {"law": "two_point", "probability": 0.5}
    chance = {} if asked.probability is None else {"probability": asked.probability}
    return {"law": asked.law, **chance}


def _function(target: str) -> Law:
    call(target, np.array([0.25, 0.75]))  # what it raises is said as its own
    function: Law = load_target(target)
    try:
        expect_law(function, "the law", LAWS)
    except ValueError as error:
        raise NoiseError(str(error)) from None
    return function
