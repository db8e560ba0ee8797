"""``accbo conform --scaffold``: an adapter on standard output, or in a file that is new."""

from __future__ import annotations

from pathlib import Path

from accbo.conformance.scaffold.adapters import adapter

HEADER = "accbo_vectors.h"
DEFAULT = "Mine"


def scaffold(
    language: str, method: str, target: str | None
) -> tuple[str, tuple[tuple[Path, str], ...]]:
    """What to say, and the files to write, for ``target``: FILE, FILE:NAME or (None) nowhere.

    Raises ``ValueError`` for a file that exists, or whose name does not suit the language.
    """
    ending = ".c" if language == "c" else ".py"
    if target is None:
        return adapter(language, method, f"mine{ending}", DEFAULT).rstrip("\n"), ()
    file, _, name = target.partition(":")
    name = name or DEFAULT
    if not file.endswith(ending) or not name.isidentifier():
        raise ValueError(
            f"--scaffold {language} takes a new file such as mine{ending}, or "
            f"mine{ending}:{DEFAULT}; got {target!r}"
        )
    path = Path(file)
    files = {path: adapter(language, method, path.name, name)}
    header = (Path(__file__).parent / HEADER).read_text(encoding="utf-8")
    beside = path.parent / HEADER
    if language == "c" and not (beside.exists() and beside.read_text("utf-8") == header):
        files[beside] = header
    there = [str(each) for each in files if each.exists()]
    if there:
        raise ValueError(f"{there[0]} exists; --scaffold writes new files only")
    said = f"wrote {path}; fill in step, then: accbo conform {path}:{name}"
    if language == "c":
        said = f"wrote {path}, and {HEADER} beside it; fill in step, its first lines say what then"
    return said, tuple(files.items())
