"""The flags of the newest set anew, where mistakes were added or changed; numbers stay."""

from __future__ import annotations

import json

from accbo._pieces.files import write
from accbo.conformance.vectors.build import text
from accbo.conformance.vectors.files import read_document
from accbo.conformance.vectors.generate import flags_of
from accbo.conformance.vectors.vector import SET, read, read_problem, set_files


def reflag(method: str, *, check: bool = False) -> list[str]:
    """Write the flags of ``method``'s vectors, or only say which differ, one line a vector."""
    differing = []
    for path in set_files(SET, method):
        read_document(path)  # refuses what is no file of vectors; the order is the file's own
        document = json.loads(path.read_text(encoding="utf-8"))
        problems = {name: read_problem(data) for name, data in document["problems"].items()}
        for values in document["vectors"]:
            flags = list(flags_of(read(values, problems)))
            if flags != values["flags"]:
                differing.append(f"{values['id']}: flags differ")
                values["flags"] = flags
        if not check:
            write(path, text(document))
    return differing
