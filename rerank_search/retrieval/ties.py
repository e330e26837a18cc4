"""Equal scores: when scores count as equal, and how to cut a ranking without splitting a tie.

A library may add up the same terms in another order if a document has other neighbours, so that two
copies of one text get scores that differ in the last bits. Scores closer than a tolerance therefore
count as equal, and a cut-off never falls between equal scores: the caller orders them by document
id, whatever order they were added in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.base import PassageScores

TOLERANCE = 2e-6
"""Largest difference of equal scores, as a share of the best score (or of 1 if that is larger).

It is twenty units in the last place of a float32."""

EMPTY = PassageScores(np.empty(0, np.int64), np.empty(0, np.float32))

Fetch = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float32], bool]]
"""Function from a limit to ids and descending scores of the best passages, and whether those are
all."""


def levelled(
    ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    k: int,
    *,
    exhausted: bool,
) -> PassageScores | None:
    """The first k of a descending ranking, and all that tie with the last of them.

    In a run whose neighbours differ by at most the tolerance, all scores become the first one.
    None if the run at the cut-off may continue beyond the fetched passages.
    """
    tolerance = TOLERANCE * max(1.0, abs(float(scores[0])))
    starts = np.concatenate(([True], scores[:-1] - scores[1:] > tolerance))
    later = np.flatnonzero(starts[k:])
    if len(later):
        end = k + int(later[0])
    elif exhausted:
        end = len(scores)
    else:
        return None
    if starts[:end].all():
        return PassageScores(ids[:end], scores[:end])
    runs = np.flatnonzero(starts[:end])
    return PassageScores(ids[:end], np.repeat(scores[runs], np.diff(runs, append=end)))


def complete(fetch: Fetch, k: int, limit: int) -> PassageScores:
    """The best k passages and all ties of the last, fetching ``limit`` first and then more."""
    while True:
        ids, scores, exhausted = fetch(limit)
        if not len(ids):
            if exhausted:
                return EMPTY
        elif (best := levelled(ids, scores, k, exhausted=exhausted)) is not None:
            return best
        limit *= 4
