"""Documents of a source whose id comes again: the later one replaces the earlier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rerank_search.types import Document


class RepeatedIds:
    """Watches documents pass: ``seen`` are their ids, ``count`` is how often one came again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count = 0

    def watched(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The same documents, counted as they pass."""
        for document in documents:
            if document.id in self.seen:
                self.count += 1
            self.seen.add(document.id)
            yield document
