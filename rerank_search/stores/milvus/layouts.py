"""Documents as rows of Milvus: their fields, in a collection of ours and in one of others."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from pymilvus import DataType, Function, FunctionType, MilvusClient

from rerank_search.errors import InvalidDocumentError, StoreMismatchError
from rerank_search.shown import shown
from rerank_search.storage.records import Record
from rerank_search.stores.ids import is_whole_id
from rerank_search.stores.milvus.filters import (
    INTEGERS,
    Field,
    FieldFilters,
    KeyFilters,
    one_of,
    quoted,
)
from rerank_search.types import Document

ID, TITLE, TEXT, SEARCHED, METADATA, KEYS, TEXTS, VECTOR, WORDS = (
    "id", "title", "text", "searched", "metadata", "attributes", "compared", "vector", "words"
)  # fmt: skip
"""The fields of a collection of ours: the metadata as JSON text and as filters need them, the title
and the text together as BM25 reads them, and the sparse vector that Milvus makes of that."""

LONGEST, MOST_KEYS = 65_535, 4_096
"""Most bytes of a field, and most strings of an array."""

SCALARS = ("BOOL", *INTEGERS, "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY")
"""The types of the fields that are metadata in a collection of others."""


def own_schema(dimension: int | None) -> Any:
    """The fields of a new collection."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for name in (ID, TITLE, TEXT, SEARCHED, METADATA):
        more: Any = {"is_primary": name == ID, "enable_analyzer": name == SEARCHED}
        schema.add_field(name, DataType.VARCHAR, max_length=LONGEST, **more)
    strings: Any = {"element_type": DataType.VARCHAR, "max_length": 64}
    schema.add_field(KEYS, DataType.ARRAY, max_capacity=MOST_KEYS, **strings)
    schema.add_field(TEXTS, DataType.JSON)
    if dimension is not None:
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field(WORDS, DataType.SPARSE_FLOAT_VECTOR)
    return schema.add_function(Function(WORDS, FunctionType.BM25, SEARCHED, WORDS))


