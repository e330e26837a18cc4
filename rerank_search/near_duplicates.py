"""Hits whose passages are nearly the same, collapsed into the best of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rerank_search.types import Hit

SHINGLE = 3
"""Number of words in a row that are compared."""

LEAST_RESEMBLANCE = 0.8
"""Share of common shingles, of all of both passages, from which two are nearly the same."""

_WORD = re.compile(r"\w+|[^\w\s]")


def collapsed(hits: Iterable[Hit]) -> list[Hit]:
    """The hits without those that are nearly the same as a better one, which then names them.

    Two passages are nearly the same if their sets of shingles, which are three words in a row, have
    a Jaccard coefficient of at least 0.8 (the resemblance of Broder, Compression and Complexity of
    Sequences 1997). Case does not count. ``rank`` and ``score`` stay as they are.
    """
    kept: list[Hit] = []
    sizes: list[int] = []
    duplicates: dict[int, list[str]] = defaultdict(list)
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for hit in hits:
        shingles = _shingles(hit.text or "")
        common = Counter(place for shingle in shingles for place in having.get(shingle, ()))
        same = [
            place
            for place, shared in common.items()
            if shared >= LEAST_RESEMBLANCE * (len(shingles) + sizes[place] - shared)
        ]
        if same:
            duplicates[min(same)].append(hit.id)
            continue
        for shingle in shingles:
            having[shingle].append(len(kept))
        kept.append(hit)
        sizes.append(len(shingles))
    return [
        replace(hit, duplicates=tuple(duplicates[place])) if place in duplicates else hit
        for place, hit in enumerate(kept)
    ]


def _shingles(text: str) -> set[tuple[str, ...]]:
    """The shingles of a text; a text of fewer words is one shingle, and one without words none."""
    words: Sequence[str] = _WORD.findall(text.casefold())
    if not words:
        return set()
    return {tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}
