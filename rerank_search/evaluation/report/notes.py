"""Notes about the figures, in the same words for every format."""

from __future__ import annotations

from collections.abc import Mapping

from rerank_search.evaluation.results import Protocol, StatisticsSettings

PROTOCOLS: Mapping[Protocol, str] = {
    "first_stage": "the candidates in the order of the first stage",
    "retrieved": "the same candidates, reranked: what a user sees",
    "all_positives": (
        "reranked after the judged positives that the first stage missed were added: "
        "what the reranker is worth by itself"
    ),
    "oracle": "the best possible order of the candidates: the limit that the first stage sets",
}

SBERT = (
    "These are for comparison with model cards. With always_rerank_positives=False (retrieved_*) "
    "the evaluator leaves the positives that were not retrieved out of the denominator, while its "
    "own base ranking (base_*) counts them, so a reranker that changes nothing appears to gain. "
    "base_* is 0 if no positive was retrieved. The other tables divide by all judged positives. "
    "docs/measures.md works through an example."
)

HOLM = (
    "p (Holm) is corrected over one family: all pairs of rankings of this collection at one depth "
    "by this measure. The rankings are each first stage's own and, for each reranker, the "
    "retrieved one."
)


def statistics_note(settings: StatisticsSettings) -> str:
    """How intervals and marks were computed."""
    test = {"randomisation": "paired randomisation test", "t-test": "paired t-test"}[settings.test]
    level = f"{1 - settings.confidence:.2g}"
    return (
        f"In brackets: {settings.confidence:.0%} confidence intervals of the mean "
        f"(bootstrap over queries, {settings.resamples:,} resamples). "
        f"▲ and ▼: significantly better or worse than the first stage it reranks "
        f"({test}, p < {level} after Holm's correction over all pairs of rankings of the "
        "collection at that depth by that measure)."
    )
