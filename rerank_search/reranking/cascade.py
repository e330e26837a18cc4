"""Rerankers in a row: a fast one scores everything, a slow one the best of that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.calls import scored
from rerank_search.reranking.given import reranker_of
from rerank_search.reranking.pairs import checked_pairs
from rerank_search.shown import shown


class Cascade:
    """Scores with the first reranker, and what is best for each query with the next ones.

    ``keep[i]`` texts of each query go from ``rerankers[i]`` to the next. The scores of the last
    one are its own. Texts that it has not seen follow below its lowest, in the order and with the
    differences of the reranker that has seen them last, so that a list is sorted by one number;
    that number depends on the list, and must not be kept for a pair. Equal scores are kept in the
    order of the list. What a stage has cut is not reported. Threads may share one. Rerankers that
    tokenise alike keep tokens of texts together from now on, those of the first.

    >>> cascade = Cascade(["rerank-search-tiny", "rerank-search-base"], keep=[30])

    Raises InvalidInputError unless there is a number to keep, at least 1, between each two.
    """

    listwise = True

    def __init__(
        self, rerankers: Iterable[Reranker | str | PathLike[str]], keep: Iterable[int]
    ) -> None:
        given = list(several("rerankers", rerankers, one="rerankers"))
        numbers = list(several("keep", keep, one="numbers"))
        if not 2 <= len(given) == len(numbers) + 1:
            raise InvalidInputError(
                f"rerankers={shown(given)} with keep={shown(numbers)}: give two or more rerankers, "
                "and for each but the last how many texts it passes to the next"
            )
        self._keep = [whole_number(f"keep[{i}]", each) for i, each in enumerate(numbers)]
        self._rerankers = [reranker_of(each) for each in given]
        _share_texts(self._rerankers)
        self.name = " > ".join(each.name for each in self._rerankers)

    def __repr__(self) -> str:
        return (
            f"Cascade({shown([each.name for each in self._rerankers])}, keep={shown(self._keep)})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """With its rerankers, as these are pickled."""
        return Cascade, (self._rerankers, self._keep)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Scores of the pairs, shape (n,), float32; pairs of one query are one list.

        Raises RerankError and InvalidInputError as the rerankers do.
        """
        pairs = checked_pairs(pairs)
        lists: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            lists.setdefault(query, []).append(place)
        seen = [np.array(places, dtype=np.int64) for places in lists.values()]
        values = np.zeros(len(pairs), dtype=np.float32)
        for stage, reranker in enumerate(self._rerankers):
            everything = np.concatenate([np.zeros(0, np.int64), *seen])
            logits = np.zeros(len(pairs), dtype=np.float32)
            logits[everything] = scored(reranker, [pairs[i] for i in everything]).values
            for places, own in zip(lists.values(), seen, strict=True):
                _put_above(values, logits, np.array(places), own)
            if stage < len(self._keep):
                best = [np.argsort(-logits[own], kind="stable") for own in seen]
                kept = self._keep[stage]
                seen = [own[order[:kept]] for own, order in zip(seen, best, strict=True)]
        return values


def _put_above(
    values: NDArray[np.float32],
    logits: NDArray[np.float32],
    places: NDArray[np.int64],
    seen: NDArray[np.int64],
) -> None:
    """Give the texts that were seen their logits, and move the others of the list below them."""
    others = np.setdiff1d(places, seen)
    if len(others):
        lowest = logits[seen].min()
        values[others] += lowest - 1 - values[others].max()
    values[seen] = logits[seen]


def _share_texts(rerankers: Sequence[Reranker]) -> None:
    from rerank_search.reranking.cross_encoder import CrossEncoderReranker

    own = [each for each in rerankers if isinstance(each, CrossEncoderReranker)]
    for place, each in enumerate(own):
        for other in own[:place]:
            each.share_texts(other)
