"""The correctness oracle: is an implementation of AccBO right, and if not, where?"""

from typing import TYPE_CHECKING

from accbo._late import names_late

if TYPE_CHECKING:
    from accbo.conformance._exports import *  # noqa: F403
else:
    names_late(__name__, shadowed=("check",))
