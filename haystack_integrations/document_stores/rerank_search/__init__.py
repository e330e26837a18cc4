"""An index as a document store of Haystack."""

import rerank_search.plugins.haystack  # noqa: F401  it says which package is missing
from haystack_integrations.document_stores.rerank_search.document_store import (
    RerankSearchDocumentStore,
)

__all__ = ["RerankSearchDocumentStore"]
