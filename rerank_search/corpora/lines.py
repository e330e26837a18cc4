"""One line of a file of documents, turned into a Document or rejected with the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from rerank_search.arguments import document_id
from rerank_search.corpora.json_objects import json_kind, json_object
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.shown import counted, shown
from rerank_search.types import Document, JsonValue
from rerank_search.vectors import encoded

_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?")
_UNDECODED = re.compile("[\udc80-\udcff]")
"""A character for a byte of a CSV file that is not UTF-8 (``surrogateescape``)."""
_NAMED = ("_id", "id", "text", "title", "metadata")


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """The key or column with the vectors of documents, and how many numbers each has."""

    dimension: int
    name: str = "vector"


def document_of_json(line: bytes, vectors: VectorColumn | None = None) -> Document:
    """The document of one line of JSONL. Raises InvalidDocumentError with the reason alone."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"not UTF-8 (byte {error.start + 1})") from error
    return document_of(json_object(text, parse_constant=_no_constant), vectors)


def document_of(record: dict[str, JsonValue], vectors: VectorColumn | None = None) -> Document:
    """The document of an object with its fields. Raises InvalidDocumentError with the reason."""
    if "text" not in record:
        raise InvalidDocumentError("no 'text'")
    vector = None if vectors is None else record.pop(vectors.name, None)
    document = Document(
        id=_id(record),
        text=_text(record, "text"),
        title=_text(record, "title"),
        metadata=_metadata(record),
    )
    return document if vector is None else encoded(document, vector)


def document_of_row(header: Sequence[str], row: Sequence[str]) -> Document:
    """The document of one row of CSV or TSV, whose header names ``id`` and ``text``.

    Empty cells are left out of the metadata, others are typed by ``typed_value``. Raises
    InvalidDocumentError with the reason alone.
    """
    if len(row) != len(header):
        raise InvalidDocumentError(f"{counted(len(row), 'cell')}, but {len(header)} in the header")
    for name, cell in zip(header, row, strict=True):
        if _UNDECODED.search(cell):
            raise InvalidDocumentError(f"not UTF-8 (column {name!r})")
    cells = dict(zip(header, row, strict=True))
    return Document(
        id=cells.pop("id"),
        text=cells.pop("text"),
        title=cells.pop("title", ""),
        metadata={name: typed_value(cell) for name, cell in cells.items() if cell},
    )


def typed_value(text: str) -> str | int | float | bool:
    """A word as metadata: ``true``, ``false`` or a plain number if it looks so, else text.

    A number that Python would write differently (``007``, ``3.10``, ``1e3``) stays text, so that
    nothing is lost. The same rule holds for the cells of a CSV and for ``--filter key=value``.
    """
    if text in ("true", "false"):
        return text == "true"
    if not _NUMBER.fullmatch(text):
        return text
    value: int | float = float(text) if "." in text else int(text)
    return value if str(value) == text else text


def _id(record: dict[str, JsonValue]) -> str:
    if "_id" in record and "id" in record:
        raise InvalidDocumentError("both '_id' and 'id'")
    value = record.get("_id", record.get("id"))
    if value is None:
        raise InvalidDocumentError("no 'id' (or '_id')")
    try:
        return document_id(value, "'id'")
    except InvalidInputError as error:
        raise InvalidDocumentError(str(error)) from None


def _text(record: dict[str, JsonValue], key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidDocumentError(f"{key!r} is {json_kind(value)}, not a string")
    return value


def _metadata(record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    metadata = record.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise InvalidDocumentError(f"'metadata' is {json_kind(metadata)}, not an object")
    further = {key: value for key, value in record.items() if key not in _NAMED}
    if both := sorted(metadata.keys() & further.keys()):
        raise InvalidDocumentError(f"{shown(both[0])} is both beside and inside 'metadata'")
    return {**metadata, **further}


def _no_constant(name: str) -> NoReturn:
    raise InvalidDocumentError(f"{name} is not a JSON number")
