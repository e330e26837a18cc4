"""The rankings of one query that are measured side by side.

``first_stage``: the candidates as retrieved. ``retrieved``: only these are reranked, so the
reranker cannot add what the retriever missed. ``all_positives``: the judged positives are always
among the candidates, which shows what the reranker is worth by itself. ``oracle``: the retrieved
candidates in the best possible order, which no reranker can beat. All of them are measured
against all judged positives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rerank_search.evaluation.results import Protocol
from rerank_search.judged.candidates import Candidates
from rerank_search.ranking import ranked
from rerank_search.reranking.final_score import FinalScore
from rerank_search.types import Hit

Ranking = Sequence[tuple[str, float]]
"""Document ids with their scores, best first."""


def first_stage_rankings(
    candidates: Candidates, grades: Mapping[str, int]
) -> dict[Protocol, Ranking]:
    """The rankings that need no reranker."""
    retrieved = [(hit.id, hit.score) for hit in candidates.retrieved]
    best = ranked((id, float(grades.get(id, 0)), None) for id, _ in retrieved)
    return {"first_stage": retrieved, "oracle": [(id, grade) for id, grade, _ in best]}


def reranked_rankings(
    candidates: Candidates, logits: Mapping[str, float], final_score: FinalScore
) -> dict[Protocol, Ranking]:
    """The rankings by the second stage, from the logits of all candidates by document id."""
    return {
        "retrieved": reordered(candidates.retrieved, logits, final_score),
        "all_positives": reordered(
            [*candidates.retrieved, *candidates.missed], logits, final_score
        ),
    }


def reordered(
    hits: Sequence[Hit], logits: Mapping[str, float], final_score: FinalScore
) -> list[tuple[str, float]]:
    """The hits by their final score, as a Searcher sorts them."""
    values = np.array([logits[hit.id] for hit in hits], dtype=np.float32)
    final = final_score.scores(hits, values).tolist()
    order = ranked((hit.id, score, None) for hit, score in zip(hits, final, strict=True))
    return [(id, score) for id, score, _ in order]
