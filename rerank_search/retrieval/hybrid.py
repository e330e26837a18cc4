"""Hybrid retrieval: the rankings of several first stages fused into one."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_search.arguments import several, whole_number
from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.errors import InvalidInputError
from rerank_search.queries import checked_k
from rerank_search.ranking import ranked
from rerank_search.retrieval.base import Retriever, Stages
from rerank_search.retrieval.hybrid_fusion import LEAST_DEPTH, HybridFusion, fusion_of
from rerank_search.shown import shown
from rerank_search.types import Filter, Hit, HybridName


class Hybrid:
    """Several first stages combined into one; a ``Retriever``.

    Each stage is asked for ``depth`` documents (by default k, at least 100), and the best k of all
    are returned. ``fusion`` is a HybridFusion or the name of one; reciprocal ranks need no scores
    that can be compared. A hit's score is the fused score; its ``stage_scores`` has it as
    ``hybrid``, and the score of each stage that found the document. Its ``span`` comes from the
    stage that ranks it best.
    """

    name: str = HYBRID

    def __init__(
        self,
        stages: Sequence[Retriever],
        *,
        fusion: HybridFusion | HybridName = "rrf",
        depth: int | None = None,
    ) -> None:
        self._stages = tuple(several("stages", stages, one="retrievers"))
        if not self._stages:
            raise InvalidInputError("stages is empty: give at least one first stage")
        for stage in self._stages:
            if isinstance(stage, type) or not callable(getattr(stage, "retrieve", None)):
                raise InvalidInputError(
                    f"stages has {shown(stage)}, which has no method retrieve: give retrievers"
                )
        self._fusion = fusion_of(fusion)
        self._depth = None if depth is None else whole_number("depth", depth)

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        Raises InvalidInputError for k < 1, InvalidFilterError.
        """
        k = checked_k(k)
        depth = max(k, self._depth or LEAST_DEPTH)
        found = [stage.retrieve(queries, depth, filter=filter) for stage in self._stages]
        return [self._fused(rankings, k) for rankings in zip(*found, strict=True)]

    def _fused(self, rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
        scores = self._fusion.fuse(rankings)
        best: dict[str, Hit] = {}
        stage_scores: dict[str, dict[str, float]] = {document: {} for document in scores}
        for ranking in rankings:
            for hit in ranking:
                stage_scores[hit.id].update(hit.stage_scores)
                if hit.id not in best or hit.rank < best[hit.id].rank:
                    best[hit.id] = hit
        order = ranked((document, score, best[document]) for document, score in scores.items())
        return [
            Hit(
                document,
                score,
                rank,
                hit.document,
                {**stage_scores[document], self.name: score},
                hit.span,
            )
            for rank, (document, score, hit) in enumerate(order[:k], start=1)
        ]


def opened(index: Stages, *, fusion: HybridFusion | HybridName) -> Hybrid:
    """BM25 and the vectors of an index, fused."""
    return Hybrid([index.retriever(BM25), index.retriever(DENSE)], fusion=fusion)
