"""rerank_search in LangChain, and LangChain's vector stores and retrievers in rerank_search."""

from rerank_search.errors import MissingDependencyError

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package langchain-core: pip install "rerank-search[langchain]"'
    ) from error

from rerank_search.plugins.langchain.compressor import RerankSearchCompressor
from rerank_search.plugins.langchain.cross_encoder import RerankSearchCrossEncoder
from rerank_search.plugins.langchain.retriever import RerankSearchRetriever
from rerank_search.plugins.langchain.stage import LangChainStage
from rerank_search.plugins.langchain.vector_store import RerankSearchVectorStore

__all__ = [
    "LangChainStage",
    "RerankSearchCompressor",
    "RerankSearchCrossEncoder",
    "RerankSearchRetriever",
    "RerankSearchVectorStore",
]
