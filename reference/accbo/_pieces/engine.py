"""Pieces carried out: those that are kept first, then the others, on one or many processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from accbo._pieces.kept import Kept, Work
from accbo._pieces.workers import completed, result, workers


class Done(NamedTuple):
    """One piece with its value; ``restored``: it was read from a file."""

    work: Work
    value: Any
    restored: bool


def carried_out(
    pieces: Sequence[Work],
    jobs: int = 1,
    dask: str | None = None,
    kept: Kept | None = None,
) -> Iterator[Done]:
    """Every piece as soon as it is there, begun in the order given; values depend on no worker.

    ``dask`` is an address or ``"local"``. Finished pieces go into ``kept``. Raises what a piece
    raises, ``WorkerError`` for workers that are not to be had or were lost, ``CheckpointError`` for
    a kept piece that cannot be used; on Ctrl-C the workers end too.
    """
    left = []
    for work in pieces:
        value = kept.load(work) if kept is not None else None
        if value is None:
            left.append(work)
        else:
            yield Done(work, value, True)
    if not left:
        return
    with workers(min(jobs, len(left)), dask) as executor:
        futures = {executor.submit(work.function, *work.arguments): work for work in left}
        for future in completed(futures):
            work = futures.pop(future)  # with what it holds
            value = result(future)
            if kept is not None:
                kept.save(work, value)
            yield Done(work, value, False)
