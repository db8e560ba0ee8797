"""Short texts as rows of tokens: a vocabulary of the training set, and a fixed length.

Tokens count from the most frequent word: 0 is padding, which stands in front, 1 any word that
the vocabulary lacks. What is made of the test set's words is thus fixed by the training set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

PADDING, UNKNOWN = 0, 1
# links and names carry no meaning of their own, and are as many words as there are of them
REPLACED = ((re.compile(r"https?://\S+|www\.\S+"), " <link> "), (re.compile(r"@\w+"), " <name> "))
# words with their apostrophe, markers, emoticons and other runs of signs, of which "!!!" is one
WORD = re.compile(r"<\w+>|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]+")


def split(text: str) -> list[str]:
    """The words of ``text`` in lower case; links and @names are one word each."""
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string, got {type(text).__name__}")
    for pattern, marker in REPLACED:
        text = pattern.sub(marker, text)
    return [word.lower() for word in WORD.findall(text)]


def vocabulary(texts: Iterable[str], most: int, least_count: int = 2) -> dict[str, int]:
    """The token of every word that ``texts`` hold ``least_count`` times, ``most`` tokens in all.

    Words of one count are in the order of the alphabet, so that the result does not depend on
    the order of the texts. Raises ``ValueError`` where there is no room for a word.
    """
    if most < 3:
        raise ValueError(f"most must be at least 3, two of which are not words; got {most!r}")
    counts = Counter(word for text in texts for word in split(text))
    ranked = sorted((-count, word) for word, count in counts.items() if count >= least_count)
    return {word: token for token, (_, word) in enumerate(ranked[: most - 2], start=2)}


def tokenise(texts: Sequence[str], words: dict[str, int], length: int) -> np.ndarray:
    """Tokens of ``texts``, ``(n, length)`` int64: the first ``length`` words, padded in front.

    In front, so that the last state of a recurrent layer has read a word. Raises ``ValueError``
    for a length below 1.
    """
    if length < 1:
        raise ValueError(f"length must be an integer >= 1, got {length!r}")
    tokens = np.full((len(texts), length), PADDING, dtype=np.int64)
    for row, text in zip(tokens, texts, strict=True):
        read = [words.get(word, UNKNOWN) for word in split(text)[:length]]
        row[length - len(read) :] = read
    return tokens


def size(words: dict[str, int]) -> int:
    """How many tokens there are, padding and unknown included."""
    return len(words) + 2


def bag_of_words(tokens: Any, count: int) -> np.ndarray:
    """How often each of ``count`` tokens stands in each row of ``tokens``, ``(n, count)``.

    Padding is not counted. For a linear model on the same words.
    """
    tokens = np.asarray(tokens)
    places = tokens + count * np.arange(len(tokens))[:, None]
    bags = np.bincount(places.ravel(), minlength=count * len(tokens)).reshape(-1, count)
    bags[:, PADDING] = 0
    return bags.astype(float)
