"""The rankings of one query that are measured side by side.

``first_stage``: the candidates as retrieved. ``retrieved``: only these are reranked, so that the
reranker cannot repair what the retriever missed. ``all_positives``: the judged positives are always
among the candidates, which is what the reranker is worth by itself. ``oracle``: the retrieved
candidates in the best order there is, which no reranker can beat. All of them are measured
against all judged positives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rerank_search.evaluation.results import Protocol
from rerank_search.judged.candidates import Candidates
from rerank_search.ranking import ranked
from rerank_search.reranking.fusion import RERANK, Fusion
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
    candidates: Candidates, logits: Mapping[str, float], fusion: Fusion | None
) -> dict[Protocol, Ranking]:
    """The rankings by the second stage: by document id the logits of all candidates."""
    return {
        "retrieved": reordered(candidates.retrieved, logits, fusion),
        "all_positives": reordered([*candidates.retrieved, *candidates.missed], logits, fusion),
    }


def reordered(
    hits: Sequence[Hit], logits: Mapping[str, float], fusion: Fusion | None
) -> list[tuple[str, float]]:
    """The hits by fused log-odds, or by the logit where there is no fusion; as Searcher does."""
    values = np.array([logits[hit.id] for hit in hits], dtype=np.float32)
    final = values.tolist()
    if fusion is not None and hits:
        stages = frozenset.intersection(*(frozenset(hit.stage_scores) for hit in hits))
        needed = fusion.choose(stages | {RERANK}).signals - {RERANK}
        signals = {name: np.array([hit.stage_scores[name] for hit in hits]) for name in needed}
        final = fusion.score({RERANK: values, **signals}).tolist()
    order = ranked((hit.id, score, None) for hit, score in zip(hits, final, strict=True))
    return [(id, score) for id, score, _ in order]
