"""The JSON schema of a trace's lines, from the layout; run as a program it writes the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accbo.tracing.layout import (
    DTYPES,
    FORMAT,
    GROUP,
    GROUPS,
    ITERATION,
    NUMBER,
    SAMPLES,
    START,
    VECTOR,
    VECTORS,
    VERSION,
)

FILE = Path(__file__).with_name("trace.schema.json")
_NUMBER = {"type": ["number", "null"]}
_VECTOR = {"type": "array", "items": _NUMBER, "minItems": 2}
_SAMPLE = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**53}


def schema() -> dict[str, Any]:
    """One schema for every line: the header, the start or an iteration."""
    leaves = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    header = {
        "type": "object",
        "required": ["format", "version", "algorithm", "constants", "dtype", "seed", "directions"],
        "properties": {
            "format": {"const": FORMAT},
            "version": {"const": VERSION},
            "run": {"type": "string"},
            "part": {"type": "integer", "minimum": 1},
            "algorithm": {"type": "string"},
            "constants": {
                "type": "object",
                "additionalProperties": {"type": ["number", "string"]},
            },
            "dtype": {"enum": list(DTYPES)},
            "arithmetic": {"enum": list(DTYPES)},
            "seed": {"type": "integer"},
            "directions": {"type": "integer", "minimum": 1, "maximum": 16},
            "x": leaves,
            "y": leaves,
        },
    }
    start = _group(START, {"t": {"const": "start"}})
    iteration = _group(ITERATION, {"t": {"type": "integer", "minimum": 0}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of a trace of accbo",
        "oneOf": [header, start, iteration],
    }


def _group(names: Any, more: Any = None) -> dict[str, Any]:
    properties = {name: _entry(kind, inside) for name, (kind, inside) in names.items()}
    found = {
        "type": "object",
        "additionalProperties": False,
        "properties": (more or {}) | properties,
    }
    return found | ({"required": ["t"]} if more else {})


def _entry(kind: int, inside: Any) -> dict[str, Any]:
    if kind == NUMBER:
        return {**_NUMBER, "minimum": 0}
    if kind in (GROUP, GROUPS):
        one = _group(inside)
    else:
        one = dict(_VECTOR if kind in (VECTOR, VECTORS) else _SAMPLE)
    return {"type": "array", "items": one} if kind in (VECTORS, SAMPLES, GROUPS) else one


def text() -> str:
    """The schema as it is kept in the package."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
