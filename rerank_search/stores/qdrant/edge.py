"""Qdrant Edge: the core of Qdrant in this process, with its data in a folder."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from rerank_search.errors import (
    InvalidInputError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from rerank_search.files import atomic_write_json, disk_errors, make_folder
from rerank_search.shown import shown
from rerank_search.stores.qdrant.calls import (
    DEFAULT_LANGUAGE,
    NO_STEMMER,
    Collection,
    Conditions,
    NewPoint,
    Point,
    PointId,
)
from rerank_search.stores.url import StoreUrl

NOTE_FILE = "rerank_search.json"
"""The file in the folder that has the note, since a shard has no metadata of its own."""

CONFIG_FILE = "edge_config.json"
"""A file that every shard has."""

NO_VECTOR = "none"
"""The sparse vector of a shard without vectors, which must have some vector."""


class EdgeCalls:
    """One shard of Qdrant Edge; ``QdrantCalls``. One process at a time has it open."""

    def __init__(self, url: StoreUrl) -> None:
        if url.host or not url.path:
            raise InvalidInputError(f"{url} names no folder: write it as qdrant+edge:///FOLDER")
        self._url = url
        self._folder = Path(url.path)
        self._opened: edge.EdgeShard | None = None
        self._opening = threading.Lock()

    @property
    def _exists(self) -> bool:
        return (self._folder / CONFIG_FILE).exists()

    @contextmanager
    def _shard(self) -> Iterator[edge.EdgeShard]:
        with disk_errors(self._folder), _edge_errors(self._url):
            with self._opening:
                if self._opened is None:
                    if not self._exists:
                        raise StoreNotFoundError(f"{self._url} does not exist: check its name")
                    self._opened = edge.EdgeShard.load(str(self._folder))
            yield self._opened

    def describe(self) -> Collection | None:
        """What is there."""
        if not self._exists:
            return None
        config = _read(self._folder / CONFIG_FILE, self._url)
        vectors = config.get("vectors") or {}
        note = self._folder / NOTE_FILE
        return Collection(
            vectors={
                name: (each["size"], each["distance"])
                for name, each in vectors.items()
                if not each.get("multivector_config")
            },
            note=_read(note, self._url) if note.exists() else {},
        )

    def check_language(self, language: str | None) -> None:
        """Raise InvalidInputError for a language without a stemmer."""
        _stemmer(language)

    def create(self, dimension: int | None, note: Mapping[str, Any]) -> None:
        """Make the shard, unless it exists."""
        if self._exists:
            return
        if dimension is None:
            config = edge.EdgeConfig(sparse_vectors={NO_VECTOR: edge.EdgeSparseVectorParams()})
        else:
            params = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
            config = edge.EdgeConfig(vectors=params)
        with disk_errors(self._folder), _edge_errors(self._url):
            make_folder(self._folder)
            self.annotate(note)  # first, so that a shard of ours is never without it
            with self._opening:
                self._opened = edge.EdgeShard.create(str(self._folder), config)

    def ranks_by(self, key: str) -> bool:
        """Whether the key has a text index with scoring."""
        with self._shard() as shard:
            index = shard.info().payload_schema.get(key)
        return index is not None and getattr(index.params, "scoring", None) is not None

    def rank_by(self, key: str, language: str | None) -> None:
        """Make the text index that BM25 ranks by."""
        index = edge.TextIndexParams(
            tokenizer=edge.TokenizerType.Word,
            lowercase=True,
            stemmer=_stemmer(language),
            scoring=True,
        )
        self._update(edge.UpdateOperation.create_field_index(key, index))

    def annotate(self, note: Mapping[str, Any]) -> None:
        """Store the note in a file beside the shard's."""
        with disk_errors(self._folder):
            atomic_write_json(self._folder / NOTE_FILE, dict(note))

    def search_text(
        self, text: str, key: str, limit: int, filter: Conditions, payload: Sequence[str]
    ) -> list[Point]:
        """The best points by BM25."""
        return self._best(edge.TextQuery(key, text), limit, filter, payload)

    def search_vector(
        self,
        vector: Sequence[float],
        name: str,
        limit: int,
        filter: Conditions,
        payload: Sequence[str],
        *,
        exact: bool,
    ) -> list[Point]:
        """The best points by their vectors."""
        query = edge.Query.Nearest(list(vector), using=name or None)
        return self._best(query, limit, filter, payload, exact=exact)

    def _best(
        self,
        query: Any,
        limit: int,
        filter: Conditions,
        payload: Sequence[str],
        *,
        exact: bool = False,
    ) -> list[Point]:
        request = edge.QueryRequest(
            limit=limit,
            query=query,
            filter=_filter(filter),
            params=edge.SearchParams(exact=exact),
            with_payload=list(payload) or False,
        )
        with self._shard() as shard:
            found = shard.query(request)
        return [Point(_id(each), each.payload or {}, each.score) for each in found]

    def points(self, ids: Sequence[PointId], *, payload: bool) -> list[Point]:
        """The points with these ids."""
        with self._shard() as shard:
            found = shard.retrieve(list(map(_edge_id, ids)), payload, False)
        return [Point(_id(each), each.payload or {}) for each in found]

    def write(self, points: Sequence[NewPoint], vector: str) -> None:
        """Write the points to the disk."""
        made = [
            edge.Point(_edge_id(each.id), _vectors(each, vector), dict(each.payload))
            for each in points
        ]
        self._update(edge.UpdateOperation.upsert_points(made))

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete the points on the disk."""
        self._update(edge.UpdateOperation.delete_points(list(map(_edge_id, ids))))

    def count(self) -> int:
        """The number of points."""
        with self._shard() as shard:
            return shard.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        """Close the shard."""
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _update(self, operation: edge.UpdateOperation) -> None:
        with self._shard() as shard:
            shard.update(operation)
            shard.flush()


@contextmanager
def _edge_errors(url: StoreUrl) -> Iterator[None]:
    try:
        yield
    except (StoreError, OSError):
        raise
    except Exception as error:
        # The core raises bare Exceptions, which only their messages tell apart.
        if type(error) is not Exception:
            raise
        said = str(error)
        if "WouldBlock" in said:
            raise StoreUnreachableError(
                f"{url} is in use by another process or another store: close it there, or use a "
                "server"
            ) from error
        if "No space left" in said:
            raise StoreFullError(f"{url} has no space left: make room on the disk") from error
        if "dimension" in said or "vector name" in said:
            raise StoreMismatchError(f"{url}: {shown(said, 300)}: open the store again") from error
        raise StoreError(f"{url}: {shown(said, 300)}") from error


def _read(path: Path, url: StoreUrl) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} of {url} is not JSON ({error}): restore it") from error


def _stemmer(language: str | None) -> Any:
    language = DEFAULT_LANGUAGE if language is None else language
    if language == NO_STEMMER:
        return None
    known = [name for name in dir(edge.SnowballLanguage) if name[0].isupper()]
    if language.capitalize() not in known:
        raise InvalidInputError(
            f"language={shown(language)} has no stemmer in Qdrant: use {NO_STEMMER}, or one of "
            f"{', '.join(known).lower()}"
        )
    return edge.SnowballParams(getattr(edge.SnowballLanguage, language.capitalize()))


def _filter(conditions: Conditions) -> Any:
    """A filter of the REST API, as Edge has it."""
    parts: dict[str, Any] = {
        word: list(map(_condition, parts)) for word, parts in conditions.items()
    }
    return edge.Filter(**parts)


def _condition(condition: Conditions) -> Any:
    match condition:
        case {"has_id": ids}:
            return edge.HasIdCondition(set(map(_edge_id, ids)))
        case {"is_empty": {"key": key}}:
            return edge.IsEmptyCondition(key)
        case {"is_null": {"key": key}}:
            return edge.IsNullCondition(key)
        case {"key": key, "range": bounds}:
            return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))
        case {"key": key, "match": match}:
            return edge.FieldCondition(key, match=_match(match))
        case _:
            return _filter(condition)


def _match(match: Conditions) -> Any:
    [(name, value)] = match.items()
    if name == "any":
        return edge.MatchAny(value)
    if name == "prefix":
        return edge.MatchPrefix(value)
    if name == "substring":
        return edge.MatchSubstring(value)
    # Edge reads a bool of Python as the integer 1 or 0, and one of NumPy as a bool.
    typed: Any = np.bool_(value) if isinstance(value, bool) else value
    return edge.MatchValue(typed)


def _vectors(point: NewPoint, name: str) -> Any:
    if point.vector is None:
        return {}
    return {name: list(point.vector)} if name else list(point.vector)


def _edge_id(id: PointId) -> Any:
    return id if isinstance(id, int) else uuid.UUID(id)


def _id(point: Any) -> PointId:
    return point.id if isinstance(point.id, int) else str(point.id)
