"""Start new processes whose first call uses several threads, and count those that hang.

    python tests/first_calls.py 200 [--backend onnx] [--model rerank-search-tiny] [--at-once 2]

In a new process two threads may initialise a library at the same time. Each process loads a
reranker and scores pairs of 12 different lengths, while threads are switched as often as Python
allows. One that does not end in time is killed and counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FIRST_CALL = """
import os, sys
import torch
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

model, backend = sys.argv[1:]
torch.set_num_threads(max(2, torch.get_num_threads()))
os.environ["RERANK_SEARCH_THREADS"] = str(torch.get_num_threads())
pairs = [("which file", "the bread is in the oven " * (1 + i % 12) + str(i)) for i in range(60)]
reranker = CrossEncoderReranker(model, backend=backend, dtype="float32", device="cpu")
sys.setswitchinterval(1e-6)
assert reranker.score(pairs).shape == (60,)
"""

TIMEOUT = 240.0
"""Time limit of one process in seconds; it takes a few, and many times more on a busy machine."""


def ends(model: str, backend: str, timeout: float) -> bool:
    """Whether a new process ends in time. Raises RuntimeError for one that fails."""
    arguments = [sys.executable, "-W", "ignore", "-c", FIRST_CALL, model, backend]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode != 0:
        raise RuntimeError(f"a process failed by itself:\n{done.stderr}")
    return True


def main() -> None:
    """The command line; the exit code is 1 if a process hung."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("processes", type=int, nargs="?", default=200)
    parser.add_argument("--model", default="rerank-search-tiny")
    parser.add_argument("--backend", choices=("openvino", "onnx", "torch"), default="openvino")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    given = parser.parse_args()
    ends(given.model, given.backend, 10 * given.timeout)  # exports the model, if need be
    with ThreadPoolExecutor(given.at_once) as pool:
        ended = [
            pool.submit(ends, given.model, given.backend, given.timeout)
            for _ in range(given.processes)
        ]
        hung = sum(not each.result() for each in ended)
    sys.stdout.write(f"{given.processes} processes with {given.backend}: {hung} hung\n")
    sys.exit(1 if hung else 0)


if __name__ == "__main__":
    main()
