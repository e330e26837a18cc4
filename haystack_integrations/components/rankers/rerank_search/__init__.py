"""The reranker as a component of a Haystack pipeline."""

import rerank_search.plugins.haystack  # noqa: F401  it says which package is missing
from haystack_integrations.components.rankers.rerank_search.ranker import RerankSearchRanker

__all__ = ["RerankSearchRanker"]
