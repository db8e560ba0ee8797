"""Right files made wrong: bytes and values changed at drawn places."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def changed_bytes(data: st.DataObject, right: bytes) -> bytes:
    """``right`` with a few bytes cut, changed, put in or repeated."""
    content = bytearray(right)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(("cut", "change", "insert", "repeat")))
        if kind == "cut":
            del content[at : at + data.draw(st.integers(1, 50))]
        elif kind == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=10))
        else:
            content[at:at] = content[at : at + 100]
        if not content:
            break
    return bytes(content)


NUMBERS = st.sampled_from(
    (0, -1, 1, 2, 10**9, 10**18, -(10**400), 10**400, 1e308, -1e308, 5e-324, 0.5, 1e-300)
)
STRANGE = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(("simultaneous", "II", "quadratic", "accbo-vectors/2", "stale sample", "NaN")),
    st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=8),
    st.dictionaries(st.sampled_from(("x", "index", "none", "kind")), NUMBERS, max_size=2),
    st.integers(1, 300).map(lambda depth: nested(depth)),
)


def nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every part of a document stands."""
    if isinstance(value, dict):
        inner = [places(part, (*place, key)) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [places(part, (*place, index)) for index, part in enumerate(value)]
    else:
        inner = []
    return [place, *(found for part in inner for found in part)]


def changed_value(document: Any, place: tuple[Any, ...], value: Any, how: str) -> Any:
    """``document`` with the part at ``place`` replaced, dropped or doubled."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if rest or how == "replace":
        document[key] = changed_value(document[key], rest, value, how)
    elif how == "drop":
        del document[key]
    elif isinstance(document, list):
        document.insert(key, document[key])
    else:
        document[f"{key}2"] = document[key]
    return document
