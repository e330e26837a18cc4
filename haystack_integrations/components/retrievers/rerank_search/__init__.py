"""The two-stage search as a component of a Haystack pipeline."""

import rerank_search.plugins.haystack  # noqa: F401  it says which package is missing
from haystack_integrations.components.retrievers.rerank_search.retriever import (
    RerankSearchRetriever,
)

__all__ = ["RerankSearchRetriever"]
