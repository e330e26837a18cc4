"""Hybrid retrieval: the rankings of several first stages fused into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rerank_search.arguments import real_number, several, whole_number
from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.errors import InvalidInputError
from rerank_search.queries import checked_k
from rerank_search.ranking import ranked
from rerank_search.retrieval.base import Retriever, Stages
from rerank_search.shown import shown
from rerank_search.types import Filter, Hit

LEAST_DEPTH = 100
"""Fewest hits that each stage is asked for."""


class HybridFusion(Protocol):
    """A rule that gives each document of several rankings one score."""

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better."""
        ...


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """The sum of 1 / (k + rank) over the rankings (Cormack et al., SIGIR 2009, with k = 60)."""

    k: float = 60.0

    def __post_init__(self) -> None:
        real_number("k", self.k, least=0)

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better."""
        fused: dict[str, float] = {}
        for ranking in rankings:
            for hit in ranking:
                fused[hit.id] = fused.get(hit.id, 0.0) + 1.0 / (self.k + hit.rank)
        return fused


class Hybrid:
    """Several first stages combined into one; a ``Retriever``.

    Each stage is asked for ``depth`` documents (by default k, at least 100), and the best k of all
    are returned. A hit's score is the fused score; its ``stage_scores`` has it as ``hybrid``, and
    the score of each stage that found the document. Its ``span`` comes from the stage that ranks it
    best.
    """

    name: str = HYBRID

    def __init__(
        self,
        stages: Sequence[Retriever],
        *,
        fusion: HybridFusion | None = None,
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
        self._fusion = ReciprocalRankFusion() if fusion is None else fusion
        if isinstance(self._fusion, type) or not callable(getattr(self._fusion, "fuse", None)):
            raise InvalidInputError(
                f"fusion={shown(fusion)} has no method fuse: give one such as "
                "ReciprocalRankFusion()"
            )
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


def opened(index: Stages, *, fusion: HybridFusion | None = None) -> Hybrid:
    """BM25 and the vectors of an index, fused."""
    return Hybrid([index.retriever(BM25), index.retriever(DENSE)], fusion=fusion)
