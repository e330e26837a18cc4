"""Reads the collection that settings declare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.judged.formats.beir import load_beir
from rerank_search.judged.formats.kinds import Kind, kind_of
from rerank_search.judged.formats.lines import bare_name
from rerank_search.judged.formats.pairs import load_pairs
from rerank_search.judged.formats.query_vectors import with_query_vectors
from rerank_search.judged.formats.samples import load_samples
from rerank_search.judged.formats.trec import load_trec
from rerank_search.judged.names import name_of
from rerank_search.judged.settings import CollectionSettings


def load_collection(settings: CollectionSettings) -> JudgedCollection | LabelledPairs:
    """Read what the settings declare.

    Raises InvalidInputError with file, line and reason, and for a setting without effect on this
    kind of collection.
    """
    loaded = _loaded(settings)
    try:
        name, split = settings.name or name_of(loaded.name), name_of(loaded.split)
    except InvalidInputError as error:
        raise InvalidInputError(f"{settings.path or settings.qrels}: {error}") from None
    loaded = replace(loaded, name=name, split=split)
    if isinstance(loaded, LabelledPairs):
        return loaded
    if settings.queries is not None:
        loaded = drawn(loaded, settings.queries)
    if settings.query_vectors is not None:
        loaded = with_query_vectors(loaded, settings.query_vectors)
    return ignoring_identical_ids(loaded) if settings.ignore_identical_ids else loaded


def ignoring_identical_ids(collection: JudgedCollection) -> JudgedCollection:
    """The collection, with the document that has a query's id left out of the query's rankings.

    The judgements stay as they are, as in BEIR.
    """
    missed = Tally.of(
        "queries whose own document is judged relevant: it is left out, and counts as missed",
        (
            query
            for query, grades in collection.qrels.items()
            if grades.get(query, 0) >= collection.relevant_from
        ),
        lambda query: f"{collection.located(query, query)}: document {query!r}",
    )
    return replace(
        collection,
        ignore_identical_ids=True,
        findings=[*collection.findings, *findings([missed])],
    )


def drawn(collection: JudgedCollection, count: int) -> JudgedCollection:
    """The collection with ``count`` of its judged queries, those with the smallest hashes.

    So the same queries are drawn each time, and a larger count draws them too.
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
    """The queries in a random order that is the same on every machine."""
    return sorted(queries, key=lambda query: hashlib.sha256(query.encode()).digest())


def _loaded(settings: CollectionSettings) -> JudgedCollection | LabelledPairs:
    if settings.path is None:
        if settings.qrels is None:
            raise InvalidInputError("a TREC collection needs qrels: give the file of judgements")
        return load_trec(
            settings.qrels,
            topics=settings.topics,
            documents=settings.documents,
            runs=settings.runs,
            name=bare_name(settings.qrels),
            relevant_from=settings.relevant_from,
            excluded=settings.excluded,
        )
    kind = kind_of(settings.path)
    _check_use(settings, settings.path, kind)
    split = settings.split or "test"
    if kind == "pairs":
        return load_pairs(settings.path, split)
    if kind == "samples":
        return load_samples(settings.path, relevant_from=settings.relevant_from)
    return load_beir(
        settings.path,
        split,
        relevant_from=settings.relevant_from,
        runs=settings.runs,
        excluded=settings.excluded,
    )


def _check_use(settings: CollectionSettings, path: Path, kind: Kind) -> None:
    """Raise InvalidInputError for a setting without effect on a collection of this kind."""
    if settings.split is not None and not path.is_dir():
        raise InvalidInputError(
            f"{path} is a file, which is one split with the file's name: leave split out"
        )
    unused: dict[str, bool] = {}
    if kind != "beir":
        unused |= {
            "runs": bool(settings.runs),
            "excluded": settings.excluded is not None,
            "ignore_identical_ids": settings.ignore_identical_ids,
        }
    if kind == "pairs":
        unused |= {
            "queries": settings.queries is not None,
            "relevant_from": settings.relevant_from != 1,
            "index": settings.index is not None,
            "query_vectors": settings.query_vectors is not None,
        }
    for key, given in unused.items():
        if given:
            raise InvalidInputError(
                f"{path} has {kind}, for which {key} has no effect: leave {key} out"
            )


def load_searched(settings: CollectionSettings) -> JudgedCollection:
    """A collection with documents to search. Raises InvalidInputError for any other."""
    loaded = load_collection(settings)
    if not isinstance(loaded, JudgedCollection) or loaded.samples is not None:
        raise InvalidInputError(
            f"{settings.path or settings.qrels} is not searched, but scores are calibrated on "
            "search results: give a BEIR folder"
        )
    return loaded
