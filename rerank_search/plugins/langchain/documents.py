"""Hits as LangChain's documents."""

from __future__ import annotations

from langchain_core.documents import Document

from rerank_search.plugins.found import found_document, further, readable, scores, tell
from rerank_search.types import Document as IndexedDocument
from rerank_search.types import ReturnedText, SearchResponse


def scored_documents(response: SearchResponse, text: ReturnedText) -> list[Document]:
    """The documents of the hits, with what the search found out about them in their metadata."""
    tell(response)
    documents = []
    for hit, score in zip(response.hits, scores(response), strict=True):
        found = document(found_document(hit, text), text)
        more = {"relevance_score": score, **further(hit)}
        found.metadata = {"document_id": hit.id, **found.metadata, **more}
        documents.append(found)
    return documents


def document(found: IndexedDocument, text: ReturnedText = "full") -> Document:
    """A document with its id, its metadata, and its title as ``title`` if that is not there yet.

    ``text`` is the part of the text that it has.
    """
    title = {"title": found.title} if found.title else {}
    return Document(readable(found, text).text, id=found.id, metadata={**title, **found.metadata})
