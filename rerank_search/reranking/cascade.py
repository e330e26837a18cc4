"""Rerankers in a row: a fast one scores every text, a slow one only the best of them."""

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
from rerank_search.reranking.traits import require_instructions, takes_instructions
from rerank_search.shown import shown


class Cascade:
    """Scores every text with the first reranker, and each query's best with the next ones.

    The best ``keep[i]`` texts of each query go from ``rerankers[i]`` to the next. Texts that reach
    the last reranker get its scores. The others follow below its lowest score, in the order and
    with the differences of the last reranker that scored them, so that a list is sorted by one
    number. That number depends on the list, so do not cache it for a pair. Equal scores are kept
    in the order of the list. Cut texts are not reported. Threads may share one instance. Rerankers
    with equal tokenizers share the first one's memory of tokenised texts from now on. An
    instruction goes to those of the rerankers that take one.

        >>> cascade = Cascade(["rerank-search-tiny", "rerank-search-base"], keep=[30])

    Raises InvalidInputError unless ``keep`` has one number, at least 1, between each two rerankers.
    """

    listwise = True

    def __init__(
        self, rerankers: Iterable[Reranker | str | PathLike[str]], keep: Iterable[int]
    ) -> None:
        given = list(several("rerankers", rerankers, one="rerankers"))
        numbers = list(several("keep", keep, one="numbers"))
        if not 2 <= len(given) == len(numbers) + 1:
            raise InvalidInputError(
                f"rerankers={shown(given)} and keep={shown(numbers)} do not fit together: give "
                "two or more rerankers, and for each but the last the number of texts that it "
                "passes on"
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
        """Pickle the cascade with its rerankers, each in its own way."""
        return Cascade, (self._rerankers, self._keep)

    @property
    def takes_instructions(self) -> bool:
        """Whether one of the rerankers takes an instruction."""
        return any(map(takes_instructions, self._rerankers))

    def score(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        """Scores of the pairs, shape (n,), float32; pairs of one query are one list.

        Raises RerankError and InvalidInputError as the rerankers do.
        """
        pairs = checked_pairs(pairs)
        if instruction is not None:
            require_instructions(self)
        lists: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            lists.setdefault(query, []).append(place)
        seen = [np.array(places, dtype=np.int64) for places in lists.values()]
        values = np.zeros(len(pairs), dtype=np.float32)
        for stage, reranker in enumerate(self._rerankers):
            everything = np.concatenate([np.zeros(0, np.int64), *seen])
            logits = np.zeros(len(pairs), dtype=np.float32)
            own_pairs = [pairs[i] for i in everything]
            told = instruction if takes_instructions(reranker) else None
            logits[everything] = scored(reranker, own_pairs, instruction=told).values
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
    """Give the scored texts their logits, and move the rest of the list below them."""
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
