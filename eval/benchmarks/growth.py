"""The cost of each operation on an index of 10,000, 100,000 and 1,000,000 documents.

Usage: python eval/benchmarks/growth.py [--indexes FOLDER] [--sizes N ...] [--vectors N ...]

Writes eval/results/growth.md and .json. Missing indexes are made in FOLDER (one of 1,000,000
documents takes some minutes and 1 GB), or without --indexes in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import synthetic
from report import table, write

from rerank_search import Document, Index, Searcher

PORTION = 20_000
ROUNDS = 20
CHANGED = 50


def documents(count: int) -> Iterator[Document]:
    """Documents of 60 words, with a value that a thousandth shares and one that a tenth shares."""
    for start in range(0, count, PORTION):
        size = min(PORTION, count - start)
        seed = synthetic.SEED + start // PORTION
        for i, text in enumerate(synthetic.texts(size, seed=seed), start=start):
            labels = {"group": i * 1000 // count, "part": i % 10}
            yield Document(f"d{i:07d}", text, metadata=labels)


def encoder(folder: Path) -> str:
    """An encoder that averages random vectors of words, which costs almost nothing."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = folder / "encoder"
    if not path.is_dir():
        words = {"[UNK]": 0} | {word: i for i, word in enumerate(synthetic.VOCABULARY, start=1)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        torch.manual_seed(synthetic.SEED)
        body = StaticEmbedding(tokenizer, embedding_dim=384)
        SentenceTransformer(modules=[body, Normalize()], device="cpu").save(str(path))
    return str(path)


def made(folder: Path, count: int, *, vectors: bool) -> Path:
    """The index with this number of documents, made if it is missing."""
    path = folder / f"{'dense' if vectors else 'bm25'}-{count}"
    if not path.is_dir():
        print(f"making {path}", file=sys.stderr, flush=True)
        chosen = encoder(folder) if vectors else None
        with Index.create(path, encoder=chosen, passages=None) as index:
            index.add(documents(count))
    return path


def spent(call: Callable[[], Any]) -> float:
    """CPU milliseconds of a call, which other work on the machine changes least."""
    started = time.process_time()
    call()
    return (time.process_time() - started) * 1000


def command(*arguments: str) -> float:
    """CPU milliseconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "rerank_search", *arguments], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def reading(path: Path, queries: list[str]) -> dict[str, float]:
    """Times of operations that do not change the index."""
    with Index.open(path, read_only=True) as index:  # does the late loading
        Searcher(index, reranker=None).search(queries[0])
    found = {"open": spent(lambda: Index.open(path, read_only=True).close())}
    with Index.open(path, read_only=True) as index:
        found["info"] = spent(index.info)
        searcher = Searcher(index, reranker=None)
        searches = [spent(lambda q=q: searcher.search(q, top_k=100)) for q in queries]
        found["first search"] = searches[0]
        found["search, 100 candidates"] = statistics.median(searches[1:])
        for share, filter in (("thousandth", {"group": 5}), ("tenth", {"part": 5})):
            few = [spent(lambda q=q, f=filter: searcher.search(q, filter=f)) for q in queries]
            found[f"first search in a {share}"] = few[0]
            found[f"search in a {share}"] = statistics.median(few[1:])
        found["get"] = statistics.median(
            spent(lambda i=i: index.get(f"d{i:07d}")) for i in range(ROUNDS)
        )
    asked = ("search", str(path), queries[0], "--no-rerank", "--first-stage", "bm25", "--json")
    found["command: search"] = command(*asked)
    found["command: index info"] = command("index", "info", str(path))
    return found


def writing(path: Path) -> dict[str, float]:
    """Times of operations that change the index, on a copy."""
    words = synthetic.VOCABULARY
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy = Path(shutil.copytree(path, Path(folder) / "index"))
        with Index.open(copy) as index:
            index.add([Document("first", "loads what is loaded late")])
            ids = [f"d{i:07d}" for i in range(CHANGED)]
            return {
                "add one": statistics.median(
                    spent(lambda i=i: index.add([Document(f"new{i}", words[i])]))
                    for i in range(ROUNDS)
                ),
                "replace one": statistics.median(
                    spent(lambda i=i: index.add([Document(f"d{i + 1000:07d}", words[i])]))
                    for i in range(ROUNDS)
                ),
                f"delete {CHANGED}": spent(lambda: index.delete(ids)),
                "delete a thousandth by filter": spent(lambda: index.delete_matching({"group": 7})),
            }


def compared(found: dict[int, dict[str, float]]) -> str:
    """A table of milliseconds at the smallest size, and of ratios to these at the others."""
    first, *others = sorted(found)
    headers = ["operation", f"{first:,} (ms)", *(f"{size:,} (times)" for size in others)]
    return table(
        headers,
        [
            [name, value, *(found[size][name] / value for size in others)]
            for name, value in found[first].items()
        ],
    )


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--indexes", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--vectors", type=int, nargs="+", default=[10_000, 100_000])
    arguments = parser.parse_args()
    queries = synthetic.queries(synthetic.texts(2_000), ROUNDS)
    results: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.indexes or Path(name)
        for kind, sizes in (("BM25", arguments.sizes), ("BM25 and vectors", arguments.vectors)):
            results[kind] = {}
            for size in sizes:
                path = made(folder, size, vectors=kind != "BM25")
                results[kind][size] = reading(path, queries) | writing(path)
                print(kind, size, json.dumps(results[kind][size]), file=sys.stderr, flush=True)
    sections = {
        "What is measured": (
            "CPU milliseconds, for documents of 60 words by Zipf's law, indexed whole; vectors of "
            f"384 numbers, searched exactly. Medians of {ROUNDS}, except for first calls. A "
            "filter's first search collects the documents that it allows, and a deletion by filter "
            "deletes more from a larger index; vectors are read when an index is opened, and an "
            "exact search reads all of them."
        ),
        **{kind: compared(found) for kind, found in results.items()},
    }
    print(write("growth", "What grows with the corpus", "make bench-growth", sections, results))


if __name__ == "__main__":
    main()
