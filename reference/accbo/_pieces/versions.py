"""The version that kept work is of."""

from __future__ import annotations

import sys


def accbo_version() -> str:
    """accbo's own; not imported, because the package stands above all of its modules."""
    return str(sys.modules[__name__.partition(".")[0]].__version__)
