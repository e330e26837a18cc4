"""The best passages of each hit's document, beside the one that the document was found by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rerank_search.errors import InvalidInputError
from rerank_search.ranking import ranked
from rerank_search.reranking.fusion import RERANK
from rerank_search.retrieval.hybrid_fusion import ReciprocalRankFusion
from rerank_search.searchable import PassageSource, Searchable
from rerank_search.storage.passages import TITLE_ALONE
from rerank_search.types import FoundPassage, Hit

Rerank = Callable[[Sequence[Hit]], Sequence[Hit]]
"""A function that gives passages their final scores; fewer come back if time runs out."""


def passage_source(searched: Searchable) -> PassageSource:
    """The index, if it knows the passages of its documents. Raises InvalidInputError."""
    if isinstance(searched, PassageSource):
        return searched
    raise InvalidInputError(
        "passages_per_document needs an index that knows the passages of its documents, and this "
        f"{type(searched).__name__} does not: leave passages_per_document out"
    )


def with_passages(
    hits: Sequence[Hit],
    passages: Sequence[Sequence[Hit]],
    most: int,
    *,
    stage: str,
    rerank: Rerank | None,
) -> list[Hit]:
    """The hits with at most ``most`` passages each, the best first.

    ``passages`` are all passages of each hit's document. The first stage ``stage`` chooses those
    that it finds; if it combines others, their rankings are fused by reciprocal ranks. With
    ``rerank`` the chosen ones get final scores, and without it they keep those of the first stage.
    A hit's own passage is always there. A hit that was not reranked among others that were has no
    other.
    """
    picked = _chosen(hits, passages, most, stage)
    if rerank is None:
        scored: list[list[Hit]] = picked
    else:
        others = [
            [each for each in group if each.span != hit.span and RERANK in hit.stage_scores]
            for hit, group in zip(hits, picked, strict=True)
        ]
        known = {(each.id, each.span): each for each in rerank([*_flat(others)])}
        scored = [
            [hit, *(known[each.id, each.span] for each in group if (each.id, each.span) in known)]
            for hit, group in zip(hits, others, strict=True)
        ]
    return [
        replace(hit, passages=tuple(map(_found, _best_first(group))))
        for hit, group in zip(hits, scored, strict=True)
    ]


def _chosen(
    hits: Sequence[Hit], passages: Sequence[Sequence[Hit]], most: int, stage: str
) -> list[list[Hit]]:
    """The hit's own passage and the best others, with their scores by the first stage."""
    every = _flat(passages)
    alone = all(stage in each.stage_scores for each in every)
    scores = iter([each.stage_scores[stage] for each in every] if alone else _fused(every))
    answer = []
    for hit, group in zip(hits, passages, strict=True):
        scored = [(next(scores), each) for each in group]
        own = [pair for pair in scored if pair[1].span == hit.span] or [(hit.score, hit)]
        others = [
            pair for pair in scored if pair[0] != 0 and pair[1].span not in (hit.span, TITLE_ALONE)
        ]
        others.sort(key=lambda pair: (-pair[0], pair[1].span or (0, 0)))
        answer.append([replace(each, score=score) for score, each in [*own, *others][:most]])
    return answer


def _fused(passages: Sequence[Hit]) -> list[float]:
    """The sum of each passage's reciprocal ranks by the engines that find it."""
    names = {name: None for each in passages for name in each.stage_scores}
    rankings = [
        [
            Hit(str(place), score, rank)
            for rank, (place, score, _) in enumerate(
                ranked(
                    (place, each.stage_scores[name], None)
                    for place, each in enumerate(passages)
                    if each.stage_scores.get(name, 0.0) != 0.0
                ),
                start=1,
            )
        ]
        for name in names
    ]
    fused = ReciprocalRankFusion().fuse(rankings)
    return [fused.get(str(place), 0.0) for place in range(len(passages))]


def _best_first(passages: Sequence[Hit]) -> list[Hit]:
    return sorted(passages, key=lambda each: (-each.score, each.span or (0, 0)))


def _found(passage: Hit) -> FoundPassage:
    return FoundPassage(passage.span, passage.score, passage.text or "", passage.relevance)


def _flat(groups: Sequence[Sequence[Hit]]) -> list[Hit]:
    return [each for group in groups for each in group]
