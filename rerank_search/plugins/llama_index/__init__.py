"""rerank_search in LlamaIndex, and LlamaIndex's indexes and retrievers in rerank_search."""

from rerank_search.errors import MissingDependencyError

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package llama-index-core: pip install "rerank-search[llama-index]"'
    ) from error

from rerank_search.plugins.llama_index.postprocessor import RerankSearchPostprocessor
from rerank_search.plugins.llama_index.retriever import RerankSearchRetriever
from rerank_search.plugins.llama_index.stage import LlamaIndexStage
from rerank_search.plugins.llama_index.vector_store import RerankSearchVectorStore

__all__ = [
    "LlamaIndexStage",
    "RerankSearchPostprocessor",
    "RerankSearchRetriever",
    "RerankSearchVectorStore",
]
