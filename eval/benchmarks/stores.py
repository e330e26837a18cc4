"""Each store on a judged collection: its stages against those of an index, and reranked.

Usage: python eval/benchmarks/stores.py [--documents N] [--queries N] [NAME ...]

Writes eval/results/stores.md and .json for 200 queries of ../shared/data/scifact. Every store
gets the same vectors: documents are encoded once, and kept in the cache. With names only these
stores are measured, and the figures of the others stay. With --documents or --queries other figures
are printed, and nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from postgres_server import server
from report import RESULTS, table, write

from rerank_search import CrossEncoderReranker, Document, EncodedQuery, Encoder, Index, Searcher
from rerank_search.evaluation.measures import Scorer
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.searchable import Searchable
from rerank_search.settings import Settings
from rerank_search.stores import open_store
from rerank_search.types import Hit

SCIFACT = Path(__file__).parents[3] / "shared/data/scifact"
DEPTH, MEASURE = 100, "nDCG@10"
QUERIES = 200
"""Queries that are drawn, since reranking the candidates of one takes seconds on a CPU."""
INDEX = "an index"

Rankings: TypeAlias = list[list[Hit]]
Started: TypeAlias = Callable[[Path], AbstractContextManager[str]]
"""Function from an empty folder to the URL of a new store, whose server runs in the context."""


def in_folder(url: str) -> Started:
    """A store in a folder."""

    @contextmanager
    def started(folder: Path) -> Iterator[str]:
        yield url.format(folder=folder)

    return started


def in_postgres(options: str) -> Started:
    """A table of PostgreSQL."""

    @contextmanager
    def started(folder: Path) -> Iterator[str]:
        with server(folder) as address:
            yield f"{address}/postgres?{options}"

    return started


STORES: Mapping[str, Started] = {
    "PostgreSQL": in_postgres("table=docs"),
    "PostgreSQL, HNSW": in_postgres("table=docs&search=hnsw"),
    "Qdrant Edge": in_folder("qdrant+edge://{folder}/docs?exact=true"),
    "Milvus Lite": in_folder("milvus://{folder}/lite.db/docs"),
    "LanceDB": in_folder("lancedb://{folder}/docs?exact=true"),
}
"""A new store is one line here."""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stores to measure; default: all")
    parser.add_argument("--documents", type=int, help="only the first N documents")
    parser.add_argument("--queries", type=int, default=QUERIES, help="draw N queries")
    given = parser.parse_args()
    if unknown := {*given.names} - STORES.keys():
        sys.exit(f"unknown stores {sorted(unknown)}: use some of {', '.join(STORES)}")
    settings = CollectionSettings(path=SCIFACT, split="train", queries=given.queries)
    collection = load_searched(settings)
    whole = given.documents is None and given.queries == QUERIES
    measured = Measured(collection, given.documents)
    names = given.names or list(STORES)
    rows = _earlier() if whole else {}
    with measured.index() as index:
        rows[INDEX] = measured.row(index, index)
        for name in names:
            print(name, file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder, STORES[name](Path(folder)) as url:
                rows[name] = measured.store(url, index)
    text = _table(rows)
    if not whole:
        print(text)
        return
    write(
        "stores",
        "Stores on a judged collection",
        "python eval/benchmarks/stores.py",
        {f"scifact, {measured.counted}": f"{_EXPLAINED}\n\n{text}"},
        rows,
    )


class Measured:
    """A collection, its vectors, and what is measured of a store that has them."""

    def __init__(self, collection: JudgedCollection, most: int | None) -> None:
        if collection.documents is None:
            sys.exit(f"{collection.name} has no documents: give the complete collection")
        self._documents = [
            Document(each.id, each.text, each.title) for each in collection.documents()
        ][:most]
        self._ids = list(collection.qrels)
        encoder = Encoder("auto")
        self._vectors = _encoded(encoder, self._documents)
        texts = [collection.queries[id] for id in self._ids]
        rows = encoder.encode(texts, task="query", prompt=encoder.prompts.query)
        self._queries = [EncodedQuery(text, row) for text, row in zip(texts, rows, strict=True)]
        self._scorer = Scorer(collection.qrels, [MEASURE], relevant_from=collection.relevant_from)
        self._reranker = CrossEncoderReranker(
            "auto", backend="torch", dtype="float32", cache_size=10_000_000
        )
        self.counted = f"{len(self._documents):,} documents, {len(self._ids):,} queries"

    @contextmanager
    def index(self) -> Iterator[Index]:
        """An index of the same documents and vectors, which compares all of them."""
        with (
            tempfile.TemporaryDirectory() as folder,
            Index.create(
                Path(folder) / "index",
                encoder=None,
                dimension=self._vectors.shape[1],
                passages=None,
            ) as index,
        ):
            index.add(self._documents, vectors=self._vectors)
            yield index

    def store(self, url: str, index: Index) -> dict[str, Any]:
        """The figures of a new store, which is filled first."""
        with open_store(url, create=True, dimension=self._vectors.shape[1]) as store:
            started = time.perf_counter()
            store.add(self._documents, vectors=self._vectors)
            seconds = time.perf_counter() - started
            return {**self.row(store, index), "seconds": seconds}

    def row(self, searched: Searchable, index: Index) -> dict[str, Any]:
        """The figures of a store, or of the index that it is compared with."""
        words = searched.first_stages[0]
        found = {
            stage: searched.retriever(stage).retrieve(self._queries, DEPTH)
            for stage in (words, "dense", "hybrid")
        }
        theirs = {
            stage: index.retriever(stage).retrieve(self._queries, DEPTH)
            for stage in ("bm25", "dense")
        }
        answers = Searcher(searched, self._reranker).search_batch(
            self._queries, candidates=DEPTH, top_k=DEPTH
        )
        return {
            "words": words,
            "difference": _difference(found["dense"], theirs["dense"]),
            "overlap": _overlap(found[words], theirs["bm25"]),
            "words_ndcg": self._ndcg(found[words]),
            "dense_ndcg": self._ndcg(found["dense"]),
            "hybrid_ndcg": self._ndcg(found["hybrid"]),
            "reranked_ndcg": self._ndcg([list(answer.hits) for answer in answers]),
        }

    def _ndcg(self, rankings: Rankings) -> float:
        named = zip(self._ids, rankings, strict=True)
        scores = self._scorer.score({id: [hit.id for hit in hits] for id, hits in named})
        return fmean(scores[id][MEASURE] for id in self._ids)


def _encoded(encoder: Encoder, documents: Sequence[Document]) -> NDArray[np.float32]:
    """The vectors of whole documents, from the cache if they are there."""
    texts = [f"{each.title}\n{each.text}" if each.title else each.text for each in documents]
    named = json.dumps([encoder.identity(), texts]).encode()
    file = Settings().cache / "store-vectors" / f"{hashlib.sha256(named).hexdigest()[:32]}.npy"
    if file.exists():
        kept: NDArray[np.float32] = np.load(file)
        return kept
    vectors = encoder.encode(texts, task="document", prompt=encoder.prompts.document)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors)
    return vectors


def _difference(found: Rankings, flat: Rankings) -> float:
    """The largest difference of the scores at one rank; infinite if a ranking is shorter."""
    pairs = list(zip(found, flat, strict=True))
    if any(len(hits) != len(others) for hits, others in pairs):
        return math.inf
    return max(
        abs(hit.score - other.score)
        for hits, others in pairs
        for hit, other in zip(hits, others, strict=True)
    )


def _overlap(found: Rankings, theirs: Rankings) -> float:
    """The mean share of the index's candidates that the store finds too."""
    return fmean(
        len({hit.id for hit in hits} & {hit.id for hit in others}) / len(others)
        for hits, others in zip(found, theirs, strict=True)
        if others
    )


_EXPLAINED = f"""
Difference: the largest one of a dense score from that of FAISS's flat index at the same rank, up to
{DEPTH}. Overlap: the share of BM25's first {DEPTH} documents in an index that are among the first
{DEPTH} by the store's words. Then {MEASURE} by words, by vectors, by both (hybrid), and of the
{DEPTH} candidates of hybrid reranked by the default reranker, whose fusion weighs BM25 scores, but
no others.
""".strip()


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        [
            name,
            row["words"],
            f"{row['difference']:.1e}",
            f"{row['overlap']:.3f}",
            *(f"{row[f'{stage}_ndcg']:.4f}" for stage in ("words", "dense", "hybrid", "reranked")),
            f"{row['seconds']:.1f}" if "seconds" in row else "",
        ]
        for name, row in rows.items()
    ]
    heads = ["store", "words by", "difference", "overlap", "words", "dense", "hybrid", "reranked"]
    return table([*heads, "seconds to write"], lines)


def _earlier() -> dict[str, Any]:
    """The figures of the last run."""
    written = RESULTS / "stores.json"
    return json.loads(written.read_text())["results"] if written.exists() else {}


if __name__ == "__main__":
    main()
