"""The time that the evaluation harness adds to the model's own, and the memory that it takes.

Usage: python eval/benchmarks/evaluation.py [--queries 1000]

Writes eval/results/evaluation-overhead.md and .json. Texts are made up, of 24 words (some 80
tokens with the query); the reranker is the bundled one in the precision that is fastest here. The
faster the reranker and the shorter the texts, the larger the harness's share.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import table, write
from synthetic import queries, texts

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.cell import evaluate_cell
from rerank_search.evaluation.cost import peak_memory
from rerank_search.evaluation.experiment import MEASURES
from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.results import System
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.score_cache import ScoreCache
from rerank_search.judged.second_stages import SecondStage
from rerank_search.reranking.base import LongDocuments, Reranker, Scores

DOCUMENTS = 20_000
TERMS = 24
QUERIES = 1_000
CANDIDATES = 100
ROUNDS = 10
MEMORY_QUERIES = (250, 1_000, 4_000)
SYSTEM = System("bm25", CANDIDATES, "bundled")


class ByLength:
    """A reranker that takes no time and no memory, so only the harness is measured."""

    name = "by-length"
    fingerprint = "by-length"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Shorter is better; 0 for an empty text."""
        return np.array([-len(text) for _, text in pairs], dtype=np.float32)


class Timed:
    """The bundled reranker, which counts the seconds that it takes."""

    name = "bundled"

    def __init__(self, reranker: CrossEncoderReranker) -> None:
        self._reranker = reranker
        self.fingerprint = reranker.fingerprint
        self.activated = reranker.activated
        self.seconds = 0.0

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw logits."""
        return self.score_with_report(pairs).values

    def score_with_report(
        self, pairs: Sequence[tuple[str, str]], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        """Raw logits, and which pairs were cut."""
        started = time.perf_counter()
        scores = self._reranker.score_with_report(pairs, long_documents=long_documents)
        self.seconds += time.perf_counter() - started
        return scores


def collection(count: int) -> JudgedCollection:
    """Short documents, and queries with five judged documents each, three of them relevant."""
    corpus = texts(DOCUMENTS, TERMS)
    rng = np.random.default_rng(7)
    judged = rng.integers(DOCUMENTS, size=(count, 5)).tolist()
    return JudgedCollection(
        name="synthetic",
        split="test",
        queries={f"q{i}": text for i, text in enumerate(queries(corpus, count))},
        qrels={
            f"q{i}": {f"d{document}": grade for grade, document in enumerate(row, start=-1)}
            for i, row in enumerate(judged)
        },
        documents=lambda: (Document(f"d{i}", text) for i, text in enumerate(corpus)),
        located=lambda query, document: f"{query} {document}",
    )


def part(whole: JudgedCollection, number: int) -> JudgedCollection:
    """One of ROUNDS equal parts of the judged queries."""
    ids = list(whole.qrels)[number::ROUNDS]
    return dataclasses.replace(whole, qrels={query: whole.qrels[query] for query in ids})


def evaluated(
    whole: JudgedCollection, index: Index, reranker: Reranker, folder: Path
) -> ScoreCache:
    """Run the harness over all queries, with an empty cache in ``folder``."""
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        cache = ScoreCache(Path(empty), reranker)
        evaluate_cell(
            whole,
            index,
            SYSTEM,
            SecondStage(reranker, None, cache),
            scorer=Scorer(whole.qrels, list(MEASURES)),
            sbert_at_k=10,
            runs=Path(empty) / "runs",
        )
        cache.close()
        return cache


def pairs_of(whole: JudgedCollection, index: Index) -> list[tuple[str, str]]:
    """The pairs that a hand-written loop would score: candidates and missed positives."""
    texts_of = [whole.queries[query] for query in whole.qrels]
    pairs = []
    rankings = index.retriever("bm25").retrieve(texts_of, CANDIDATES)
    for (query, grades), hits in zip(whole.qrels.items(), rankings, strict=True):
        ids = dict.fromkeys(hit.id for hit in hits)
        ids |= dict.fromkeys(document for document, grade in grades.items() if grade > 0)
        for document in index.documents(list(ids)):
            if document is not None:
                pairs.append((whole.queries[query], document.text))
    return pairs


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def overhead(folder: Path, queries: int) -> dict[str, Any]:
    """Seconds of the bare model and of the harness, taking turns on parts of the queries."""
    whole = collection(queries)
    index = opened(whole, folder)
    bundled = CrossEncoderReranker("rerank-search-base")
    reranker = Timed(bundled)
    evaluated(part(whole, 0), index, ByLength(), folder)  # does the late imports
    bundled.score(pairs_of(part(whole, 0), index)[:500])
    bare = harness = 0.0
    count = 0
    for number in range(ROUNDS):
        few = part(whole, number)
        pairs = pairs_of(few, index)
        count += len(pairs)
        by_hand = functools.partial(bundled.score, pairs)
        by_harness = functools.partial(evaluated, few, index, reranker, folder)
        # Let each side begin in turn, so that a drift of the machine affects both.
        for action in (by_hand, by_harness)[:: 1 if number % 2 else -1]:
            seconds = timed(action)
            if action is by_hand:
                bare += seconds
            else:
                harness += seconds
        print(f"{number + 1}/{ROUNDS}: {bare:.1f} s, {harness:.1f} s", file=sys.stderr, flush=True)
    return {
        "computed": f"{bundled.backend} in {bundled.dtype}",
        "pairs": count,
        "bare_s": bare,
        "harness_s": harness,
        "harness_own_s": harness - reranker.seconds,
        "overhead": harness / bare - 1,
    }


def opened(whole: JudgedCollection, folder: Path) -> Index:
    """The collection's index, below ``folder``."""
    if whole.documents is None:
        raise ValueError("the collection has no documents")
    index, _ = open_corpus_index(
        "synthetic", whole.documents, IndexSettings(encoder=False), folder / "indexes"
    )
    return index


