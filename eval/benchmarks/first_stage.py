"""The first stages at 100,000 documents, against rank-bm25, bm25s and raw FAISS in the same run.

Usage: python eval/benchmarks/first_stage.py [--documents N]

Writes eval/results/first-stage.md and .json. The vectors come from an untrained encoder: engines
cost the same whatever the vectors mean.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import faiss
import numpy as np
import synthetic
from rank_bm25 import BM25Okapi
from report import table, write

from rerank_search import Document, Index
from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.dense import VectorIndex

K = 100
OPEN = """
import json, pathlib, sys, time
from rerank_search import Index
started = time.perf_counter()
index = Index.open(sys.argv[1], encoder=sys.argv[2])
seconds = time.perf_counter() - started
count = len(index)
# Not ru_maxrss: it counts the process that started this one.
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
print(json.dumps({"seconds": seconds, "documents": count, "peak_mib": peak}))
"""


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds of the call, and its result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def alternating(
    ours: Callable[[int], Any], theirs: Callable[[int], Any], rounds: int
) -> tuple[float, float]:
    """Median milliseconds of both, called in turn, so a noisy machine affects both."""
    mine, other = [], []
    for i in range(rounds):
        mine.append(timed(lambda i=i: ours(i))[0] * 1000)
        other.append(timed(lambda i=i: theirs(i))[0] * 1000)
    return statistics.median(mine), statistics.median(other)


def lexical(texts: list[str], queries: list[str], folder: Path) -> dict[str, Any]:
    """Build and query times of BM25, and the agreement of the rankings."""
    passages = [Passage(i, text) for i, text in enumerate(texts, start=1)]
    ours = Bm25Index(folder / "bm25")
    build, _ = timed(lambda: ours.update(1, passages, []))
    static = bm25s.BM25(method="lucene", k1=1.2, b=0.75)

    def build_static() -> None:
        tokens = bm25s.tokenize(texts, stopwords=None, show_progress=False)
        static.index(tokens, show_progress=False)

    build_bm25s, _ = timed(build_static)
    words = [terms("english", text) for text in texts]
    build_oracle, oracle = timed(lambda: BM25Okapi(words, k1=1.2, b=0.75))
    few = queries[:20]
    query_oracle, scores = timed(lambda: [oracle.get_scores(terms("english", q)) for q in few])
    for query in queries:  # once, so that files are not read for the first time below
        ours.search([query], K)
    query_ours, _ = timed(lambda: [ours.search([query], K) for query in queries])
    found = ours.search(few, 10)
    overlap = [
        len(set(one.ids[:10].tolist()) & set((np.argsort(-own)[:10] + 1).tolist())) / 10
        for one, own in zip(found, scores, strict=True)
    ]
    ours.close()
    return {
        "build_s": build,
        "build_bm25s_s": build_bm25s,
        "build_rank_bm25_s": build_oracle,
        "query_ms": query_ours / len(queries) * 1000,
        "query_rank_bm25_ms": query_oracle / len(few) * 1000,
        "queries_per_second_ratio": (query_oracle / len(few)) / (query_ours / len(queries)),
        "build_ratio_bm25s": build_bm25s / build,
        "top10_overlap": statistics.mean(overlap),
    }


class Given:
    """An encoder whose texts are the numbers of existing vectors."""

    name = "given"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.dimension = vectors.shape[1]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of these numbers."""
        return self.vectors[[int(text) for text in texts]]


def dense(count: int, dimension: int, folder: Path) -> dict[str, float]:
    """Times of flat search by the engine of an index and by raw FAISS on the same vectors."""
    rng = np.random.default_rng(synthetic.SEED)
    vectors = rng.standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    engine = VectorIndex(folder / "dense", Given(vectors))
    engine.update(1, [Passage(i, str(i)) for i in range(count)], [])
    raw = faiss.IndexFlatIP(dimension)
    raw.add(vectors)
    queries = np.ascontiguousarray(vectors[:200])
    ours, theirs = alternating(
        lambda i: engine.search_vectors(queries[i : i + 1], K),
        lambda i: raw.search(queries[i : i + 1], K),
        len(queries),
    )
    return {"ours_ms": ours, "faiss_ms": theirs, "ratio": ours / theirs}


