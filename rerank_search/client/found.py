"""Calls that get documents, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_search.arguments import document_id, id_list, whole_number
from rerank_search.client.call import Call, check_filter, in_parts, path_of_index, post
from rerank_search.types import Document, Filter, JsonValue

DOCUMENTS_AT_ONCE = 1_000
"""Largest number of documents in an answer, which is the server's limit."""


@dataclass(frozen=True, slots=True)
class Page:
    """Documents, ascending by id; ``next`` is the last id if there may be more."""

    documents: Sequence[Document]
    next: str | None
    warnings: Sequence[str]


class Pages:
    """The documents of several calls: ``call`` is the next one, ``take`` keeps its page.

    The server decides how many documents a page has, since their texts may be long.
    """

    def __init__(
        self, index: str | None, wanted: dict[str, JsonValue], *, after: str | None, limit: int
    ) -> None:
        self.documents: list[Document] = []
        self.warnings: dict[str, None] = {}
        self._path = f"{path_of_index(index)}/find"
        self._wanted = wanted
        self._after = after
        self._left = limit

    @property
    def call(self) -> Call[Page] | None:
        """The call for the next page; None if there are no more documents."""
        if not self._left:
            return None
        limit = min(self._left, DOCUMENTS_AT_ONCE)
        return post(self._path, {**self._wanted, "after": self._after, "limit": limit}, _page)

    def read(self, ask: Callable[[Call[Page]], Page]) -> None:
        """Keep the documents of all pages, of which ``ask`` gets one by one."""
        while (call := self.call) is not None:
            self.take(ask(call))

    def take(self, page: Page) -> None:
        """Keep the documents of a page."""
        self.documents += page.documents
        self.warnings |= dict.fromkeys(page.warnings)
        self._after = page.next
        self._left = 0 if page.next is None else self._left - len(page.documents)


def of_filter(
    index: str | None, filter: Filter | None, *, after: str | int | None, limit: int
) -> Pages:
    """The documents that a filter allows. Raises InvalidInputError."""
    return Pages(
        index,
        {"filter": None if filter is None else check_filter(filter)},
        after=None if after is None else document_id(after, "after"),
        limit=whole_number("limit", limit),
    )


def of_ids(index: str | None, ids: Sequence[str]) -> Iterator[Pages]:
    """The documents with these ids, some in each of several ``Pages``. Raises InvalidInputError."""
    for part in in_parts(list(dict.fromkeys(ids)), DOCUMENTS_AT_ONCE):
        yield Pages(index, {"ids": list(part)}, after=None, limit=len(part))


def documents(
    ask: Callable[[Call[Page]], Page], index: str | None, ids: Iterable[str | int]
) -> list[Document | None]:
    """The documents in the order of their ids, None for an unknown one. Raises what ``ask`` does.

    Raises InvalidInputError for invalid ids.
    """
    wanted = id_list(ids)
    found: dict[str, Document] = {}
    for pages in of_ids(index, wanted):
        pages.read(ask)
        found |= {each.id: each for each in pages.documents}
    return [found.get(id) for id in wanted]


def _page(answer: Any) -> Page:
    documents = [
        Document(each["id"], each["text"], each["title"], each["metadata"])
        for each in answer["documents"]
    ]
    return Page(documents, answer.get("next"), answer.get("warnings") or ())
