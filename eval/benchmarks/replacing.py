"""Each framework's own reranking class against the plugin that takes its place.

Usage: python eval/benchmarks/replacing.py [--queries N] [--candidates N]

The classes are those of examples/replacements.py. Writes eval/results/replacing.md and .json. Both
sides rerank the same BM25 candidates of python-docs with the same model, in one process and in
turn. Haystack's own ranker is in the package sentence-transformers-haystack, and is left out if
that is not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from report import table, write

from rerank_search.corpora.python_docs import python_docs
from rerank_search.models.registry import DEFAULT_RERANKER
from rerank_search.retrieval.memory import MemoryRetriever

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from replacements import FRAMEWORKS, Pair

COLLECTION = Path(__file__).parent.parent / "collections" / "python-docs"


def asked(queries: int, candidates: int) -> list[tuple[str, list[str]]]:
    """Queries of python-docs, each with the texts of its BM25 candidates."""
    texts = list(dict.fromkeys(document.text for document in python_docs() if document.text))
    bm25 = MemoryRetriever(texts)
    with (COLLECTION / "queries.jsonl").open(encoding="utf-8") as lines:
        every = [json.loads(line)["text"] for line in lines]
    chosen = every[:: max(1, len(every) // queries)][:queries]
    return [
        (query, [texts[position] for position, _ in bm25.best(query, candidates)])
        for query in chosen
    ]


def compared(pair: Pair, work: Sequence[tuple[str, list[str]]]) -> tuple[float, float, float]:
    """The median seconds of both, and the share of queries with the same best ten in order."""
    spent: dict[str, list[float]] = {"theirs": [], "ours": []}
    same = 0
    sides = {"theirs": pair.theirs[1], "ours": pair.ours[1]}
    for rerank in sides.values():  # loading and measuring backends are not counted
        rerank(*work[0])
    for place, (query, texts) in enumerate(work):
        found = {}
        for side, rerank in sorted(sides.items(), reverse=place % 2 == 1):
            started = time.perf_counter()
            found[side] = rerank(query, texts)
            spent[side].append(time.perf_counter() - started)
        same += found["theirs"] == found["ours"]
    medians = [statistics.median(each) for each in spent.values()]
    return medians[0], medians[1], same / len(work)


def main() -> None:
    """Compare the classes of every framework, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=50)
    given = parser.parse_args()
    work = asked(given.queries, given.candidates)
    rows: list[list[object]] = []
    for framework, classes in FRAMEWORKS.items():
        try:
            pair = classes()
        except ImportError as error:
            print(f"{framework} is left out: {error}")
            continue
        theirs, ours, same = compared(pair, work)
        rows.append(
            [framework, pair.theirs[0], theirs, pair.ours[0], ours, theirs / ours, f"{same:.0%}"]
        )
        print(rows[-1], flush=True)
    headers = ["framework", "its class", "s", "the plugin", "s", "times as fast", "same ranking"]
    names = ["framework", "theirs", "theirs_s", "ours", "ours_s", "ratio", "same"]
    path = write(
        "replacing",
        "The frameworks' reranking classes and the plugins",
        f"python eval/benchmarks/replacing.py --queries {given.queries} "
        f"--candidates {given.candidates}",
        {
            "What is measured": f"{given.queries} queries of python-docs, each with "
            f"{given.candidates} candidates by BM25, reranked by {DEFAULT_RERANKER} on the CPU, in "
            "turn and in one process; the plugin computes with the fastest backend of this "
            "machine. Median seconds of a query, after a first one that is not counted.",
            "Time": table(headers, rows),
        },
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
