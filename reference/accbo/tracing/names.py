"""What the oracle's catalogue says of a mistake: all that traces need of it."""

from __future__ import annotations

from typing import Any


def known_as(algorithm: str, name: str) -> Any:
    """The entry of a mistake in an algorithm's catalogue, ``None`` where it has no such one."""
    from accbo.conformance.methods import catalogue

    return catalogue(algorithm).get(name)
