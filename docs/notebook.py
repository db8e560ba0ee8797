"""``python docs/notebook.py PAGE.md …``: make a Jupyter notebook of a page, beside it.

Text becomes cells of Markdown, blocks of Python cells of code. Other blocks stay text.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

CODE = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def notebook(page: str) -> dict[str, Any]:
    """The page as a notebook of format 4.5, without outputs."""
    cells: list[dict[str, Any]] = []
    for index, part in enumerate(CODE.split(page)):
        source = part.strip("\n")
        if not source:
            continue
        cell: dict[str, Any] = {"cell_type": "markdown", "id": f"cell-{len(cells)}"}
        if index % 2:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append({**cell, "metadata": {}, "source": source.splitlines(keepends=True)})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def main(paths: list[str]) -> int:
    """Write ``PAGE.ipynb`` for each."""
    if not paths:
        print(
            "docs/notebook.py: expected pages, such as docs/notebooks/theorist.md", file=sys.stderr
        )
        return 2
    for path in map(Path, paths):
        content = json.dumps(notebook(path.read_text(encoding="utf-8")), indent=1) + "\n"
        path.with_suffix(".ipynb").write_text(content, encoding="utf-8")
        print(path.with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
