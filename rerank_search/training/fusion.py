"""Fits the fusion of the stages on development queries, over the engines that will serve it."""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rerank_search.index import Index
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.fusion import Fusion, Signals
from rerank_search.searcher import Searcher
from rerank_search.training.collection import Collection, load_collection
from rerank_search.training.recipe import FusionQueries, Source
from rerank_search.types import Document, Hit

logger = logging.getLogger(__name__)


def fit_fusion(reranker: Reranker, queries: FusionQueries, *, seed: int) -> Fusion:
    """A logistic regression over the stages' scores of hybrid candidates.

    Each source is indexed in a temporary folder: the documents that are relevant for the drawn
    queries, and others drawn at random up to ``queries.documents``. Every source weighs as many
    candidates as it has.
    """
    signals: list[Signals] = []
    labels: list[list[int]] = []
    for source in queries.sources:
        collection = load_collection(source.path, source.split)
        drawn = drawn_queries(collection, source, seed)
        with (
            tempfile.TemporaryDirectory() as folder,
            Index.create(Path(folder) / "index", encoder=queries.encoder) as index,
        ):
            index.add(drawn_documents(collection, drawn, queries.documents, seed))
            rankings = _rerank(index, reranker, collection, drawn, queries.candidates)
        for query, hits in zip(drawn, rankings, strict=True):
            judged = collection.qrels[query]
            if hits:
                signals.append(_signals(hits))
                labels.append([int(judged.get(hit.id, 0) > 0) for hit in hits])
        logger.info("%s: %d queries for the fusion", collection.name, len(drawn))
    return Fusion.fit(signals, labels, terms=queries.terms)


def drawn_queries(collection: Collection, source: Source, seed: int) -> list[str]:
    """Ids of the judged queries that the fusion is fitted on, the same for the same seed."""
    rng = random.Random(f"{seed}:{collection.name}")
    judged = sorted(q for q, grades in collection.qrels.items() if max(grades.values()) > 0)
    count = len(judged) if source.queries is None else min(source.queries, len(judged))
    return rng.sample(judged, count)


def drawn_documents(
    collection: Collection, queries: Sequence[str], count: int, seed: int
) -> list[Document]:
    """The documents judged for these queries, and others at random, ``count`` in all if it can."""
    rng = random.Random(f"{seed}:{collection.name}:documents")
    relevant = sorted({document for query in queries for document in collection.qrels[query]})
    others = sorted(collection.documents.keys() - set(relevant))
    drawn = rng.sample(others, max(0, min(count - len(relevant), len(others))))
    return [Document(id, collection.documents[id]) for id in [*relevant, *drawn]]


def _rerank(
    index: Index,
    reranker: Reranker,
    collection: Collection,
    queries: Sequence[str],
    candidates: int,
) -> list[list[Hit]]:
    texts = [collection.queries[query] for query in queries]
    searcher = Searcher(index, reranker=reranker, fusion=None)
    found = searcher.search_batch(texts, top_k=candidates, candidates=candidates)
    return index.stage_scores(texts, [response.hits for response in found])


def _signals(hits: Sequence[Hit]) -> Signals:
    return {
        name: np.array([hit.stage_scores[name] for hit in hits])
        for name in ("rerank", "dense", "bm25")
    }
