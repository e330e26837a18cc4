"""What Elasticsearch and OpenSearch write in two ways: vectors, and searches by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]

MOST_CANDIDATES = 10_000
"""Most documents that the index of vectors is asked for, which is also the most of one page."""


@dataclass(frozen=True, slots=True)
class VectorField:
    """The dimension of a field of vectors, and what it compares them by."""

    dimension: int
    distance: str


class Dialect(Protocol):
    """One of the two engines."""

    settings: Mapping[str, Any]
    """What an index with vectors needs in its settings."""

    def mapping(self, dimension: int) -> Json:
        """The mapping of a new field of vectors, compared by their cosine."""
        ...

    def vector_field(self, mapping: Mapping[str, Any]) -> VectorField | None:
        """What a mapping says of a field of vectors; None for another field."""
        ...

    def nearest(
        self, field: str, vector: Sequence[float], k: int, conditions: Sequence[Json]
    ) -> Json:
        """A query by the index of vectors, whose scores are (1 + cosine) / 2."""
        ...

    def compared(self, field: str, vector: Sequence[float], conditions: Sequence[Json]) -> Json:
        """A query that compares all vectors, whose scores are 1 + cosine."""
        ...


class Elasticsearch:
    """Elasticsearch 8.12 and newer."""

    settings: Mapping[str, Any] = {}

    def mapping(self, dimension: int) -> Json:
        """A field whose index has the vectors as they are: others round them."""
        return {
            "type": "dense_vector",
            "dims": dimension,
            "index": True,
            "similarity": "cosine",
            "index_options": {"type": "hnsw"},
        }

    def vector_field(self, mapping: Mapping[str, Any]) -> VectorField | None:
        """A ``dense_vector``; ``dims`` is missing until the first document sets it."""
        if mapping.get("type") != "dense_vector" or "dims" not in mapping:
            return None
        similarity = mapping.get("similarity", "cosine") if mapping.get("index", True) else "none"
        return VectorField(mapping["dims"], "dot" if similarity == "dot_product" else similarity)

    def nearest(
        self, field: str, vector: Sequence[float], k: int, conditions: Sequence[Json]
    ) -> Json:
        """The ``knn`` query, which finds as many as the search asks for."""
        return {
            "knn": {
                "field": field,
                "query_vector": list(vector),
                "num_candidates": _candidates(k),
                "filter": list(conditions),
            }
        }

    def compared(self, field: str, vector: Sequence[float], conditions: Sequence[Json]) -> Json:
        """A script."""
        return _scored(
            field,
            conditions,
            {
                "source": f"cosineSimilarity(params.vector, {_quoted(field)}) + 1.0",
                "params": {"vector": list(vector)},
            },
        )


class OpenSearch:
    """OpenSearch 2.9 and newer."""

    settings: Mapping[str, Any] = {"index.knn": True}

    def mapping(self, dimension: int) -> Json:
        """A field with an index of Lucene, which filters while it searches."""
        return {
            "type": "knn_vector",
            "dimension": dimension,
            "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"},
        }

    def vector_field(self, mapping: Mapping[str, Any]) -> VectorField | None:
        """A ``knn_vector``; its space is beside its method or in it.

        Other engines than Lucene score the same cosine in other ways, which versions have changed.
        """
        if mapping.get("type") != "knn_vector" or "dimension" not in mapping:
            return None
        method = mapping.get("method") or {}
        space = mapping.get("space_type") or method.get("space_type") or "l2"
        engine = method.get("engine") or "the default engine"
        known = (space, engine) == ("cosinesimil", "lucene")
        return VectorField(mapping["dimension"], "cosine" if known else f"{space} of {engine}")

    def nearest(
        self, field: str, vector: Sequence[float], k: int, conditions: Sequence[Json]
    ) -> Json:
        """The ``knn`` query."""
        wanted: Json = {"vector": list(vector), "k": _candidates(k)}
        if conditions:
            wanted["filter"] = {"bool": {"filter": list(conditions)}}
        return {"knn": {field: wanted}}

    def compared(self, field: str, vector: Sequence[float], conditions: Sequence[Json]) -> Json:
        """A script; the ``knn_score`` of the plugin has changed its scale in 2.19."""
        return _scored(
            field,
            conditions,
            {
                "source": "1.0 + cosineSimilarity(params.vector, doc[params.field])",
                "params": {"field": field, "vector": list(vector)},
            },
        )


def _quoted(name: str) -> str:
    """A string of the language of scripts."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _candidates(k: int) -> int:
    """How many vectors an index is asked for, so that those of equal scores are among them."""
    return min(MOST_CANDIDATES, max(2 * k, 100))


def _scored(field: str, conditions: Sequence[Json], script: Json) -> Json:
    having = {"bool": {"filter": [{"exists": {"field": field}}, *conditions]}}
    return {"script_score": {"query": having, "script": script}}
