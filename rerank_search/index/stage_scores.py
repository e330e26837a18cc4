"""The scores of both first stages for documents that only one of them has found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank_search.index.engines import Engines
from rerank_search.storage.documents import DocumentStore
from rerank_search.types import Hit, Span


def completed(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    store: DocumentStore,
    engines: Engines,
) -> list[list[Hit]]:
    """The rankings, with ``bm25`` and (given vectors) ``dense`` in every hit's stage scores.

    A document's score is that of its best passage. A document that BM25 doesn't match has 0.0;
    one that is gone since keeps the scores it has. A hit without a span whose document has
    several passages gets that of the best, by the vectors where there are any.
    """
    scored = [[dict(hit.stage_scores) for hit in hits] for hits in rankings]
    passages = [_passages(store, hits) for hits in rankings]
    best: dict[tuple[int, int], int] = {}
    for place, (query, hits) in enumerate(zip(queries, rankings, strict=True)):
        missing = _without("bm25", scored[place], hits, passages[place])
        if missing:
            owned = [passages[place][hits[i].id] for i in missing]
            for i, (score, passage) in zip(missing, _bm25(engines, query, owned), strict=True):
                scored[place][i]["bm25"] = score
                best[place, i] = passage
    if "dense" in engines.names:
        best |= _complete_dense(queries, rankings, scored, passages, engines)
    spans = _spans(store, rankings, passages, best)
    return [
        [
            replace(hit, stage_scores=scored[place][i], span=spans.get((place, i), hit.span))
            for i, hit in enumerate(hits)
        ]
        for place, hits in enumerate(rankings)
    ]


def _without(
    stage: str, scores: Sequence[dict[str, float]], hits: Sequence[Hit], owned: dict[str, list[int]]
) -> list[int]:
    """Places of the hits that lack the stage's score, and whose documents are there."""
    return [i for i, hit in enumerate(hits) if stage not in scores[i] and hit.id in owned]


def _passages(store: DocumentStore, hits: Sequence[Hit]) -> dict[str, list[int]]:
    ids = [hit.id for hit in hits]
    owned = zip(ids, store.passages_of(ids), strict=True)
    return {id: passages for id, passages in owned if passages}


def _spans(
    store: DocumentStore,
    rankings: Sequence[Sequence[Hit]],
    passages: Sequence[dict[str, list[int]]],
    best: Mapping[tuple[int, int], int],
) -> dict[tuple[int, int], Span]:
    """Spans of the best passages, for the hits that have none and whose documents were split."""
    wanted = {
        (place, i): passage
        for (place, i), passage in best.items()
        if rankings[place][i].span is None and len(passages[place][rankings[place][i].id]) > 1
    }
    located = store.locate(np.array(list(wanted.values()), np.int64))
    return {
        where: found[1]
        for where, found in zip(wanted, located, strict=True)
        if found is not None and found[1] is not None
    }


def _bm25(engines: Engines, query: str, documents: list[list[int]]) -> list[tuple[float, int]]:
    """Score and passage of each document's best passage; of equal ones the first in the text."""
    allowed = np.unique(np.concatenate([np.array(one, np.int64) for one in documents]))
    [found] = engines.engine("bm25").search([query], len(allowed), allowed=allowed)
    scores = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    return [
        max(((scores.get(passage, 0.0), passage) for passage in passages), key=lambda one: one[0])
        for passages in documents
    ]


def _complete_dense(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    scored: list[list[dict[str, float]]],
    passages: list[dict[str, list[int]]],
    engines: Engines,
) -> dict[tuple[int, int], int]:
    """Fill in the cosines, and return the best passage by the place of query and hit."""
    wanted: list[tuple[int, list[int]]] = []
    for place, (hits, owned) in enumerate(zip(rankings, passages, strict=True)):
        if missing := _without("dense", scored[place], hits, owned):
            wanted.append((place, missing))
    best: dict[tuple[int, int], int] = {}
    if not wanted:
        return best
    dense = engines.dense
    vectors = dense.query_vectors([queries[place] for place, _ in wanted])
    groups = [
        [passages[place][rankings[place][i].id] for i in missing] for place, missing in wanted
    ]
    flat = [np.array([p for one in group for p in one], np.int64) for group in groups]
    similarities = dense.similarities(vectors, flat)
    for (place, missing), group, cosines in zip(wanted, groups, similarities, strict=True):
        for i, (score, passage) in zip(missing, _best_of_each(group, cosines), strict=True):
            scored[place][i]["dense"] = score
            best[place, i] = passage
    return best


def _best_of_each(
    group: list[list[int]], cosines: NDArray[np.float32]
) -> Iterator[tuple[float, int]]:
    start = 0
    for passages in group:
        own = cosines[start : start + len(passages)]
        start += len(passages)
        place = int(own.argmax())
        yield float(own[place]), passages[place]
