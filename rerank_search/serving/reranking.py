"""Texts that a service reranks for a query, within its limits."""

from __future__ import annotations

from concurrent.futures import Future

from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.serving.errors import ApiError
from rerank_search.serving.service import Service


def submitted(
    service: Service,
    model: str,
    query: str,
    texts: list[str],
    long_documents: LongDocuments = "truncate",
    instruction: str | None = None,
) -> Future[Scores]:
    """Have a query's texts scored. Raises ApiError 413 above a limit, 400 for a blank query."""
    limits = service.limits
    limits.check_query(query)
    limits.check_texts("documents", texts, limits.documents)
    if not query.strip():
        raise ApiError(400, "invalid_request", "the query is blank: say what to look for")
    pairs = [(query, text) for text in texts]
    return service.rerankers.submit(model, pairs, long_documents, instruction)


def best_first(scores: Scores) -> list[int]:
    """Places in the request, the best logit first; equal logits keep their order."""
    logits = scores.values.tolist()
    return sorted(range(len(logits)), key=lambda place: (-logits[place], place))