def memory(folder: Path) -> dict[str, int]:
    """The peak in bytes for each number of queries, each in a process of its own."""
    opened(collection(1), folder).close()  # build it first: the build would be the peak
    return {
        str(count): int(
            subprocess.run(
                [sys.executable, __file__, "--memory", str(count), "--folder", str(folder)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for count in MEMORY_QUERIES
    }


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=QUERIES, help="of the measured time")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    queries: int = arguments.queries
    if arguments.memory:
        whole = collection(arguments.memory)
        with opened(whole, arguments.folder) as index:
            evaluated(whole, index, ByLength(), arguments.folder)
        print(peak_memory())
        return
    with tempfile.TemporaryDirectory() as folder:
        peaks = memory(Path(folder))
        spent = overhead(Path(folder), queries)
    verdict = "met" if spent["overhead"] <= 0.03 else "**missed**"
    first, last = MEMORY_QUERIES[0], MEMORY_QUERIES[-1]
    grown = (peaks[str(last)] - peaks[str(first)]) / (last - first)
    sections = {
        "What is measured": (
            f"{queries:,} queries, {CANDIDATES} candidates of BM25 each and the positives that it "
            f"missed, from {DOCUMENTS:,} made-up documents of {TERMS} words (some 80 tokens with "
            f"the query); the bundled reranker by {spent['computed']}. Bare: one call of the "
            "reranker with all pairs. Harness: retrieval, "
            f"reranking with an empty cache, all protocols and {len(MEASURES)} measures, and run "
            f"files. In turn, {queries // ROUNDS} queries at a time, in one process. Memory: the "
            "peak of a process of its own, with a reranker that needs none."
        ),
        "Time": table(
            ["pairs", "bare model, s", "harness, s", "of it outside the model, s", "overhead"],
            [
                [
                    f"{spent['pairs']:,}",
                    spent["bare_s"],
                    spent["harness_s"],
                    spent["harness_own_s"],
                    f"{spent['overhead']:.1%}",
                ]
            ],
        ),
        "Memory": table(
            ["queries", "peak, MiB"],
            [[f"{int(count):,}", f"{peak / 2**20:,.0f}"] for count, peak in peaks.items()],
        )
        + f"\n\n{grown / 1024:.1f} KiB for each further query: its text, judgements, figures and "
        "first results, and those of the made-up collection itself.",
        "Target": f"{spent['overhead']:.1%} of at most 3%: {verdict}",
    }
    data = {"time": spent, "peak_bytes": peaks, "bytes_per_query": grown}
    print(json.dumps(data))
    print(write("evaluation-overhead", "What the harness costs", "make bench", sections, data))


if __name__ == "__main__":
    main()
