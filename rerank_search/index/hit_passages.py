"""All passages of the documents that a search found, with the scores of every first stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from rerank_search.index.engines import FAILURES, Engines
from rerank_search.storage.documents import DocumentStore
from rerank_search.types import Hit

logger = logging.getLogger(__name__)


def hit_passages(
    queries: Sequence[str],
    rankings: Sequence[Sequence[Hit]],
    store: DocumentStore,
    engines: Engines,
) -> list[list[list[Hit]]]:
    """For each hit the passages of its document in the order of the text, each as a Hit.

    A passage's ``stage_scores`` are its own: 0.0 in an engine that does not find it, and none of an
    engine that fails. A document that was deleted meanwhile has no passages.
    """
    owned = [store.passages_of([hit.id for hit in hits]) for hits in rankings]
    flat = [[passage for group in groups for passage in group] for groups in owned]
    located = iter(store.locate(np.array([p for one in flat for p in one], np.int64)))
    scores: list[list[dict[str, float]]] = [[{} for _ in passages] for passages in flat]
    for name in engines.names:
        try:
            found = engines.engine(name).scores(queries, [np.array(p, np.int64) for p in flat])
        except FAILURES as error:
            logger.warning("passages have no score of the first stage %s: %s", name, error)
            continue
        for own, values in zip(scores, found, strict=True):
            for each, value in zip(own, values.tolist(), strict=True):
                each[name] = value
    answer = []
    for hits, groups, own in zip(rankings, owned, scores, strict=True):
        rest = iter(own)
        answer.append(
            [
                [
                    replace(hit, span=place[1], stage_scores=each)
                    for each, place in zip(
                        islice(rest, len(group)), islice(located, len(group)), strict=True
                    )
                    if place is not None
                ]
                for hit, group in zip(hits, groups, strict=True)
            ]
        )
    return answer
