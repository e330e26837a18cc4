"""The note of this library in a table, which the column of texts keeps in its metadata."""

from __future__ import annotations

import json

import pyarrow as pa

from rerank_search.stores.lancedb.columns import TEXT
from rerank_search.stores.note import NOTE, StoreNote, read_note_text
from rerank_search.stores.url import StoreUrl


def note_in(schema: pa.Schema, text: str, url: StoreUrl) -> StoreNote:
    """What this library noted in the table."""
    for name in (text, TEXT):
        metadata = (schema.field(name).metadata or {}) if name in schema.names else {}
        if (noted := metadata.get(NOTE.encode())) is not None:
            return read_note_text(noted, url)
    return StoreNote()


def written(note: StoreNote) -> dict[str, str]:
    """The note as the metadata of a column."""
    return {NOTE: json.dumps(note.written())}
