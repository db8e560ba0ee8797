"""Text from outside, made fit for a terminal, for XML and for JSON: one cleaner for the three."""

from __future__ import annotations

import re
from typing import Any

# Control characters move a cursor or end a document; a lone surrogate has no UTF-8; U+FFFE and its
# like are no characters, and XML refuses them; marks of direction show a text other than it is.
_NO_CHARACTERS = "".join(chr(0x10000 * plane - last) for plane in range(1, 18) for last in (2, 1))
_REFUSED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    f"{_NO_CHARACTERS}]"
)
INSTEAD = "\N{REPLACEMENT CHARACTER}"


def clean(text: str, keep: str = "") -> str:
    """``text`` with U+FFFD for each character that must not be passed on, but for those kept.

    Without ``keep`` the answer is one line.
    """
    return _REFUSED.sub(lambda found: found[0] if found[0] in keep else INSTEAD, text)


def one_line(text: str, longest: int | None = None) -> str:
    """``text`` cleaned, all white space in it being single blanks; cut at ``longest``."""
    return clean(" ".join(text.split()))[:longest]


def cleaned(tree: Any) -> Any:
    """JSON values with every string cleaned, keys included; lines and tabs may stay."""
    if isinstance(tree, str):
        return clean(tree, keep="\n\t")
    if isinstance(tree, dict):
        return {cleaned(key): cleaned(value) for key, value in tree.items()}
    return [cleaned(value) for value in tree] if isinstance(tree, list | tuple) else tree
