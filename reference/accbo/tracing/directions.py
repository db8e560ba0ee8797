"""The seeded directions on which vectors are projected, to the last bit and in any language.

r = c ⊗ t: entry j of block b of a vector is multiplied by c_b t_j, a block being 1024 entries. So
a direction of a million entries is 2,000 numbers, and a projection is one product with t and a
short sum. A number is

    w = mix(mix(seed + G (stream + 1)) + G (index + 1))        all modulo 2⁶⁴
    ±(½ + ⌊w/2⁴¹⌋ 2⁻²³),  minus where w is odd

with the mixing function and G of SplitMix64 (Steele, Lea, Flood 2014), stream = 4 k + 2 s + f for
direction k = 0, 1, …, space s (x: 0, y: 1) and factor f (c: 0, with b for index; t: 1, with j). It
lies in ±[½, 3/2), is exact in float32 too, and has mean 0 and variance 13/12.

A vector a ≠ 0 has ⟨r, a⟩ = 0 with probability at most 2⁻²³ (a polynomial of degree 2 in numbers
that take 2²⁴ values each: Schwartz and Zippel), for two directions 2⁻⁴⁶.
"""

from __future__ import annotations

import numpy as np

BLOCK = 1024
SPACES = ("x", "y")

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def factors(seed: int, space: str, leaves: tuple[int, ...], count: int) -> tuple[np.ndarray, ...]:
    """c, ``(blocks, count)``, and t, ``(1024, count)``, of ``count`` directions.

    ``leaves`` are the sizes of the arrays that a vector is made of; each begins a new block.
    """
    blocks = sum(-(-size // BLOCK) for size in leaves)
    stream = 2 * SPACES.index(space)
    c = [_numbers(seed, 4 * k + stream, blocks) for k in range(count)]
    t = [_numbers(seed, 4 * k + stream + 1, BLOCK) for k in range(count)]
    return np.stack(c, axis=1), np.stack(t, axis=1)


def _numbers(seed: int, stream: int, count: int) -> np.ndarray:
    key = np.uint64((seed + _GOLDEN * (stream + 1)) % 2**64)
    index = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):  # modulo 2⁶⁴ is meant
        words = _mix(_mix(np.asarray(key)) + np.uint64(_GOLDEN) * index)
    size = 0.5 + (words >> np.uint64(41)).astype(float) * 2.0**-23
    return np.where(words & np.uint64(1), -size, size)


def _mix(word: np.ndarray) -> np.ndarray:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(_FIRST)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(_SECOND)
    mixed: np.ndarray = word ^ (word >> np.uint64(31))
    return mixed