class OwnLayout:
    """The layout of a collection that this library made; ``vector`` is None without vectors."""

    id = ID
    words: str | None = WORDS
    columns: Sequence[str] = (ID, TITLE, TEXT, METADATA)
    filters = KeyFilters(f'({ID} == "")', KEYS, TEXTS)

    def __init__(self, vector: str | None) -> None:
        self.vector = vector

    def having(self, ids: Collection[str]) -> str:
        """An expression for the documents with these ids."""
        return one_of(ID, [quoted(id) for id in ids])

    def document(self, row: Mapping[str, Any]) -> Document:
        """The document of a row."""
        return Document(row[ID], row[TEXT], row[TITLE], json.loads(row[METADATA]))

    def row(self, record: Record) -> dict[str, Any]:
        """The row of a document."""
        keys, texts = self.filters.stored(json.loads(record.metadata))
        searched = f"{record.title}\n{record.text}" if record.title else record.text
        row = {
            ID: record.id,
            TITLE: record.title,
            TEXT: record.text,
            SEARCHED: searched,
            METADATA: record.metadata,
        }
        for name, text in (*row.items(), (TEXTS, json.dumps(texts, ensure_ascii=False))):
            if len(text.encode()) > LONGEST:
                raise InvalidDocumentError(
                    f"the document {shown(record.id)} has more than {LONGEST:,} bytes of {name}, "
                    "which a field of Milvus cannot have: split it"
                )
        if len(keys) > MOST_KEYS:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has more metadata values than an array of Milvus "
                f"takes, whose limit is {MOST_KEYS:,}: leave some out"
            )
        return {**row, KEYS: sorted(keys), TEXTS: texts, **_vector(record, VECTOR)}


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The layout of any other collection.

    ``words`` is the sparse vector that BM25 makes of the text, None if there is none. ``metadata``
    are the fields of the metadata, and ``others`` the names of all others. ``dynamic`` says that
    documents may have keys that are no fields, ``makes_ids`` that Milvus makes the ids.
    """

    key: Field
    text: str
    title: str | None
    words: str | None
    vector: str | None
    metadata: Mapping[str, Field]
    others: frozenset[str]
    dynamic: bool
    makes_ids: bool

    @property
    def id(self) -> str:
        """The primary key."""
        return self.key.name

    @property
    def columns(self) -> Sequence[str]:
        """The fields of a document; all, with vectors, if that is how to get dynamic ones."""
        title = () if self.title is None else (self.title,)
        return ("*",) if self.dynamic else (self.id, self.text, *title, *self.metadata)

    @property
    def filters(self) -> FieldFilters:
        """Filters over the fields of the metadata."""
        zero = 0 if self._whole else '""'
        nothing = f"({self.id} < {zero} and {self.id} > {zero})"
        return FieldFilters(nothing, self.metadata)

    @property
    def _whole(self) -> bool:
        return self.key.kind in INTEGERS

    def having(self, ids: Collection[str]) -> str:
        """An expression for the documents with these ids."""
        values = list(filter(is_whole_id, ids) if self._whole else map(quoted, ids))
        return one_of(self.id, values) if values else self.filters.nothing

    def document(self, row: Mapping[str, Any]) -> Document:
        """The document of a row."""
        metadata = {
            name: value if isinstance(value, (str, int, float, dict)) else list(value)
            for name, value in row.items()
            if name not in self.others and value is not None
        }
        title = None if self.title is None else row[self.title]
        return Document(str(row[self.id]), row[self.text] or "", title or "", metadata)

    def row(self, record: Record) -> dict[str, Any]:
        """The row of a document; fields that it does not have are NULL."""
        if self.makes_ids:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} cannot be written to this collection, which "
                "makes all ids itself: use another one"
            )
        metadata = json.loads(record.metadata)
        for key in metadata:
            if key in self.others or not (self.dynamic or key in self.metadata):
                raise InvalidDocumentError(
                    f"the document {shown(record.id)} has the metadata key {shown(key)}, and the "
                    "collection has no such field for it: leave the key out, or rename it"
                )
        if record.title and self.title is None:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has a title, and the collection has no field for "
                "it: leave the title out, or name its field as ?title=NAME"
            )
        if self._whole and not is_whole_id(record.id):
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has an id that is not an integer, as the field "
                f"{shown(self.id)} needs: give it another one"
            )
        title = {} if self.title is None else {self.title: record.title}
        id = int(record.id) if self._whole else record.id
        return {
            **metadata,
            self.id: id,
            self.text: record.text,
            **title,
            **_vector(record, self.vector),
        }


def found_layout(
    schema: Mapping[str, Any], text: str, title: str | None, vector: str | None
) -> FoundLayout:
    """The layout of a collection by its description. Raises StoreMismatchError."""
    fields = {
        each["name"]: Field(each["name"], each["type"].name, bool(each.get("nullable")))
        for each in schema["fields"]
    }
    [key] = [fields[each["name"]] for each in schema["fields"] if each.get("is_primary")]
    for name in (text, *([] if title is None else [title])):
        if name not in fields or fields[name].kind != "VARCHAR":
            raise StoreMismatchError(
                f"the collection has no field {shown(name)} with texts: name the fields in the "
                f"URL, as in ?text=body&title=heading; there are {', '.join(map(repr, fields))}"
            )
    metadata = {
        name: field
        for name, field in fields.items()
        if field.kind in SCALARS and name not in (key.name, text, title)
    }
    words = [
        each["output_field_names"][0]
        for each in schema.get("functions", [])
        if each["type"] == FunctionType.BM25 and each["input_field_names"] == [text]
    ]
    return FoundLayout(
        key=key,
        text=text,
        title=title,
        words=next(iter(words), None),
        vector=vector,
        metadata=metadata,
        others=frozenset(fields.keys() - metadata.keys()),
        dynamic=bool(schema.get("enable_dynamic_field")),
        makes_ids=bool(schema.get("auto_id")),
    )


Layout: TypeAlias = OwnLayout | FoundLayout
"""Where a collection has the parts of a document."""


def _vector(record: Record, field: str | None) -> dict[str, list[float]]:
    if record.vector is None or field is None:
        return {}
    return {field: np.frombuffer(record.vector, "<f4").tolist()}
