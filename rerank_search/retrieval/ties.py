"""Equal scores: what counts as equal, and how a ranking is cut without splitting a tie.

A library adds up the same terms in another order when other documents stand around a document,
so that two copies of one text get scores that differ in the last bits. Scores closer than a
tolerance therefore count as equal, and a cut-off never falls between equal scores: the caller
orders them by document id, whatever order they were added in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.base import PassageScores

TOLERANCE = 2e-6
"""Share of the best score (of 1 where that is less) up to which scores are equal: twenty units
in the last place of a float32."""

EMPTY = PassageScores(np.empty(0, np.int64), np.empty(0, np.float32))

Fetch = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float32], bool]]
"""(limit) -> ids and descending scores of the best passages, and whether there are no more."""


def levelled(
    ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    k: int,
    *,
    exhausted: bool,
) -> PassageScores | None:
    """The first k of a descending ranking with all that tie with the last of them.

    Scores of a run whose neighbours differ by the tolerance at most become the run's first.
    None where the run at the cut-off may go on beyond what was fetched.
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
    """The best k passages and all ties of the last, fetching ``limit`` and then ever more."""
    while True:
        ids, scores, exhausted = fetch(limit)
        if not len(ids):
            if exhausted:
                return EMPTY
        elif (best := levelled(ids, scores, k, exhausted=exhausted)) is not None:
            return best
        limit *= 4
