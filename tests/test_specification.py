"""Whatever cites the specification cites a section that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "specification.md"
CITATION = re.compile(r"SPEC(?:'s)? (?:§§?)?(\d+(?:\.\d+[a-c]?)?)")
# "§5" after "SPEC §1 and" cites as well; these files name no other document's sections
FOLLOWING = re.compile(r"SPEC §\d[^\n\"]*?§(\d+(?:\.\d+[a-c]?)?)")


def _anchors(page: str) -> set[str]:
    return set(re.findall(r'<a id="([0-9.a-c]+)"></a>', page))


def _citations(text: str) -> set[str]:
    return set(CITATION.findall(text)) | set(FOLLOWING.findall(text))


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_every_citation_resolves() -> None:
    anchors = _anchors(PAGE.read_text(encoding="utf-8"))
    dangling, seen = {}, 0
    for path in _tracked():
        if path.suffix in {".svg", ".png", ".npz"} or path == Path(__file__) or not path.is_file():
            continue
        cited = _citations(path.read_text(encoding="utf-8"))
        seen += len(cited)
        if missing := cited - anchors:
            dangling[str(path.relative_to(ROOT))] = sorted(missing)
    assert not dangling
    assert seen > 50  # the pattern still finds what the code says


def test_every_heading_with_a_number_has_its_anchor() -> None:
    page = PAGE.read_text(encoding="utf-8")
    numbered = re.findall(r"^#+ (\d[0-9.a-c]*?)\.? ", page, flags=re.MULTILINE)
    assert numbered
    assert set(numbered) == _anchors(page)


@pytest.mark.parametrize("text", ["SPEC 4.99", "SPEC §9", "(SPEC §1 and §12)"])
def test_a_citation_of_nothing_is_seen(text: str) -> None:
    assert _citations(text) - _anchors(PAGE.read_text(encoding="utf-8"))
