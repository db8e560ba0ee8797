"""Samples drawn while the steps before them run, where a second core is idle.

NumPy's generators release the interpreter's lock, so that drawing on a thread takes from the
stepping what it needs of a core that nobody else has. The bits are those of drawing in turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def spare_core() -> bool:
    """Whether this process may use a second core.

    Not where it is a worker of another one: whoever starts several has given each core its work.
    """
    import multiprocessing  # late: most commands need neither

    if multiprocessing.parent_process() is not None:
        return False
    able = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return len(able) > 1


def each(
    items: Iterable[Item], draw: Callable[[Item], Any], ahead: bool
) -> Iterator[tuple[Item, Any]]:
    """Every item with what ``draw`` makes of it, in order; one item ahead of the caller or none.

    ``draw`` is called once an item and never twice at a time; what it raises is raised here, when
    its item's turn has come.
    """
    if not ahead:
        for item in items:
            yield item, draw(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="accbo-tape") as thread:
        before = None
        for item in items:
            following = item, thread.submit(draw, item)
            if before is not None:
                yield before[0], before[1].result()
            before = following
        if before is not None:
            yield before[0], before[1].result()
