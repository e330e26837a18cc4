"""The scores of all first stages for documents that only some of them found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank_search.index.engines import FAILURES, Engines
from rerank_search.storage.documents import DocumentStore
from rerank_search.types import Hit, Span

logger = logging.getLogger(__name__)


def completed(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    store: DocumentStore,
    engines: Engines,
) -> list[list[Hit]]:
    """The rankings, with the score of every engine in each hit's stage scores.

    A document's score is that of its best passage, 0.0 if the engine does not find it. A document
    that was deleted meanwhile keeps the scores it has, and an engine that fails adds none.
    A hit without a span whose document has several passages gets the span of the best one, by the
    last engine that adds a score.
    """
    scored = [[dict(hit.stage_scores) for hit in hits] for hits in rankings]
    passages = [_passages(store, hits) for hits in rankings]
    best: dict[tuple[int, int], int] = {}
    for name in engines.names:
        try:
            best |= _complete(name, queries, rankings, scored, passages, engines)
        except FAILURES as error:
            logger.warning("hits have no score of the first stage %s: %s", name, error)
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
    """Positions of the hits that lack the stage's score and whose documents still exist."""
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
    """Spans of the best passages, for hits of split documents that have no span."""
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


def _complete(
    name: str,
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    scored: list[list[dict[str, float]]],
    passages: list[dict[str, list[int]]],
    engines: Engines,
) -> dict[tuple[int, int], int]:
    """Fill in one engine's scores; return the best passage by positions of query and hit."""
    wanted: list[tuple[int, list[int]]] = []
    for place, (hits, owned) in enumerate(zip(rankings, passages, strict=True)):
        if missing := _without(name, scored[place], hits, owned):
            wanted.append((place, missing))
    best: dict[tuple[int, int], int] = {}
    if not wanted:
        return best
    groups = [
        [passages[place][rankings[place][i].id] for i in missing] for place, missing in wanted
    ]
    flat = [np.array([p for one in group for p in one], np.int64) for group in groups]
    found = engines.engine(name).scores([queries[place] for place, _ in wanted], flat)
    for (place, missing), group, scores in zip(wanted, groups, found, strict=True):
        for i, (score, passage) in zip(missing, _best_of_each(group, scores), strict=True):
            scored[place][i][name] = score
            best[place, i] = passage
    return best


def _best_of_each(
    group: list[list[int]], scores: NDArray[np.float32]
) -> Iterator[tuple[float, int]]:
    """Score and id of each document's best passage; of equal ones the first in the text."""
    start = 0
    for passages in group:
        own = scores[start : start + len(passages)]
        start += len(passages)
        place = int(own.argmax())
        yield float(own[place]), passages[place]
