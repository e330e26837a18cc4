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
from rerank_search.vectors import SMALLEST, EncodedDocument, numbers

BATCH_CHARACTERS = 16_000_000
"""Characters at which a batch ends early, so that huge documents do not fill the memory."""

NUMBER_BYTES = 4
"""Bytes of a number of a stored vector."""

DEEPEST_METADATA = 100
"""Most levels of lists and mappings, low enough for code that reads or prints recursively."""


@dataclass(frozen=True, slots=True)
class Record:
    """A document whose strings can be stored; ``metadata`` is JSON text.

    ``vector`` has the numbers of the document's own vector as little-endian float32, None if it
    has none.
    """

    id: str
    title: str
    text: str
    metadata: str
    vector: bytes | None = None

    def document(self) -> Document:
        """The document as the user gave it."""
        metadata = {} if self.metadata == "{}" else json.loads(self.metadata)
        return Document(self.id, self.text, self.title, metadata)


def batches(
    documents: Iterable[Document], size: int, *, dimension: int | None = None
) -> Iterator[list[Record]]:
    """Checked documents, ``size`` at a time. Raises InvalidDocumentError.

    With ``dimension`` each has a vector of that length, without it none has one.
    """
    batch: list[Record] = []
    characters = 0
    for position, document in enumerate(document_list(documents)):
        record = checked(document, position)
        check_vector(record, position, dimension)
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
    metadata = _metadata(document.metadata, where)
    if not isinstance(document, EncodedDocument):
        return Record(id, document.title, document.text, metadata)
    return Record(id, document.title, document.text, metadata, _vector(document.vector, where))


def storable_ids(ids: Iterable[str]) -> list[str]:
    """The ids that a stored document can have. Raises InvalidInputError for another type."""
    found = []
    for id in ids:
        if not isinstance(id, str):
            raise InvalidInputError(f"the document id {shown(id)} is not a string: convert it")
        if id and "\0" not in id and _is_encodable(id):
            found.append(id)
    return found


def _is_encodable(id: str) -> bool:
    try:
        id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _vector(given: object, where: str) -> bytes:
    import numpy as np  # late, because clients import this module and seldom have vectors

    # Nearly all are arrays or lists of floats, and checking each number alone takes long.
    if isinstance(given, list) and set(map(type, given)) == {float}:
        given = np.array(given)
    masked = isinstance(given, np.ma.MaskedArray)  # its bytes have what is masked
    if (
        not masked
        and isinstance(given, np.ndarray)
        and given.ndim == 1
        and given.dtype.kind in "fiu"
    ):
        with np.errstate(over="ignore"):
            vector = given.astype("<f4")
        if np.isfinite(vector).all() and (np.abs(vector) >= SMALLEST).any():
            return vector.tobytes()
    try:
        return np.array(numbers("the vector", given), "<f4").tobytes()
    except InvalidInputError as error:
        raise InvalidDocumentError(f"{where}: {error}") from None


def check_vector(record: Record, position: int, dimension: int | None) -> None:
    """Raise InvalidDocumentError unless the record has a vector of that length (None: has none)."""
    where = f"document {position} (id {shown(record.id)})"
    if dimension is None and record.vector is not None:
        raise InvalidDocumentError(
            f"{where} has a vector, and the index does not store vectors that it is given: leave "
            "it out, or create an index with encoder=None and dimension="
            f"{len(record.vector) // NUMBER_BYTES}"
        )
    if dimension is not None and record.vector is None:
        raise InvalidDocumentError(
            f"{where} has no vector, and the index stores one of {dimension} numbers with each "
            "document: add(documents, vectors=...), or give EncodedDocument(..., vector=...)"
        )
    if dimension is not None and record.vector is not None:
        length = len(record.vector) // NUMBER_BYTES
        if length != dimension:
            raise InvalidDocumentError(
                f"{where} has a vector of {length} numbers, and those of the index have "
                f"{dimension}: give vectors of one model"
            )


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
