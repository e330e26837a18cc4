"""Two-stage search: a first stage fetches candidates, a cross-encoder reranks them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rerank_search.errors import (
    FilterWarning,
    IndexCorruptedError,
    IndexExistsError,
    IndexFormatError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    IndexReadOnlyError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidInputError,
    MissingDependencyError,
    ModelNotFoundError,
    PluginError,
    PushError,
    RerankError,
    RerankSearchError,
    RunLockedError,
    SearchIndexError,
    StorageFullError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
    UnsupportedError,
)
from rerank_search.types import (
    Document,
    ExplainedResponse,
    FoundPassage,
    Hit,
    SearchResponse,
)

if TYPE_CHECKING:
    from rerank_search.client import AsyncClient, Client, RemoteSearcher
    from rerank_search.index import Index
    from rerank_search.options import SearchArguments, SearchOptions
    from rerank_search.reranking.calibration import Calibration, Calibrations
    from rerank_search.reranking.cascade import Cascade
    from rerank_search.reranking.cross_encoder import CrossEncoderReranker
    from rerank_search.reranking.fusion import Fusion
    from rerank_search.reranking.late_interaction import MultiVectorReranker
    from rerank_search.reranking.remote_reranker import RemoteReranker
    from rerank_search.reranking.sbert import CrossEncoder
    from rerank_search.retrieval.encoder import Encoder
    from rerank_search.retrieval.remote_encoder import RemoteEncoder
    from rerank_search.retrieval.sparse_encoder import SparseEncoder
    from rerank_search.searchable import Searchable
    from rerank_search.searcher import Searcher
    from rerank_search.texts import rank_texts
    from rerank_search.vectors import EncodedDocument, EncodedQuery

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Calibration",
    "Calibrations",
    "Cascade",
    "Client",
    "CrossEncoder",
    "CrossEncoderReranker",
    "Document",
    "EncodedDocument",
    "EncodedQuery",
    "Encoder",
    "ExplainedResponse",
    "FilterWarning",
    "FoundPassage",
    "Fusion",
    "Hit",
    "Index",
    "IndexCorruptedError",
    "IndexExistsError",
    "IndexFormatError",
    "IndexLockedError",
    "IndexMismatchError",
    "IndexNotFoundError",
    "IndexReadOnlyError",
    "InvalidDocumentError",
    "InvalidFilterError",
    "InvalidInputError",
    "MissingDependencyError",
    "ModelNotFoundError",
    "MultiVectorReranker",
    "PluginError",
    "PushError",
    "RemoteEncoder",
    "RemoteReranker",
    "RemoteSearcher",
    "RerankError",
    "RerankSearchError",
    "RunLockedError",
    "SearchArguments",
    "SearchIndexError",
    "SearchOptions",
    "SearchResponse",
    "Searchable",
    "Searcher",
    "SparseEncoder",
    "StorageFullError",
    "StoreAccessError",
    "StoreError",
    "StoreFullError",
    "StoreMismatchError",
    "StoreNotFoundError",
    "StoreTimeoutError",
    "StoreUnreachableError",
    "UnsupportedError",
    "__version__",
    "rank_texts",
]

# Imported on first use: the libraries behind them take seconds to import.
_LAZY = {
    "AsyncClient": ("rerank_search.client", "AsyncClient"),
    "Client": ("rerank_search.client", "Client"),
    "Calibration": ("rerank_search.reranking.calibration", "Calibration"),
    "Calibrations": ("rerank_search.reranking.calibration", "Calibrations"),
    "Cascade": ("rerank_search.reranking.cascade", "Cascade"),
    "CrossEncoder": ("rerank_search.reranking.sbert", "CrossEncoder"),
    "CrossEncoderReranker": ("rerank_search.reranking.cross_encoder", "CrossEncoderReranker"),
    "EncodedDocument": ("rerank_search.vectors", "EncodedDocument"),
    "EncodedQuery": ("rerank_search.vectors", "EncodedQuery"),
    "Encoder": ("rerank_search.retrieval.encoder", "Encoder"),
    "Fusion": ("rerank_search.reranking.fusion", "Fusion"),
    "Index": ("rerank_search.index", "Index"),
    "MultiVectorReranker": (
        "rerank_search.reranking.late_interaction",
        "MultiVectorReranker",
    ),
    "RemoteEncoder": ("rerank_search.retrieval.remote_encoder", "RemoteEncoder"),
    "RemoteReranker": ("rerank_search.reranking.remote_reranker", "RemoteReranker"),
    "RemoteSearcher": ("rerank_search.client", "RemoteSearcher"),
    "SearchArguments": ("rerank_search.options", "SearchArguments"),
    "SearchOptions": ("rerank_search.options", "SearchOptions"),
    "Searchable": ("rerank_search.searchable", "Searchable"),
    "Searcher": ("rerank_search.searcher", "Searcher"),
    "SparseEncoder": ("rerank_search.retrieval.sparse_encoder", "SparseEncoder"),
    "rank_texts": ("rerank_search.texts", "rank_texts"),
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value: object = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
