"""The scores of both first stages for documents that only one of them has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank_search.engines import Engines
from rerank_search.query_vectors import QueryVectors
from rerank_search.storage.documents import DocumentStore
from rerank_search.types import Hit


def completed(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    store: DocumentStore,
    engines: Engines,
    encoder: QueryVectors | None,
) -> list[list[Hit]]:
    """The rankings, with ``bm25`` and (given an encoder) ``dense`` in every hit's stage scores.

    A document's score is that of its best passage. A document that BM25 doesn't match has 0.0;
    one that is gone since keeps the scores it has.
    """
    scored = [[dict(hit.stage_scores) for hit in hits] for hits in rankings]
    passages = [_passages(store, hits) for hits in rankings]
    for query, hits, scores, owned in zip(queries, rankings, scored, passages, strict=True):
        missing = [i for i, hit in enumerate(hits) if "bm25" not in scores[i] and hit.id in owned]
        if missing:
            found = _bm25(engines, query, [owned[hits[i].id] for i in missing])
            for i, score in zip(missing, found, strict=True):
                scores[i]["bm25"] = score
    if encoder is not None:
        _complete_dense(queries, rankings, scored, passages, engines, encoder)
    return [
        [replace(hit, stage_scores=scores) for hit, scores in zip(hits, of_query, strict=True)]
        for hits, of_query in zip(rankings, scored, strict=True)
    ]


def _passages(store: DocumentStore, hits: Sequence[Hit]) -> dict[str, list[int]]:
    ids = [hit.id for hit in hits]
    owned = zip(ids, store.passages_of(ids), strict=True)
    return {id: passages for id, passages in owned if passages}


def _bm25(engines: Engines, query: str, documents: list[list[int]]) -> list[float]:
    allowed = np.unique(np.concatenate([np.array(one, np.int64) for one in documents]))
    [found] = engines.engine("bm25").search([query], len(allowed), allowed=allowed)
    scores = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    return [_best(scores, passages) for passages in documents]


def _best(scores: Mapping[int, float], passages: Sequence[int]) -> float:
    return max((scores[passage] for passage in passages if passage in scores), default=0.0)


def _complete_dense(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    scored: list[list[dict[str, float]]],
    passages: list[dict[str, list[int]]],
    engines: Engines,
    encoder: QueryVectors,
) -> None:
    wanted: list[tuple[int, list[int]]] = []
    for of_query, (hits, owned) in enumerate(zip(rankings, passages, strict=True)):
        missing = [
            i
            for i, hit in enumerate(hits)
            if "dense" not in scored[of_query][i] and hit.id in owned
        ]
        if missing:
            wanted.append((of_query, missing))
    if not wanted:
        return
    vectors = encoder.encode([queries[of_query] for of_query, _ in wanted])
    groups = [
        [passages[of_query][rankings[of_query][i].id] for i in missing]
        for of_query, missing in wanted
    ]
    flat = [np.array([p for one in group for p in one], np.int64) for group in groups]
    similarities = engines.dense.similarities(vectors, flat)
    for (of_query, missing), group, cosines in zip(wanted, groups, similarities, strict=True):
        for i, best in zip(missing, _best_of_each(group, cosines), strict=True):
            scored[of_query][i]["dense"] = best


def _best_of_each(group: list[list[int]], cosines: NDArray[np.float32]) -> list[float]:
    starts = np.cumsum([0, *(len(passages) for passages in group[:-1])])
    best: list[float] = np.maximum.reduceat(cosines, starts).tolist()
    return best
