"""How often tantivy is searched for a query, in the benchmark of BM25 and in its tests."""

from __future__ import annotations

from typing import Any

import tantivy


class Counting:
    """A searcher that counts its searches."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self._searcher = searcher
        self.searches = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._searcher, name)

    def search(self, *arguments: Any, **options: Any) -> tantivy.SearchResult:
        """The searcher's own search."""
        self.searches += 1
        return self._searcher.search(*arguments, **options)
