"""Documents as they are stored, and the checks that they pass before anything is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from rerank_search.arguments import document_id, several
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.shown import shown
from rerank_search.types import Document, JsonValue

BATCH_CHARACTERS = 16_000_000
"""Characters at which a batch ends early, so that huge documents do not fill the memory."""

DEEPEST_METADATA = 100
"""Most levels of lists and mappings, low enough for code that reads or prints recursively."""


@dataclass(frozen=True, slots=True)
class Record:
    """A document whose strings can be stored; ``metadata`` is JSON text."""

    id: str
    title: str
    text: str
    metadata: str

    def document(self) -> Document:
        """The document as the user gave it."""
        metadata = {} if self.metadata == "{}" else json.loads(self.metadata)
        return Document(self.id, self.text, self.title, metadata)


def batches(documents: Iterable[Document], size: int) -> Iterator[list[Record]]:
    """Checked documents, ``size`` at a time. Raises InvalidDocumentError."""
    batch: list[Record] = []
    characters = 0
    for position, document in enumerate(document_list(documents)):
        record = checked(document, position)
        batch.append(record)
        characters += len(record.text)
        if len(batch) >= size or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def document_list(documents: Iterable[Document]) -> Iterable[Document]:
    """The documents, if they can be iterated as such. Raises InvalidInputError."""
    if isinstance(documents, Document):
        raise InvalidInputError("add() takes several documents, not one: use [document]")
    return several("documents", documents, one="documents")


def checked(document: object, position: int) -> Record:
    """The document as a record.

    ``position`` counts the documents of the call from 0. Raises InvalidDocumentError, which names
    id, position and fix.
    """
    if not isinstance(document, Document):
        raise InvalidDocumentError(
            f"document {position} is a {type(document).__name__}: give "
            "Document(id=..., text=...) objects"
        )
    try:
        id = document_id(document.id, f"the id of document {position}")
    except InvalidInputError as error:
        raise InvalidDocumentError(str(error)) from None
    where = f"document {position} (id {shown(id)})"
    for field, value in (("id", id), ("title", document.title), ("text", document.text)):
        if not isinstance(value, str):
            raise InvalidDocumentError(
                f"{where}: {field} is a {type(value).__name__}, not a string: convert it"
            )
        _encodable(value, f"{where}: {field}")
    if not id or "\0" in id:
        raise InvalidDocumentError(
            f"{where}: the id is empty or contains a NUL character: give another id"
        )
    return Record(id, document.title, document.text, _metadata(document.metadata, where))


def _encodable(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocumentError(
            f"{where} contains a lone surrogate at character {error.start}, which UTF-8 cannot "
            'encode: replace it, for example by text.encode("utf-8", "replace").decode()'
        ) from error


def _metadata(metadata: object, where: str) -> str:
    if not isinstance(metadata, Mapping):
        raise InvalidDocumentError(
            f"{where}: metadata is a {type(metadata).__name__}, not a mapping: give a dict"
        )
    try:
        encoded = json.dumps(_plain(metadata, where, 0), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        if isinstance(error, InvalidDocumentError):
            raise
        raise InvalidDocumentError(
            f"{where}: metadata has a number that JSON does not have, such as NaN or an infinity "
            f"({error}): use None or a string"
        ) from error
    _encodable(encoded, f"{where}: metadata")
    return encoded


def _plain(value: object, where: str, depth: int) -> JsonValue:
    """The value in JSON's own types."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Real):  # one of NumPy's
        return int(value) if isinstance(value, Integral) else float(value)
    if depth > DEEPEST_METADATA:
        raise InvalidDocumentError(
            f"{where}: metadata is nested more than {DEEPEST_METADATA} deep: flatten it"
        )
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidDocumentError(
                    f"{where}: metadata has the key {shown(key)}, not a string: convert it"
                )
        return {key: _plain(member, where, depth + 1) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(member, where, depth + 1) for member in value]
    raise InvalidDocumentError(
        f"{where}: metadata has a {type(value).__name__} ({shown(value)}): use strings, numbers, "
        "bools, None, and lists and mappings of these"
    )
