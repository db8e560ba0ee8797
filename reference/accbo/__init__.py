"""AccBO, a verified numerical reference implementation (arXiv 2409.19212)."""

from typing import TYPE_CHECKING

from accbo._late import names_late

__version__ = "0.1.0"

if TYPE_CHECKING:
    from accbo._exports import *  # noqa: F403
else:
    names_late(__name__, shadowed=("run",))
