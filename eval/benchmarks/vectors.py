"""What smaller vectors cost in quality, and what they save.

Usage: python eval/benchmarks/vectors.py [--vectors N]

Writes eval/results/vectors.md and .json: nDCG@10 and recall of the dense and the hybrid stage with
vectors in float32, float16 and int8, and with the first half of each vector, on the documentation
of the standard library and, if it is beside the project, on SciFact. Encoding them takes some
minutes. Then memory and time of a search in N random vectors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from report import table, write

from rerank_search import Encoder, Index
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.prompts import Prompts
from rerank_search.models.registry import DEFAULT_ENCODER
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.dense import VectorIndex
from rerank_search.types import VectorDtype

HERE = Path(__file__).parent.parent
COLLECTIONS = {
    HERE / "collections/python-docs": "test",
    HERE.parent.parent / "shared/data/scifact": "train",
}
"""Each collection's split."""

STAGES, MEASURES = ("dense", "hybrid"), ("nDCG@10", "R@100")
DIMENSION, ROUNDS = 384, 20

Row = NDArray[np.float32]


class Remembering(Encoder):
    """The default encoder, which makes the vector of each text once for all indexes."""

    def __init__(self, whole: Encoder, known: dict[Any, Row], truncate_dim: int | None) -> None:
        super().__init__(DEFAULT_ENCODER, truncate_dim=truncate_dim)
        self._whole, self._known = whole, known

    def encode(self, texts: Sequence[str], **options: Any) -> NDArray[np.float32]:
        """Vectors of length 1, shape (n, d), float32."""
        key = tuple(sorted(options.items()))
        if new := [text for text in dict.fromkeys(texts) if (text, key) not in self._known]:
            made = self._whole.encode(new, **options)
            self._known |= {(text, key): row for text, row in zip(new, made, strict=True)}
        found = np.stack([self._known[text, key] for text in texts])[:, : self.truncate_dim]
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def quality(collection: JudgedCollection, settings: CollectionSettings) -> list[list[object]]:
    """A row for each kind of vectors: their size, and the measures of each stage."""
    known: dict[Any, Row] = {}
    whole = Encoder(DEFAULT_ENCODER)
    rows: list[list[object]] = []
    kinds = [*((dtype, None) for dtype in get_args(VectorDtype)), ("float32", DIMENSION // 2)]
    for dtype, truncate_dim in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            encoder = Remembering(whole, known, truncate_dim)
            with Index.create(path, encoder=encoder, vector_dtype=dtype) as index:
                index.add(collection.documents(), progress=progress)
            experiment = Experiment(
                collections=[settings.model_copy(update={"index": path})],
                first_stages=STAGES,
                candidates=[100],
                measures=MEASURES,
                cost_queries=0,
            )
            report = evaluate(experiment, Path(folder) / "report")
            found = {each.first_stage: each.protocols["first_stage"] for each in report.systems}
            size = sum(file.stat().st_size for file in path.glob("dense/vectors-*.npy"))
        kind = dtype if truncate_dim is None else f"{dtype}, {truncate_dim} numbers"
        measured = [float(found[stage][measure]) for stage in STAGES for measure in MEASURES]
        rows.append([collection.name, kind, size, *measured])
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def progress(_: int) -> None:
    """Show that documents are being encoded."""
    print(".", end="", file=sys.stderr, flush=True)


class Random:
    """Random vectors of length 1, one for each text."""

    name, prompts = "random", Prompts()

    def encode(self, texts: Sequence[str], **_: Any) -> NDArray[np.float32]:
        """Vectors by the number that each text is."""
        made = [np.random.default_rng(int(text)).standard_normal(DIMENSION) for text in texts]
        rows = np.stack(made).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cost(count: int) -> list[list[object]]:
    """A row for each type: bytes of a vector, and milliseconds of a search in ``count`` vectors."""
    encoder = Random()
    queries = encoder.encode([str(number) for number in range(ROUNDS)])
    rows: list[list[object]] = []
    for dtype in get_args(VectorDtype):
        with tempfile.TemporaryDirectory() as folder:
            index = VectorIndex(Path(folder), encoder, dtype=dtype, hnsw_above=count)
            index.update(1, (Passage(i, str(i + ROUNDS)) for i in range(count)), [])
            size = sum(file.stat().st_size for file in Path(folder).glob("vectors-*.npy"))
            index.search_vectors(queries[:1], 10)
            started = time.perf_counter()
            for query in queries:
                index.search_vectors(query[None], 10)
            spent = (time.perf_counter() - started) / ROUNDS * 1000
        rows.append([dtype, f"{size / count:.0f}", spent])
    return rows


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    count = parser.parse_args().vectors
    rows, missing = [], []
    for path, split in COLLECTIONS.items():
        if path.is_dir():
            settings = CollectionSettings(path=path, split=split)
            rows += quality(load_searched(settings), settings)
        else:
            missing.append(f"{path.name} is not beside the project, and was skipped.")
    report(rows, missing, cost(count), count)


def report(
    rows: list[list[object]], missing: list[str], costs: list[list[object]], count: int
) -> None:
    """Write the tables."""
    measured = [f"{stage} {measure}" for stage in STAGES for measure in MEASURES]
    shown = [
        [name, kind, f"{size:,}", *(f"{value:.4f}" for value in values)]
        for name, kind, size, *values in rows
    ]
    qualities = table(["collection", "vectors", "bytes", *measured], shown)
    write(
        "vectors",
        "Smaller vectors",
        "python eval/benchmarks/vectors.py",
        {
            "Quality": "\n\n".join([qualities, *missing]),
            f"A search in {count:,} vectors": table(
                ["vectors", "bytes of one", "ms of a search"], costs
            ),
        },
        {"quality": rows, "cost": costs},
    )


if __name__ == "__main__":
    main()
