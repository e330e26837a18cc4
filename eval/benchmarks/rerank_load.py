"""The second stage under load: many threads on one reranker, and a list of long candidates.

Usage: python eval/benchmarks/rerank_load.py [--queries N] [--candidates N]

Writes eval/results/rerank-load.md and .json; on a CPU without units for bfloat16 they are called
rerank-load-avx2-only. Threads score the lists of rerank.py, a query at a time, in turn with a
single caller. The long list has made-up texts that fill the window; each side scores it in a
process of its own, which has its own peak memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from report import table, write
from rerank import MODEL, OURS, THEIRS, Task, ours, tasks, theirs
from synthetic import texts

from rerank_search import CrossEncoderReranker
from rerank_search.evaluation.cost import peak_memory
from rerank_search.models.backends.options import has_bfloat16

THREADS = 8
LISTS, TURNS = 20, 3
WORDS = 600
"""Words of a long text; each is one token or more, so the text fills a window of 512 tokens."""

CALLED = (
    "ours, torch, float32",
    "ours, openvino, bfloat16" if has_bfloat16() else "ours, onnx, float32",
)
"""Sides that many threads call: the one that is always there, and the fastest one."""


def callers(task: Task, options: dict[str, str]) -> dict[str, Any]:
    """Pairs per second of one caller and of many, medians of a few turns."""
    reranker = CrossEncoderReranker(MODEL, device="cpu", **options)  # type: ignore[arg-type]
    lists = [
        [(query, text) for text in each]
        for query, each in list(zip(task.queries, task.texts, strict=True))[:LISTS]
    ]
    expected = [reranker.score(pairs) for pairs in lists]
    seconds: dict[int, list[float]] = {1: [], THREADS: []}
    largest = 0.0
    for _ in range(TURNS):
        for count, taken in seconds.items():
            with ThreadPoolExecutor(count) as pool:
                started = time.perf_counter()
                found = list(pool.map(reranker.score, lists))
                taken.append(time.perf_counter() - started)
            for scores, own in zip(found, expected, strict=True):
                largest = max(largest, float(np.abs(scores - own).max()))
    pairs = sum(map(len, lists))
    alone, many = (pairs / float(np.median(taken)) for taken in seconds.values())
    return {"alone": alone, "many": many, "times": many / alone, "difference": largest}


def long_list(side: str, candidates: int, output: Path) -> None:
    """Score one list of texts that fill the window, and write the seconds and the peak memory."""
    task = Task(["what is it"], [[]], [texts(candidates, WORDS)])
    score = (theirs(task) if side == THEIRS else ours(task, side))[1]
    score(task.queries[0], task.texts[0][:1])
    loaded = peak_memory() or 0
    started = time.perf_counter()
    found = score(task.queries[0], task.texts[0])
    facts = {
        "seconds": time.perf_counter() - started,
        "loaded_mib": loaded / 2**20,
        "peak_mib": (peak_memory() or 0) / 2**20,
        "scores": len(found),
    }
    output.write_text(json.dumps(facts), encoding="utf-8")


def main() -> None:
    """Measure both, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, help="sample this many of the queries")
    parser.add_argument("--candidates", type=int, default=1000, help="of the long list")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        long_list(given.side, given.candidates, given.output)
        return
    # First, while this process is small: a new process starts with the peak of its parent.
    long: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in (THEIRS, *CALLED):
            output = Path(folder) / "facts.json"
            arguments = [sys.executable, __file__, "--side", side, "--output", str(output)]
            arguments += ["--candidates", str(given.candidates)]
            subprocess.run(arguments, check=True)
            long[side] = json.loads(output.read_text(encoding="utf-8"))
            print(f"{side}: {long[side]['seconds']:.1f} s", file=sys.stderr, flush=True)
    collection, _, task = tasks(given.queries)
    called = {side: callers(task, OURS[side]) for side in CALLED}
    theirs_long = long[THEIRS]
    threads = [
        [
            side,
            f"{own['alone']:.0f}",
            f"{own['many']:.0f}",
            f"{own['times']:.2f}",
            f"{own['difference']:.6f}",
        ]
        for side, own in called.items()
    ]
    lists = [
        [
            side,
            f"{own['seconds']:.1f}",
            f"{theirs_long['seconds'] / own['seconds']:.2f}",
            f"{own['loaded_mib']:.0f}",
            f"{own['peak_mib']:.0f}",
            f"{own['peak_mib'] / theirs_long['peak_mib']:.2f}",
        ]
        for side, own in long.items()
    ]
    sections = {
        "Many threads on one reranker": (
            f"The first {LISTS} lists of {collection.name} of the other tables, one list a call: "
            f"by one thread, and by {THREADS} threads that share one reranker. Pairs per second "
            f"are medians of {TURNS} turns, when the tokens of all texts are remembered. The "
            "difference is the largest one between a score and that of a call alone."
        )
        + "\n\n"
        + table(
            ["side", "one thread", f"{THREADS} threads", "times", "largest difference"], threads
        ),
        "A list of long candidates": (
            f"{given.candidates:,} texts of {WORDS} made-up words for one query, cut at 512 "
            "tokens, in one call of `rank` or `score`. Memory is the process's peak, and before "
            "that its peak after loading the model."
        )
        + "\n\n"
        + table(["side", "seconds", "times", "loaded MiB", "peak MiB", "of their peak"], lists),
    }
    data = {"threads": called, "long": long}
    name = "rerank-load" if has_bfloat16() else "rerank-load-avx2-only"
    print(write(name, "The second stage under load", "make bench-rerank", sections, data))


if __name__ == "__main__":
    main()
