"""The index: documents on disk, and the first stages that are kept in step with them."""

from rerank_search.index.index import Bm25Settings, Index, IndexInfo, Passages

__all__ = ["Bm25Settings", "Index", "IndexInfo", "Passages"]
