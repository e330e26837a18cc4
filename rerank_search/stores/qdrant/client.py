"""Qdrant by its own client, such as a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from rerank_search.errors import (
    InvalidInputError,
    StoreTimeoutError,
)
from rerank_search.http_calls.environment import certificates, check_proxies
from rerank_search.http_calls.keys import key_variable, stored_key
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
from rerank_search.stores.qdrant.client_errors import server_errors
from rerank_search.stores.url import StoreUrl


class ClientCalls:
    """One collection of a ``QdrantClient``; ``QdrantCalls``.

    ``connect`` makes the client on first use, and ``errors`` raises its errors as those of stores.
    """

    def __init__(
        self,
        url: StoreUrl,
        connect: Callable[[], QdrantClient],
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._url = url
        self._name = url.name
        self._connect = connect
        self._errors = errors
        self._connected: QdrantClient | None = None
        self._connecting = threading.Lock()

    @contextmanager
    def _client(self) -> Iterator[QdrantClient]:
        with self._errors():
            with self._connecting:
                if self._connected is None:
                    self._connected = self._connect()
            yield self._connected

    def describe(self) -> Collection | None:
        """What is there."""
        with self._client() as client:
            if not client.collection_exists(self._name):
                return None
            info = client.get_collection(self._name)
        given = info.config.params.vectors
        named = given if isinstance(given, dict) else {} if given is None else {"": given}
        return Collection(
            vectors={
                name: (each.size, each.distance.value)
                for name, each in named.items()
                if each.multivector_config is None
            },
            note=info.config.metadata or {},
        )

    def check_language(self, language: str | None) -> None:
        """Raise InvalidInputError for a language without a stemmer."""
        _stemmer(language)

    def create(self, dimension: int | None, note: Mapping[str, Any]) -> None:
        """Make the collection, unless it exists."""
        vectors: models.VectorParams | dict[str, models.VectorParams] = {}
        if dimension is not None:
            vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        with self._client() as client:
            if client.collection_exists(self._name):
                return
            try:
                client.create_collection(self._name, vectors_config=vectors, metadata=dict(note))
            except (UnexpectedResponse, ValueError):
                if not client.collection_exists(self._name):  # made by another process just now
                    raise

    def ranks_by(self, key: str) -> bool:
        """Whether the key has a text index with scoring."""
        with self._client() as client:
            index = client.get_collection(self._name).payload_schema.get(key)
        return index is not None and bool(getattr(index.params, "scoring", None))

    def rank_by(self, key: str, language: str | None) -> None:
        """Make the text index that BM25 ranks by."""
        index = models.TextIndexParams(
            type=models.TextIndexType.TEXT,
            tokenizer=models.TokenizerType.WORD,
            lowercase=True,
            stemmer=_stemmer(language),
            scoring=True,
        )
        with self._client() as client:
            _check_done(client.create_payload_index(self._name, key, index, wait=True))

    def annotate(self, note: Mapping[str, Any]) -> None:
        """Store the note in the collection's metadata."""
        with self._client() as client:
            client.update_collection(self._name, metadata=dict(note))

    def search_text(
        self, text: str, key: str, limit: int, filter: Conditions, payload: Sequence[str]
    ) -> list[Point]:
        """The best points by BM25."""
        return self._best(models.TextQuery(text=text), key, limit, filter, payload)

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
        return self._best(list(vector), name, limit, filter, payload, exact=exact)

    def _best(
        self,
        query: Any,
        using: str,
        limit: int,
        filter: Conditions,
        payload: Sequence[str],
        *,
        exact: bool = False,
    ) -> list[Point]:
        with self._client() as client:
            found = client.query_points(
                self._name,
                query=query,
                using=using or None,
                limit=limit,
                query_filter=models.Filter.model_validate(filter),
                search_params=models.SearchParams(exact=True) if exact else None,
                with_payload=list(payload) or False,
            )
        return [Point(_id(each), each.payload or {}, each.score) for each in found.points]

    def points(self, ids: Sequence[PointId], *, payload: bool) -> list[Point]:
        """The points with these ids."""
        if not ids:
            return []
        with self._client() as client:
            found = client.retrieve(self._name, list(ids), with_payload=payload)
        return [Point(_id(each), each.payload or {}) for each in found]

    def write(self, points: Sequence[NewPoint], vector: str) -> None:
        """Write the points, and wait until they can be found."""
        made = [
            models.PointStruct(
                id=each.id, payload=dict(each.payload), vector=_vectors(each, vector)
            )
            for each in points
        ]
        with self._client() as client:
            _check_done(client.upsert(self._name, made, wait=True))

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete the points, and wait until they cannot be found."""
        with self._client() as client:
            _check_done(client.delete(self._name, list(ids), wait=True))

    def count(self) -> int:
        """The number of points."""
        with self._client() as client:
            return client.count(self._name, exact=True).count

    def close(self) -> None:
        """Close the connections."""
        with self._connecting:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()


def server_calls(url: StoreUrl, timeout: float) -> ClientCalls:
    """The calls of a collection on a server. Raises InvalidInputError for another address."""
    if not url.host or not url.name or url.folder:
        raise InvalidInputError(
            f"{url} is not the address of a collection: write it as "
            "qdrant+http://HOST:6333/COLLECTION"
        )
    address = f"{url.transport}://{url.host}"
    try:
        variable = key_variable(httpx.URL(address).host)
    except httpx.InvalidURL as error:
        raise InvalidInputError(
            f"{url} is not the address of a collection ({error}): write it as "
            "qdrant+http://HOST:6333/COLLECTION"
        ) from None
    key = stored_key(variable)

    def connect() -> QdrantClient:
        check_proxies()
        certificates()  # the client reads the same file
        return QdrantClient(
            url=address,
            timeout=max(1, round(timeout)),
            headers=None if key is None else {"api-key": key},
            check_compatibility=False,  # it would warn where the server cannot be reached
        )

    return ClientCalls(url, connect, lambda: server_errors(url, variable, key))


def _stemmer(language: str | None) -> models.SnowballParams | None:
    language = DEFAULT_LANGUAGE if language is None else language
    if language == NO_STEMMER:
        return None
    known = [each.value for each in models.SnowballLanguage]
    if language not in known:
        raise InvalidInputError(
            f"language={shown(language)} has no stemmer in Qdrant: use {NO_STEMMER}, or one of "
            f"{', '.join(known)}"
        )
    return models.SnowballParams(
        type=models.Snowball.SNOWBALL, language=models.SnowballLanguage(language)
    )


def _check_done(result: models.UpdateResult) -> None:
    """Raise StoreTimeoutError for a write that the server has not made yet."""
    if result.status != models.UpdateStatus.COMPLETED:
        raise StoreTimeoutError(
            f"Qdrant has accepted a write and not made it in time ({result.status}): write the "
            "same documents again, with a longer timeout"
        )


def _vectors(point: NewPoint, name: str) -> Any:
    if point.vector is None:
        return {}
    return {name: list(point.vector)} if name else list(point.vector)


def _id(point: models.ScoredPoint | models.Record) -> PointId:
    return point.id if isinstance(point.id, int) else str(point.id)
