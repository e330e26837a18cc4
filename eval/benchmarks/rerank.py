"""The second stage alone: sentence-transformers, FlashRank's method, and all our backends.

Usage: python eval/benchmarks/rerank.py [--queries N] [--avx2 | --gpu]

Writes eval/results/rerank.md, .json and .svg. The same model scores the same pairs: 100 candidates
of BM25 for each query of msmarco-dl19 if it is beside the project, else of the judged questions on
the documentation of the standard library. Each side runs in a process of its own, which has its
own peak memory: one after another with half of the queries, and in reverse order with the other
half, so a machine that gets slower favours none.

With --avx2 it measures the sides that torch computes, limited to AVX2 by the variables
ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA, and writes rerank-avx2. On a CPU with AVX2 alone it
measures all sides, and writes rerank-avx2-only. With --gpu torch computes on a CUDA GPU, and it
writes rerank-gpu.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import save, table, write

from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.cost import peak_memory
from rerank_search.evaluation.measures import Scorer
from rerank_search.judged.candidates import CandidateSource
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.loading import load_collection
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.backends import imports
from rerank_search.models.backends.options import has_bfloat16
from rerank_search.models.registry import resolve_reranker
from rerank_search.reranking.hit_text import passage
from rerank_search.settings import Settings

MODEL = "rerank-search-base"
CANDIDATES = 100
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
TIMED = 10
"""Number of queries of each half that are timed one by one."""

SHARED = Path(__file__).parents[3] / "shared" / "data" / "msmarco-dl19"
OWN = Path(__file__).parents[1] / "collections" / "python-docs"

THEIRS = "sentence-transformers"
FLASHRANK = "FlashRank's way"
OURS = {
    f"ours, {backend}, {dtype}": {"backend": backend, "dtype": dtype}
    for backend, dtype in (
        ("torch", "float32"),
        ("onnx", "float32"),
        ("openvino", "float32"),
        ("torch", "bfloat16"),
        ("openvino", "bfloat16"),
        ("openvino", "int8"),
    )
}

TINY, KEPT = "rerank-search-tiny", 30
CASCADE = f"{TINY}, then the best {KEPT} by it"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run: the sides on a device, and the targets.

    ``small`` is the side that computes the small model and the cascade. ``times`` and ``latency``
    are relative to sentence-transformers, ``loss`` of nDCG@10 is absolute.
    """

    name: str
    title: str
    device: str
    sides: Sequence[str]
    small: str
    times: float
    loss: float
    latency: float
    cascade: float


PLAIN = Kind(
    "rerank", "The second stage alone", "cpu", [THEIRS, FLASHRANK, *OURS],
    small="ours, openvino, bfloat16", times=5, loss=0.002, latency=0.25, cascade=10,
)  # fmt: skip
IN_AVX2 = Kind(
    "rerank-avx2-only", "The second stage alone, on a CPU with AVX2", "cpu",
    [THEIRS, FLASHRANK, *(side for side in OURS if "bfloat16" not in side)],
    small="ours, openvino, float32", times=2, loss=0.005, latency=1, cascade=2,
)  # fmt: skip
HELD = Kind(
    "rerank-avx2", "The second stage alone, held to AVX2", "cpu", [THEIRS, "ours, torch, float32"],
    small="ours, torch, float32", times=2, loss=0.005, latency=1, cascade=2,
)  # fmt: skip
ON_GPU = Kind(
    "rerank-gpu", "The second stage alone, on a GPU", "cuda",
    [THEIRS, "ours, torch, float32", "ours, torch, bfloat16"],
    small="ours, torch, bfloat16", times=2.5, loss=0.002, latency=1, cascade=2.5,
)  # fmt: skip

Score = Callable[[str, Sequence[str]], NDArray[np.float32]]
"""A function that scores texts for a query."""


@dataclass(frozen=True, slots=True)
class Task:
    """Queries with their candidates' ids and texts."""

    queries: list[str]
    ids: list[list[str]]
    texts: list[list[str]]

    def half(self, which: int) -> Task:
        """The first or the second half of the queries, 0 or 1."""
        middle = len(self.queries) // 2
        part = slice(middle) if which == 0 else slice(middle, None)
        return Task(self.queries[part], self.ids[part], self.texts[part])

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [
            (query, text)
            for query, texts in zip(self.queries, self.texts, strict=True)
            for text in texts
        ]


