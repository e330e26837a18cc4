"""Where the second stage spends its time, in sentence-transformers and in ours.

Usage: python eval/benchmarks/rerank_profile.py [--queries N]

Writes eval/results/rerank-profile.md, .json and .svg; on a CPU without units for bfloat16 they are
called rerank-profile-avx2-only. Both score the pairs of rerank.py with the same model. torch's own
profiler counts the time of each operator, and OpenVINO's that of each node.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from report import save, table, write
from rerank import MODEL, THEIRS, Task, ours, tasks, theirs, tokens

from rerank_search.models.backends import imports
from rerank_search.models.backends.onnx_file import LAYOUT
from rerank_search.models.backends.options import has_bfloat16
from rerank_search.models.batches import THREAD_BATCH_TOKENS, each, token_batches
from rerank_search.models.registry import fingerprint, resolve_reranker
from rerank_search.reranking.loading import INPUTS
from rerank_search.settings import Settings

PRODUCTS = "matrix products"
OUTSIDE = "outside of the model"
REST = "the rest of the model"

KINDS: Mapping[str, Sequence[str]] = {
    PRODUCTS: ("aten::mm", "aten::addmm", "aten::bmm", "mkldnn::_linear_pointwise",
               "FullyConnected", "MatMul"),
    "attention as one kernel": ("aten::_scaled_dot_product_flash_attention_for_cpu",
                                "ScaledDotProductAttention", "MHA"),
    "softmax": ("aten::_softmax", "SoftMax", "Softmax"),
    "GELU": ("aten::gelu", "aten::gelu_"),
    "layer norms": ("aten::native_layer_norm", "MVN"),
    "sums": ("aten::add", "aten::add_", "aten::mul", "Eltwise"),
    "several steps as one kernel": ("Subgraph",),
    "copies and casts": ("aten::copy_", "aten::cat", "aten::clone", "Reorder", "Transpose",
                         "Reshape", "Convert", "StridedSlice", "Split"),
}  # fmt: skip
"""Kinds of work, with their operators of torch and nodes of OpenVINO."""


def kind_of(name: str) -> str:
    return next((kind for kind, names in KINDS.items() if name in names), REST)


def profiled(score: Callable[[], Any], threads: int) -> Counter[str]:
    """Seconds of torch's operators by kind, for ``threads`` threads with work of their own.

    The rest of the time is outside the model.
    """
    from torch._C._profiler import _ExperimentalConfig
    from torch.profiler import ProfilerActivity, profile

    everywhere = _ExperimentalConfig(profile_all_threads=True)
    with profile(activities=[ProfilerActivity.CPU], experimental_config=everywhere) as trace:
        started = time.perf_counter()
        score()
        wall = time.perf_counter() - started
    seconds: Counter[str] = Counter()
    for event in trace.key_averages():
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / threads
    return with_outside(seconds, wall)


def with_outside(seconds: Counter[str], wall: float) -> Counter[str]:
    seconds[OUTSIDE] = max(0.0, wall - seconds.total())
    return seconds


def openvino(dtype: str, lengths: Sequence[int], score: Callable[[], Any]) -> Counter[str]:
    """Seconds of OpenVINO's nodes by kind, for batches of these lengths and any words.

    As in ours, each thread computes batches of its own. The time outside the model is the time of
    ``score`` minus that of the nodes.
    """
    started = time.perf_counter()
    score()
    wall = time.perf_counter() - started
    weights = fingerprint(Path(resolve_reranker(MODEL)))
    threads = torch.get_num_threads()
    compiled = (
        imports.openvino()
        .Core()
        .compile_model(
            str(Settings().cache / "exports" / f"{weights}-{LAYOUT}.onnx"),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[dtype],
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,
                "PERF_COUNT": "YES",
            },
        )
    )
    requests = [compiled.create_infer_request() for _ in range(threads)]
    counts = np.array(lengths, dtype=np.int64)

    def compute(batch: NDArray[np.int64]) -> Counter[str]:
        there = np.arange(counts[batch].max()) < counts[batch, None]
        arrays = {name: np.zeros(there.shape, dtype=np.int64) for name in INPUTS}
        arrays["input_ids"][:] = np.where(there, 2000 + np.arange(there.shape[1]), 0)
        arrays["attention_mask"][:] = there
        request = requests.pop()
        request.infer({one.any_name: arrays[one.any_name] for one in compiled.inputs})
        seconds: Counter[str] = Counter()
        for node in request.profiling_info:
            seconds[kind_of(node.node_type)] += node.real_time.total_seconds() / threads
        requests.append(request)
        return seconds

    batches = list(token_batches(counts, THREAD_BATCH_TOKENS))
    return with_outside(sum(each(compute, batches, threads), Counter()), wall)


def measure(task: Task) -> dict[str, Counter[str]]:
    """Each side's seconds by kind."""
    found = {}
    dtypes = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
    for side in (THEIRS, *(f"ours, torch, {dtype}" for dtype in dtypes)):
        score, one_query = theirs(task) if side == THEIRS else ours(task, side)
        one_query(task.queries[0], task.texts[0])
        found[side] = profiled(score, 1 if side == THEIRS else torch.get_num_threads())
    side = f"ours, openvino, {dtypes[-1]}"
    score, one_query = ours(task, side)
    one_query(task.queries[0], task.texts[0])
    return found | {side: openvino(dtypes[-1], tokens(task), score)}


def draw(name: str, found: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> None:
    """Draw a bar of seconds for each side, by kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(found))
    for place, kind in enumerate(kinds):
        widths = np.array([seconds[kind] for seconds in found.values()])
        axes.barh(list(found), widths, left=left, label=kind, color=f"C{place}")
        left += widths
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.legend(fontsize="small")
    save(figure, name)


def main() -> None:
    """Profile each side, one after another, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10, help="sample this many of the queries")
    given = parser.parse_args()
    collection, names, task = tasks(given.queries)
    found = measure(task)
    kinds = [kind for kind in (*KINDS, REST, OUTSIDE) if any(each[kind] for each in found.values())]
    name = "rerank-profile" if has_bfloat16() else "rerank-profile-avx2-only"
    draw(name, found, kinds)
    rows = [
        [kind, *(f"{each[kind]:.2f} ({each[kind] / each.total():.0%})" for each in found.values())]
        for kind in kinds
    ]
    rows.append(["all", *(f"{each.total():.2f}" for each in found.values())])
    sections = {
        "What is measured": (
            f"Seconds for {len(task.pairs):,} pairs of {collection.name} ({len(names)} queries), "
            f"scored by {MODEL}: {THEIRS}' `predict` with its defaults, and ours. In ours, GELU is "
            "part of the matrix products if it is not listed. Profilers take time themselves, so "
            "the sums are higher than those of `make bench-rerank`; the table shows the shares. "
            "Outside the model are tokenising, assembling batches, and Python."
        ),
        "Where the time goes": table(["", *found], rows) + f"\n\n![profile]({name}.svg)",
    }
    title = "Where the second stage's time goes"
    print(write(name, title, "make bench-rerank", sections, found))


if __name__ == "__main__":
    main()
