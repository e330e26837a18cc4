"""A trial: is torch.compile on a CPU better than our own forward pass?

Usage: python eval/benchmarks/compiled.py [--queries N]

Writes eval/results/compiled.md and .json. The same batches of the pairs of rerank.py go through
transformers' model, through the same compiled, and through ours, in one process. Compiling needs
a C++ compiler (g++) on the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from report import table, write
from rerank import MODEL, tasks, tokens
from sentence_transformers import CrossEncoder
from torch._inductor import config as inductor

from rerank_search.models.backends.options import has_bfloat16
from rerank_search.models.batches import CPU_BATCH_TOKENS, token_batches
from rerank_search.models.fused_bert import fuse
from rerank_search.models.registry import resolve_reranker

EAGER, OURS = "transformers", "ours"
COMPILED = {"torch.compile": False, "torch.compile, weights frozen": True}
"""Whether weights are constants, which torch.compile arranges for its kernels."""

RUNS = 2

Forward = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
"""A function from the inputs of a batch to its logits."""


def forward(side: str, dtype: str) -> Forward:
    """The model of a side; it is compiled at the first call."""
    network: Any = CrossEncoder(resolve_reranker(MODEL), device="cpu").transformers_model
    network.float().eval()
    if side == OURS:
        fuse(network, dtype)
        return lambda inputs: network(**inputs).logits
    network.to(getattr(torch, dtype))
    called = torch.compile(network, dynamic=True) if side in COMPILED else network

    def compute(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # Set it globally: torch.compile has no such option of its own.
        with inductor.patch(freezing=COMPILED.get(side, False)):
            found: torch.Tensor = called(**inputs).logits
            return found

    return compute


def seconds(compute: Forward, batches: Sequence[Mapping[str, torch.Tensor]]) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        for inputs in batches:
            compute(inputs)
    return time.perf_counter() - started


def main() -> None:
    """Measure with an empty cache of compiled code, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=5, help="sample this many of the queries")
    given = parser.parse_args()
    if not shutil.which("g++"):
        sys.exit("torch.compile needs g++: install it")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        measure(given.queries)


def measure(queries: int) -> None:
    """Measure each side in this order and in reverse, after a run that compiles it."""
    collection, names, task = tasks(queries)
    tokenizer = CrossEncoder(resolve_reranker(MODEL), device="cpu").tokenizer
    batches = []
    for batch in token_batches(np.array(tokens(task)), CPU_BATCH_TOKENS):
        columns = map(list, zip(*(task.pairs[i] for i in batch), strict=True))
        made = tokenizer(
            *columns, truncation=True, max_length=512, padding=True, return_tensors="pt"
        )
        batches.append(dict(made))
    rows, data = [], []
    for dtype in ["float32", *(["bfloat16"] if has_bfloat16() else [])]:
        sides = [EAGER, *COMPILED, OURS]
        first: dict[str, float] = {}
        runs: dict[str, list[float]] = {side: [] for side in sides}
        for side in (*sides, *sides[::-1]):
            torch._dynamo.reset()  # otherwise another side's code would be used
            compute = forward(side, dtype)
            compiling = seconds(compute, batches)
            first.setdefault(side, compiling)
            runs[side] += [seconds(compute, batches) for _ in range(RUNS)]
        for side, own in runs.items():
            usual = float(np.median(own))
            more = first[side] - usual
            times = float(np.median(runs[EAGER])) / usual
            rows.append([f"{side}, {dtype}", f"{usual:.2f}", f"{times:.2f}", f"{more:.1f}"])
            data.append({"side": side, "dtype": dtype, "runs": own, "first": first[side]})
    sections = {
        "What is measured": (
            f"Seconds for {len(task.pairs):,} pairs of {collection.name} ({len(names)} queries), "
            f"scored by {MODEL}, in the same {len(batches)} batches of {CPU_BATCH_TOKENS:,} tokens "
            f"at most, each computed by all of torch's threads: the median of {2 * RUNS} runs, "
            "half of them with the sides in reverse order. Times are relative to transformers in "
            "the same precision. The first run also compiles the model, if the side does so. "
            "torch.compile is told that sizes change (dynamic=True)."
        ),
        "Results": table(["side", "seconds", "times", "more in the first run"], rows),
    }
    command = "python eval/benchmarks/compiled.py"
    print(write("compiled", "torch.compile on a CPU: a trial", command, sections, data))


if __name__ == "__main__":
    main()
