"""The score that hits are sorted by after reranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank_search.ranking import ranked
from rerank_search.reranking.calibration import Calibration, Calibrations
from rerank_search.reranking.fusion import RERANK, Fusion
from rerank_search.types import Hit

MISSING = 0.0
"""Score of a stage without one for a hit: BM25 of no common word, cosine of unrelated texts."""


class FinalScore:
    """Fuses logits with the scores of the first stages, and says how likely a hit is relevant.

    ``stages`` are the first stages of the searched index: they decide once, for all queries, which
    weights of the fusion are used. Without a fusion the final score is the logit. ``calibration``
    is used if it was fitted for this score. Searches and evaluations both rank by the final score.
    Raises InvalidInputError for a fusion without weights for these stages.
    """

    def __init__(
        self,
        fusion: Fusion | None,
        stages: Iterable[str],
        calibration: Calibration | Calibrations | None = None,
    ) -> None:
        self._fusion = fusion
        weights = None if fusion is None else fusion.choose(frozenset({RERANK, *stages}))
        self.signals = frozenset() if weights is None else weights.signals - {RERANK}
        """The stages whose scores are weighed, without the reranker."""
        self.calibration = None if calibration is None else calibration.of(weights)

    def lacks_signals(self, hits: Iterable[Hit]) -> bool:
        """Whether any hit lacks the score of a weighed stage."""
        return any(not self.signals <= hit.stage_scores.keys() for hit in hits)

    def scores(
        self, hits: Sequence[Hit], logits: NDArray[np.float32]
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        """The final score of each hit of one query, shape (n,)."""
        if self._fusion is None or not hits:
            return logits
        signals = {
            name: np.array([hit.stage_scores.get(name, MISSING) for hit in hits])
            for name in self.signals
        }
        return self._fusion.score({RERANK: logits, **signals})

    def ordered(self, hits: Sequence[Hit], logits: NDArray[np.float32]) -> list[Hit]:
        """The hits of one query by final score; hits without a logit follow in their old order.

        ``logits`` belong to the first hits, at least one. Hits without a logit get scores below the
        lowest final score, spaced by the first stage's differences.
        """
        count = len(logits)
        scored = self.scored(hits[:count], logits)
        ordered = [hit for _, _, hit in ranked((hit.id, hit.score, hit) for hit in scored)]
        # One below the worst reranked hit, so that scores stay sorted over all hits.
        offset = ordered[-1].score - 1 - (hits[count].score if count < len(hits) else 0.0)
        return ordered + [replace(hit, score=hit.score + offset) for hit in hits[count:]]

    def scored(self, hits: Sequence[Hit], logits: NDArray[np.float32]) -> list[Hit]:
        """The hits of one query with their final scores and how likely they are relevant.

        ``stage_scores`` gains the logit and the fused score.
        """
        final = self.scores(hits, logits)
        parts = [{RERANK: logit} for logit in logits.tolist()]
        if self._fusion is not None:
            for part, log_odds in zip(parts, final.tolist(), strict=True):
                part["fused"] = log_odds
        relevance: list[float] | list[None] = [None] * len(hits)
        if self.calibration is not None:
            relevance = self.calibration.probability(final).tolist()
        return [
            replace(hit, score=score, stage_scores={**hit.stage_scores, **part}, relevance=chance)
            for hit, score, part, chance in zip(hits, final.tolist(), parts, relevance, strict=True)
        ]
