"""From the declaration of a collection to the collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.collection import Collection, Finding, LabelledPairs
from rerank_search.evaluation.experiment import CollectionSettings
from rerank_search.evaluation.formats.beir import load_beir
from rerank_search.evaluation.formats.kinds import kind_of
from rerank_search.evaluation.formats.lines import bare_name
from rerank_search.evaluation.formats.pairs import load_pairs
from rerank_search.evaluation.formats.samples import load_samples
from rerank_search.evaluation.formats.trec import load_trec


def load_collection(settings: CollectionSettings) -> Collection | LabelledPairs:
    """Read what the settings declare. Raises InvalidInputError with file, line and reason."""
    loaded = _loaded(settings)
    loaded = replace(loaded, name=settings.name or loaded.name)
    if isinstance(loaded, LabelledPairs) or settings.queries is None:
        return loaded
    return drawn(loaded, settings.queries)


def drawn(collection: Collection, count: int) -> Collection:
    """The collection with ``count`` of its judged queries, those of the smallest hashes.

    So that the same queries are drawn each time, and a larger count draws them again.
    """
    judged = collection.qrels
    if count >= len(judged):
        return collection
    order = by_hash(judged)
    kept = set(order[:count])
    finding = Finding(
        f"of {len(judged):,} judged queries are evaluated, drawn by hash", count, order[0]
    )
    return replace(
        collection,
        qrels={query: grades for query, grades in judged.items() if query in kept},
        findings=[*collection.findings, finding],
    )


def by_hash(queries: Iterable[str]) -> list[str]:
    """The queries in an order that is random, and the same on every machine."""
    return sorted(queries, key=lambda query: hashlib.sha256(query.encode()).digest())


def _loaded(settings: CollectionSettings) -> Collection | LabelledPairs:
    if settings.path is None:
        if settings.qrels is None:
            raise InvalidInputError("a TREC collection needs its qrels")
        return load_trec(
            settings.qrels,
            topics=settings.topics,
            documents=settings.documents,
            runs=settings.runs,
            name=settings.name or bare_name(settings.qrels),
            relevant_from=settings.relevant_from,
            excluded=settings.excluded,
        )
    kind = kind_of(settings.path)
    if kind != "beir" and (settings.runs or settings.excluded):
        raise InvalidInputError(
            f"{settings.path} has {kind}, which go without runs and excluded documents: leave "
            "these out"
        )
    if kind == "pairs":
        if settings.queries is not None:
            raise InvalidInputError(f"{settings.path} has pairs, not queries: leave queries out")
        return load_pairs(settings.path, settings.split)
    if kind == "samples":
        return load_samples(settings.path, relevant_from=settings.relevant_from)
    return load_beir(
        settings.path,
        settings.split,
        relevant_from=settings.relevant_from,
        runs=settings.runs,
        excluded=settings.excluded,
    )
