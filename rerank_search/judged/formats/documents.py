"""The documents and queries of a collection: every line of their files, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rerank_search.corpora.definition import Definition, documents_of
from rerank_search.corpora.readers import numbered_documents
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.judged.formats.lines import CONTROL
from rerank_search.types import Document


def documents_in(path: Path) -> Iterator[Document]:
    """The documents of one file that ``corpora.readers`` reads, streamed; ids are kept in memory.

    Raises InvalidDocumentError with file, line and reason for a malformed line, an id that is a
    duplicate or contains a control character, and a file without documents.
    """
    return _distinct((document for _, document in _strict(path)), path, [path])


def documents_defined(definition: Definition, path: Path) -> Iterator[Document]:
    """The documents of an index definition, read from the file ``path``, streamed.

    Raises InvalidDocumentError as ``documents_in`` does.
    """
    return _distinct(documents_of(definition), path, [Path(file) for file in definition.files])


def query_texts(path: Path) -> dict[str, str]:
    """The queries of a JSONL file with ``_id`` and ``text``: id to text.

    Raises InvalidInputError with file, line and reason for a malformed line, a duplicate id, and a
    file without queries.
    """
    texts: dict[str, str] = {}
    for number, row in _strict(path):
        if row.id in texts:
            raise InvalidInputError(
                f"{path}, line {number}: the query id {row.id!r} is a duplicate: rename one of "
                "the queries"
            )
        texts[row.id] = row.text
    if not texts:
        raise InvalidInputError(f"{path} is empty: give the complete file")
    return texts


def _strict(path: Path) -> Iterator[tuple[int, Document]]:
    for number, record in numbered_documents(path):
        if isinstance(record, str):
            raise InvalidDocumentError(f"{path}, line {number}: {record}. Fix the line")
        yield number, record


def _distinct(
    documents: Iterable[Document], source: Path, files: Iterable[Path]
) -> Iterator[Document]:
    seen: set[str] = set()
    for document in documents:
        if CONTROL.search(document.id):
            places = ", ".join(_places(document.id, files)) or str(source)
            raise InvalidDocumentError(
                f"{places}: the document id {document.id!r} contains a control character: rename "
                "it, because such ids cannot be told apart reliably"
            )
        if document.id in seen:
            places = ", ".join(_places(document.id, files)) or str(source)
            raise InvalidDocumentError(
                f"{places}: duplicate document id {document.id!r}: rename or remove all but one"
            )
        seen.add(document.id)
        yield document
    if not seen:
        raise InvalidDocumentError(f"{source} has no documents: give the complete file")


def _places(id: str, files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        for number, document in _strict(file):
            if document.id == id:
                yield f"{file}, line {number}"
