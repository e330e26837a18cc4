"""Documents of a source with repeated ids: the later one replaces the earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rerank_search.types import Document


class RepeatedIds:
    """A counter of repeated ids: ``seen`` has all ids, ``count`` is the number of repetitions."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count = 0

    def watched(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The same documents, counted as they are read."""
        for document in documents:
            if document.id in self.seen:
                self.count += 1
            self.seen.add(document.id)
            yield document