def tasks(count: int | None) -> tuple[JudgedCollection, list[str], Task]:
    """The collection, the ids of its queries, and the task to score."""
    path = SHARED if SHARED.exists() else OWN
    return with_candidates(CollectionSettings(path=path, queries=count), CANDIDATES)


def with_candidates(
    settings: CollectionSettings, count: int
) -> tuple[JudgedCollection, list[str], Task]:
    """A collection, its queries' ids, and the queries with BM25's best ``count`` documents."""
    collection = load_collection(settings)
    assert isinstance(collection, JudgedCollection)
    assert collection.documents is not None
    index, _ = open_corpus_index(
        collection.name,
        collection.documents,
        IndexSettings(encoder=False),
        Settings().cache / "indexes",
    )
    with index:
        source = CandidateSource(collection, index, "bm25", count, reranked=True, with_scores=False)
        found = [each for each in source.candidates(list(collection.qrels)) if each.retrieved]
    return (
        collection,
        [each.query for each in found],
        Task(
            [collection.queries[each.query] for each in found],
            [[hit.id for hit in each.retrieved] for each in found],
            [[passage(hit) for hit in each.retrieved] for each in found],
        ),
    )


def theirs(task: Task, device: str = "cpu") -> tuple[Callable[[], NDArray[np.float32]], Score]:
    """CrossEncoder.predict over all pairs, and CrossEncoder.rank of a query, with defaults."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(resolve_reranker(MODEL), device=device)
    pairs, plain = task.pairs, torch.nn.Identity()

    def rank(query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([each["score"] for each in model.rank(query, list(texts))])

    return lambda: np.asarray(model.predict(pairs, activation_fn=plain)), rank


def flashrank(task: Task, _device: str) -> tuple[Callable[[], NDArray[np.float32]], Score]:
    """FlashRank's method: ONNX Runtime, with one padded batch for a query's candidates."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    directory = resolve_reranker(MODEL)
    network = AutoModelForSequenceClassification.from_pretrained(directory).float().eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        example = torch.arange(14).view(2, 7) + 5
        torch.onnx.export(
            network,
            (example, torch.ones_like(example), torch.zeros_like(example)),
            path,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in names},
            opset_version=17,
            dynamo=False,
        )
        session = imports.onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(Path(directory) / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding()

    def score(query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = tokenizer.encode_batch([(query, text) for text in texts])
        columns = ([e.ids for e in encoded], [e.attention_mask for e in encoded])
        arrays = [*columns, [e.type_ids for e in encoded]]
        inputs = {name: np.array(a, dtype=np.int64) for name, a in zip(names, arrays, strict=True)}
        logits: NDArray[np.float32] = session.run(None, inputs)[0][:, 0]
        return logits

    return lambda: np.concatenate(
        [score(query, texts) for query, texts in zip(task.queries, task.texts, strict=True)]
    ), score


def ours(
    task: Task, side: str, kind: Kind = PLAIN
) -> tuple[Callable[[], NDArray[np.float32]], Score]:
    from rerank_search import Cascade, CrossEncoderReranker

    def load(model: str, options: dict[str, str]) -> CrossEncoderReranker:
        return CrossEncoderReranker(model, device=kind.device, **options)

    if side in OURS:
        reranker = load(MODEL, OURS[side])
    else:
        options = OURS[kind.small]
        reranker = load(TINY, options)
        if side == CASCADE:
            reranker = Cascade([reranker, load(MODEL, options)], keep=[KEPT])
    pairs = task.pairs
    return lambda: reranker.score(pairs), lambda query, texts: reranker.score(
        [(query, text) for text in texts]
    )


def measure(side: str, kind: Kind, task: Task, others: Task, output: Path) -> None:
    """Run one side: some of ``others`` query by query, then all of ``task``, with one model.

    Ours remembers the tokens of texts: those of the few texts that both halves have.
    """
    make = {THEIRS: theirs, FLASHRANK: flashrank}.get(side)
    before = memory_peak(kind)
    all_pairs, one_query = make(task, kind.device) if make else ours(task, side, kind)
    milliseconds = []
    for query, texts in list(zip(others.queries, others.texts, strict=True))[: TIMED + 1]:
        started = time.perf_counter()
        one_query(query, texts)
        milliseconds.append((time.perf_counter() - started) * 1000)
    all_pairs_started = time.perf_counter()
    scores = all_pairs()
    seconds = time.perf_counter() - all_pairs_started
    facts = {
        "seconds": seconds,
        "milliseconds": milliseconds[1:],  # the first one is a warm-up
        "peak_mib": memory_peak(kind) / 2**20,
        "peak_before_mib": before / 2**20,
        "scores": scores.tolist(),
    }
    output.write_text(json.dumps(facts), encoding="utf-8")


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of both halves, joined into those of one run."""
    milliseconds = [each for part in parts for each in part["milliseconds"]]
    return {
        "seconds": sum(part["seconds"] for part in parts),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
        "timed": len(milliseconds),
        "peak_mib": max(part["peak_mib"] for part in parts),
        "peak_before_mib": max(part["peak_before_mib"] for part in parts),
        "scores": [each for part in parts for each in part["scores"]],
    }


def memory_peak(kind: Kind) -> int:
    """Peak memory in bytes: of the process, or of its tensors on the GPU."""
    import torch

    return torch.cuda.max_memory_allocated() if kind is ON_GPU else peak_memory() or 0


def matmul_peak(dtype: str, device: str) -> float:
    """FLOP per second of a linear layer, the best of a few runs.

    On a CPU it has the model's shape, and weights in torch's layout or in that of oneDNN's kernels.
    A GPU reaches its peak only with larger layers.
    """
    import torch
    from torch.nn.functional import linear

    rows, width, outputs = (2048, 384, 1536) if device == "cpu" else (8192, 8192, 8192)
    options = {"dtype": getattr(torch, dtype), "device": device}
    inputs, weight = torch.randn(rows, width, **options), torch.randn(outputs, width, **options)
    products = [lambda: linear(inputs, weight)]
    if device == "cpu" and (dtype == "float32" or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        products.append(
            lambda: torch.ops.mkldnn._linear_pointwise(inputs, packed, None, "none", [], "")
        )
    seconds = []
    with torch.inference_mode():
        for product in products * 60:
            started = time.perf_counter()
            product()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    return 2 * rows * width * outputs / min(seconds)


def tokens(task: Task) -> list[int]:
    """Number of tokens of each pair, special ones included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(resolve_reranker(MODEL)) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    return [len(each) for each in tokenizer.encode_batch(task.pairs)]


def flop(lengths: Sequence[int]) -> tuple[float, float]:
    """FLOP of the model's products: of all of them, and of those that the scores need.

    sentence-transformers computes all of them; in the last layer only the first token's output is
    needed.
    """
    config = json.loads((Path(resolve_reranker(MODEL)) / "config.json").read_text())
    width, layers, heads = (
        config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    linear = 2 * (4 * width**2 + 2 * width * config["intermediate_size"])
    counts = np.array(lengths, dtype=np.float64)
    layer = float((linear * counts + 4 * counts**2 * width).sum())
    last = float((linear + 4 * heads * counts * width).sum())
    return layers * layer, (layers - 1) * layer + last


def per_query(task: Task, scores: Sequence[float]) -> Iterator[Sequence[float]]:
    left = iter(scores)
    return ([next(left) for _ in ids] for ids in task.ids)


def quality(collection: JudgedCollection, names: Sequence[str], task: Task, scores: Any) -> float:
    """Mean nDCG@10 over the queries."""
    rankings = {
        name: [ids[i] for i in np.argsort(-np.array(own), kind="stable")]
        for name, ids, own in zip(names, task.ids, per_query(task, scores), strict=True)
    }
    judged = {name: collection.qrels[name] for name in names}
    found = Scorer(judged, ["nDCG@10"], relevant_from=collection.relevant_from).score(rankings)
    return sum(each["nDCG@10"] for each in found.values()) / len(found)


def tau(task: Task, scores: Any, reference: Any) -> float:
    """The mean over the queries of Kendall's rank correlation with the reference."""
    from scipy.stats import kendalltau

    both = zip(per_query(task, scores), per_query(task, reference), strict=True)
    return float(np.mean([kendalltau(a, b).statistic for a, b in both]))


def has_avx512() -> bool:
    """Whether this CPU has more than AVX2."""
    import torch

    return bool(torch.cpu.get_capabilities().get("avx512_f"))


def main() -> None:
    """Measure each side in processes of its own, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, help="sample this many of the queries")
    parser.add_argument("--avx2", action="store_true", help="what needs no more than AVX2")
    parser.add_argument("--gpu", action="store_true", help="torch alone, on a CUDA GPU")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--half", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    kind = ON_GPU if given.gpu else PLAIN
    if given.avx2:
        kind = HELD if has_avx512() else IN_AVX2
    elif kind is PLAIN and not has_bfloat16():
        print("This CPU has no units for bfloat16: measuring as with --avx2.", file=sys.stderr)
        return
    collection, names, task = tasks(given.queries)
    if given.side:
        measure(given.side, kind, task.half(given.half), task.half(1 - given.half), given.output)
        return
    if kind is HELD and any(os.environ.get(name) != value for name, value in AVX2.items()):
        wanted = " ".join(f"{name}={value}" for name, value in AVX2.items())
        sys.exit(f"set {wanted}: libraries read it when they are loaded")
    if len(names) < 4:
        sys.exit("measure four queries or more: each half needs one to warm up and one to time")
    sides = [*kind.sides, TINY, CASCADE]
    parts: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "facts.json"
        for half, order in enumerate((sides, sides[::-1])):
            own = ["--half", str(half), "--output", str(output)]
            for side in order:
                subprocess.run([sys.executable, *sys.argv, "--side", side, *own], check=True)
                parts[side].append(json.loads(output.read_text(encoding="utf-8")))
                print(f"{side}: {parts[side][half]['seconds']:.1f} s", file=sys.stderr, flush=True)
    results = {side: joined(halves) for side, halves in parts.items()}
    report(kind, collection, names, task, results)


def report(
    kind: Kind,
    collection: JudgedCollection,
    names: Sequence[str],
    task: Task,
    results: dict[str, dict[str, Any]],
) -> None:
    """Write the table, a plot, and the targets."""
    lengths = tokens(task)
    pairs, (work, needed) = len(lengths), flop(lengths)
    peaks = {dtype: matmul_peak(dtype, kind.device) for dtype in ("float32", "bfloat16")}
    reference = results[THEIRS]["scores"]
    data: dict[str, Any] = {"pairs": pairs, "tokens": sum(lengths), "matmul_flops": peaks}
    rows = []
    for side, facts in results.items():
        peak = peaks["bfloat16" if side.endswith("bfloat16") else "float32"]
        facts |= {
            "pairs_per_second": pairs / facts["seconds"],
            "times": results[THEIRS]["seconds"] / facts["seconds"],
            "latency_ratio": facts["p50_ms"] / results[THEIRS]["p50_ms"],
            "ndcg": quality(collection, names, task, facts["scores"]),
            "tau": tau(task, facts["scores"], reference),
            "difference": float(np.abs(np.subtract(facts["scores"], reference)).max()),
            "tokens_per_second": sum(lengths) / facts["seconds"],
        }
        if side not in (TINY, CASCADE):
            facts["share_of_peak"] = work / facts["seconds"] / peak
        rows.append(
            [
                side,
                f"{facts['pairs_per_second']:.0f}",
                f"{facts['times']:.2f}",
                f"{facts['p50_ms']:.0f}",
                f"{facts['p95_ms']:.0f}",
                f"{facts['latency_ratio']:.2f}",
                f"{facts['peak_mib']:.0f}",
                f"{facts['ndcg']:.4f}",
                f"{facts['tau']:.4f}",
                f"{facts['difference']:.3f}",
                f"{facts['tokens_per_second']:,.0f}",
                f"{facts['share_of_peak']:.0%}" if "share_of_peak" in facts else "",
            ]
        )
    limits = {
        dtype: results[THEIRS]["seconds"] * peak / needed
        for dtype, peak in peaks.items()
        if any(side.endswith(dtype) for side in kind.sides)
    }
    for facts in results.values():
        del facts["scores"]
    data["limits"] = limits
    data["sides"] = results
    headers = ["side", "pairs/s", "times", "p50 ms", "p95 ms", "of p50", "peak MiB", "nDCG@10"]
    headers += ["tau", "largest difference", "tokens/s", "of the peak"]
    sections = {
        "What is measured": (
            f"{pairs:,} pairs of {collection.name} ({len(names)} queries, BM25's best "
            f"{CANDIDATES}), {np.mean(lengths):.0f} tokens a pair, scored by {MODEL}. Times, "
            f"ratios and differences are relative to {THEIRS}' `CrossEncoder` with its defaults: "
            f"`predict` for all pairs, `rank` for a query of {CANDIDATES} candidates (p50, p95 of "
            f"{results[THEIRS]['timed']} queries). Peak memory is {of_memory(kind)}. tau is "
            "Kendall's, the mean over the queries. The peak is that of a linear layer "
            f"{'of 8,192 numbers' if kind is ON_GPU else 'of the model'} in the same precision "
            "(one product, the best of a few runs, after all sides): "
            f"{peaks['float32'] / 1e9:.0f} GFLOP/s in float32, {peaks['bfloat16'] / 1e9:.0f} in "
            "bfloat16. The share counts the products of the whole model, computed or left out. At "
            "this peak, the products that scores need would alone allow "
            f"{of_limits(limits)}. "
            f"The last two sides have another model: {TINY}, and a cascade of it and {MODEL}, "
            f"which scores the best {KEPT} of each query ({kind.small.removeprefix('ours, ')})."
            f"{of_holding() if kind is HELD else ''}"
        ),
        "Results": table(headers, rows) + f"\n\n![pairs per second]({kind.name}.svg)",
        "Targets": "\n".join([*targets(results, kind), *of_the_small(results, kind)]),
    }
    draw({side: facts["pairs_per_second"] for side, facts in results.items()}, kind.name)
    command = "make bench-gpu" if kind is ON_GPU else "make bench-rerank"
    print(write(kind.name, kind.title, command, sections, data))


def of_memory(kind: Kind) -> str:
    if kind is ON_GPU:
        return "that of tensors on the GPU"
    return "that of the process, with loading and the data"


def of_limits(limits: Mapping[str, float]) -> str:
    return " and ".join(f"{times:.2f} times in {dtype}" for dtype, times in limits.items())


def of_holding() -> str:
    limited = f" Limited by {' and '.join(AVX2)}"
    return f"{limited}; MKL, which computes {THEIRS}' products, ignores both."


def draw(speeds: dict[str, float], name: str) -> None:
    """Draw a bar of pairs per second for each side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 0.35 * len(speeds)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(speeds), list(speeds.values()))
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("pairs per second")
    save(figure, name)


def targets(results: dict[str, dict[str, Any]], kind: Kind) -> Iterator[str]:
    """The targets for the best side that "auto" may choose, and whether they were met."""
    allowed = [side for side in results if side in OURS and not side.endswith("int8")]
    best = max(allowed, key=lambda side: results[side]["times"])
    facts, theirs = results[best], results[THEIRS]
    lost = abs(facts["ndcg"] - theirs["ndcg"])
    for text, met in (
        (f"{facts['times']:.2f} times the pairs per second, of at least {kind.times:g}",
         facts["times"] >= kind.times),
        (f"nDCG@10 differs by {lost:.4f}, of at most {kind.loss:g}", lost <= kind.loss),
        (f"p50 is {facts['latency_ratio']:.2f} of `rank`'s, of at most {kind.latency:g}",
         facts["latency_ratio"] <= kind.latency),
        (f"peak memory is {facts['peak_mib'] / theirs['peak_mib']:.2f} of theirs, of at most 1",
         facts["peak_mib"] <= theirs["peak_mib"]),
    ):  # fmt: skip
        yield f"- {best}: {text}: {'met' if met else '**missed**'}"


def of_the_small(results: dict[str, dict[str, Any]], kind: Kind) -> Iterator[str]:
    """The targets for the small model and for the cascade, and whether they were met."""
    theirs, tiny, cascade = (results[side] for side in (THEIRS, TINY, CASCADE))
    same = results[kind.small]
    ratio = tiny["pairs_per_second"] / same["pairs_per_second"]
    lost = theirs["ndcg"] - cascade["ndcg"]
    for side, text, met in (
        (TINY, f"{ratio:.2f} times {MODEL} in the same precision, of at least 4", ratio >= 4),
        (CASCADE,
         f"{cascade['times']:.2f} times the pairs per second, of at least {kind.cascade:g}",
         cascade["times"] >= kind.cascade),
        (CASCADE, f"nDCG@10 is {-lost:+.4f}, of no less than -0.005", lost <= 0.005),
    ):  # fmt: skip
        yield f"- {side}: {text}: {'met' if met else '**missed**'}"


if __name__ == "__main__":
    main()