def one_more(index: Index, rounds: int) -> dict[str, float]:
    """Milliseconds to add one document and find it by both stages."""
    spent = []
    for i in range(rounds):
        word = f"zyzzyva{i}"
        started = time.perf_counter()
        index.add([Document(f"new{i}", f"{word} {synthetic.VOCABULARY[i]}")])
        for stage in ("bm25", "dense"):
            [hits] = index.retriever(stage).retrieve([f"{word} {synthetic.VOCABULARY[i]}"], 10)
            if f"new{i}" not in [hit.id for hit in hits]:
                sys.exit(f"the {stage} stage did not find the document that was just added")
        spent.append((time.perf_counter() - started) * 1000)
    return {"median_ms": statistics.median(spent), "max_ms": max(spent)}


def opened(path: Path, encoder: str) -> dict[str, float]:
    """Seconds to open the index in a new process, and the process's peak memory."""
    runs = []
    for _ in range(3):
        command = [sys.executable, "-c", OPEN, str(path), encoder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return sorted(runs, key=lambda run: run["seconds"])[1]


def rows(results: dict[str, Any]) -> Sequence[Sequence[object]]:
    """The table: figure, ours, the other side, ratio, target, met."""
    bm25, flat = results["bm25"], results["dense"]
    more, open_ = results["one_more"], results["open"]
    lines = [
        (
            "BM25 query, top 100 (ms; rank-bm25)",
            bm25["query_ms"],
            bm25["query_rank_bm25_ms"],
            bm25["queries_per_second_ratio"],
            "at least 100 times",
            bm25["queries_per_second_ratio"] >= 100,
        ),
        (
            "BM25 build (s; bm25s)",
            bm25["build_s"],
            bm25["build_bm25s_s"],
            bm25["build_ratio_bm25s"],
            "faster",
            bm25["build_ratio_bm25s"] > 1,
        ),
        (
            "flat vector query, top 100 (ms; raw faiss)",
            flat["ours_ms"],
            flat["faiss_ms"],
            flat["ratio"],
            "at most 1.1 times",
            flat["ratio"] <= 1.1,
        ),
        (
            "one document added, found by both stages (ms)",
            more["median_ms"],
            "",
            "",
            "at most 1,000",
            more["max_ms"] <= 1000,
        ),
        (
            "open in a new process (s)",
            open_["seconds"],
            "",
            "",
            "under 1",
            open_["seconds"] < 1,
        ),
        ("memory of that process (MiB, peak)", open_["peak_mib"], "", "", "stated", ""),
        ("top-10 overlap with rank-bm25", bm25["top10_overlap"], "", "", "stated", ""),
    ]
    return [(*line[:5], {True: "yes", False: "**no**"}.get(line[5], "")) for line in lines]


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    count = parser.parse_args().documents
    documents = synthetic.documents(count)
    texts = [document.text for document in documents]
    queries = synthetic.queries(texts, 200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results: dict[str, Any] = {"documents": count, "bm25": lexical(texts, queries, folder)}
        results["dense"] = dense(count, 384, folder)
        print(json.dumps(results), file=sys.stderr, flush=True)
        encoder = synthetic.encoder(folder)
        with Index.create(folder / "index", encoder=encoder, passages=None) as index:
            results["add_s"], _ = timed(lambda: index.add(documents))
            results["one_more"] = one_more(index, 10)
        results["open"] = opened(folder / "index", encoder)
    headers = ["what", "rerank_search", "the other", "ratio", "target", "met"]
    sections = {
        "What is measured": (
            f"{count:,} documents of 60 words by Zipf's law, {len(queries)} queries of 6 words. "
            "Both sides of a ratio run in the same process. rank-bm25 and our BM25 get the same "
            "terms; bm25s builds from its own tokeniser, without stemming, which is less work."
        ),
        "Figures": table(headers, rows(results)),
    }
    print(write("first-stage", "First stages", "make bench", sections, results))


if __name__ == "__main__":
    main()
