"""A page of ours: one look, pictures with words for those who cannot see them, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accbo._figures.files import inline
from accbo._figures.panel import Panel, typeset


def rendered(template: Path, **values: Any) -> str:
    """The page that ``template`` makes of ``values``; it extends ``page.html.j2`` beside this."""
    import jinja2  # late: an optional package

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "chance": chance,
        "code": code,
        "mathematics": mathematics,
    }
    text: str = environment.get_template(template.name).render(**values)
    return text


def shown(panels: Sequence[Panel]) -> list[dict[str, str]]:
    """What the macro ``pictures`` of the page takes."""
    return [{"title": p.title, "caption": p.caption, "svg": inline(p)} for p in panels]


def number(value: Any) -> str:
    """Five significant digits; what is no number as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def chance(value: Any) -> str:
    """A probability to two digits; 0 where there is no chance at all."""
    return f"{value:.1e}" if isinstance(value, float) and value else str(value or 0)


def code(text: str) -> Any:
    """``text`` as HTML, what stands between double backquotes as code, the rest typeset."""
    import markupsafe

    parts = text.split("``")
    parts[1::2] = [markupsafe.Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    parts[::2] = [mathematics(part) for part in parts[::2]]
    return markupsafe.Markup("").join(parts)


def mathematics(text: str) -> Any:
    """``text`` as HTML, with raised and lowered parts."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(
        typeset(escaped, lambda part: f"<sup>{part}</sup>", lambda part: f"<sub>{part}</sub>")
    )
