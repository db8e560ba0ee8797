"""The site, built by Sphinx: ``tox -e docs``. Every warning is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parents[1]

project = "accbo"
author = "The accbo maintainers"
project_copyright = author
(release,) = re.findall(
    r'^__version__ = "(.+)"$',
    (ROOT / "reference" / "accbo" / "__init__.py").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Anchors of headings as GitHub makes them, so that a link works in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "dollarmath"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_mock_imports: list[str] = []

html_theme = "furo"
html_title = f"accbo {release}"
html_static_path = ["_static"]
html_css_files = ["pictures.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
copybutton_prompt_text = "$ "


def _inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Formulas as MathML: a browser draws them without a script from elsewhere."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
