"""The number that stands for a sample: equal for equal samples, and else not."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from accbo.tracing.projection import leaves_of

LARGEST = 2**53  # what a double of another language still holds


def checksum(sample: Any) -> int:
    """An integer in [0, 2⁵³) that stands for ``sample``: one already, or any nest of arrays.

    0 is no sample at all, the expectation: a nest without an entry. Numbers count and their type
    does not, so that an index batch is the same one in int32 and int64.
    """
    if isinstance(sample, bool | np.bool_):
        raise TypeError("a sample is an integer or a nest of arrays, got a bool")
    if isinstance(sample, int | np.integer):
        if not 0 <= sample < LARGEST:
            raise ValueError(f"the number of a sample lies in [0, 2^53), got {sample}")
        return int(sample)
    leaves = [_host(leaf) for leaf in leaves_of(sample)]
    if not any(leaf.size for leaf in leaves):
        return 0
    digest = hashlib.blake2b(digest_size=8)
    for leaf in leaves:
        if leaf.size:
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return max(1, int.from_bytes(digest.digest(), "little") % LARGEST)


def _host(leaf: Any) -> np.ndarray:
    if hasattr(leaf, "get"):
        leaf = leaf.get()
    elif hasattr(leaf, "cpu"):
        leaf = leaf.cpu()
        if str(leaf.dtype) == "torch.bfloat16":
            leaf = leaf.float()
    array = np.asarray(leaf)
    if array.dtype.kind in "iub":
        return array.astype("<i8")
    return array.astype("<f8")
