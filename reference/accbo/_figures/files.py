"""Pictures as files: PDF, SVG with text as text, PNG, and the data as CSV."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from typing import Any

from accbo._extras import install
from accbo._figures import draw
from accbo._figures.panel import Panel, described, table

KINDS = ("pdf", "svg", "png")
_METADATA: dict[str, dict[str, None]] = {  # what would differ from one day to the next
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}


def lacking(option: str, *packages: str) -> str:
    """What to say where ``option`` needs a package that is not here, or nothing."""
    missing = [name for name in packages if find_spec(name) is None]
    return f"{option} needs {' and '.join(missing)}; {install('report')}" if missing else ""


def files(name: str, panel: Panel) -> dict[str, str | bytes]:
    """Everything of one picture, by the names of the files."""
    return {**_drawn(name, draw.figure, panel), f"{name}.csv": table(panel)}


def files_together(
    name: str, panels: list[tuple[str, Panel]], columns: int
) -> dict[str, str | bytes]:
    """All ``panels`` in one picture."""
    return _drawn(name, draw.together, panels, columns)


def inline(panel: Panel, small: bool = False) -> str:
    """``panel`` as an ``<svg>`` element that looks the same with any fonts."""
    text = _saved("svg", "path", draw.small if small else draw.figure, panel).decode()
    text = text[text.index("<svg") :]
    # ids of their own among other pictures on the same page
    prefix = re.sub(r"\W+", "-", panel.title) + ("-small-" if small else "-")
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}", text)
    alt = described(panel).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    attributes = f'role="img" aria-label="{alt}" preserveAspectRatio="xMidYMid meet" '
    return text.replace("<svg ", f"<svg {attributes}", 1)


def _drawn(name: str, make: Any, *arguments: Any) -> dict[str, str | bytes]:
    return {f"{name}.{kind}": _saved(kind, "none", make, *arguments) for kind in KINDS}


def _saved(kind: str, letters: str, make: Any, *arguments: Any) -> bytes:
    import matplotlib  # late: an optional package

    chosen = {**draw.STYLE, "svg.fonttype": letters, "svg.hashsalt": "accbo", "pdf.fonttype": 42}
    with matplotlib.rc_context(chosen):
        out = io.BytesIO()
        make(*arguments).savefig(out, format=kind, dpi=200, metadata=_METADATA[kind])
    return out.getvalue()
