"""What to type where an optional package is missing.

By the packages' own names, which works wherever accbo came from, a clone or a wheel. ``pip install
'accbo[…]'`` would ask a registry for a project of our name, which need not be ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import metadata

EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")


def install(extra: str) -> str:
    """The command that installs what the ``extra`` of accbo asks for."""
    if extra == "cupy":
        return f"{install('cupy13')}, or {install('cupy12')} where the driver is of CUDA 12"
    return command(extra, _declared())


def command(extra: str, requirements: Iterable[str]) -> str:
    """The same out of the package's ``requirements``, as its metadata lists them."""
    packages = []
    for requirement in requirements:
        package, _, condition = requirement.partition(";")
        if extra in EXTRA.findall(condition):
            packages.append(f"'{package.strip()}'")
    if not packages:  # the source tree without an installation, or a newer one than installed
        return f"pip install '.[{extra}]' in the source tree"
    return f"pip install {' '.join(packages)}"


def for_module(name: str | None) -> str:
    """``"; pip install …"`` where module ``name`` is what an extra of that name is for."""
    top = (name or "").partition(".")[0]
    return f"; {install(top)}" if top in ("cupy", "jax", "torch") else ""


def _declared() -> Sequence[str]:
    try:
        return metadata.requires("accbo") or ()
    except metadata.PackageNotFoundError:
        return ()
