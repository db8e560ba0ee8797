"""Text from outside is UTF-8, with or without the byte order mark that Windows tools begin with."""

from __future__ import annotations

import codecs

_OTHERS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, b"{\0\0\0", b"\0\0\0{"),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{"),
}


class NotUTF8Error(ValueError):
    """Text in another encoding, which the message names."""


def without_mark(content: bytes) -> bytes:
    """The beginning of a file of JSON, or the whole of it, without a byte order mark.

    Raises ``NotUTF8Error`` where it is UTF-16 or UTF-32, with a mark or without.
    """
    for encoding, begins in _OTHERS.items():
        if content.startswith(begins):
            raise NotUTF8Error(f"this is {encoding}")
    return content.removeprefix(codecs.BOM_UTF8)
