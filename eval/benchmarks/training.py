"""Training throughput and quality, compared with a plain CrossEncoderTrainer.

Usage: python eval/benchmarks/training.py

Writes eval/results/training-throughput.md and .json. All sides train on the same pairs with the
same batch size, learning rate and epochs, one after another, each in a process of its own. The
plain side follows sentence-transformers' documentation, with defaults for everything else. "The
same recipe" is ours with trained embeddings, as on the plain side; ours by default trains none.
There is no dropout, as in the base's configuration. Needs the collections beside the project.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import table, write

from rerank_search import CrossEncoderReranker
from rerank_search.evaluation.classification import classification_values
from rerank_search.judged.formats.pairs import load_pairs
from rerank_search.judged.loading import by_hash
from rerank_search.settings import Settings
from rerank_search.training.data.rows import rows
from rerank_search.training.model.base import base_directory
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.run.memory import keep_freed_memory
from rerank_search.training.run.prepare import Prepared, prepare
from rerank_search.training.train import fit

RECIPE = Path(__file__).with_name("training.toml")
RUNS = Path(__file__).parents[2] / "runs" / "throughput"
PRODUCTS = Path(__file__).parents[3] / "shared" / "data" / "product-pairs"
MEASURED_ON = 2_000
RESAMPLES = 1_000
TARGET = 3.0

PLAIN = "plain"
SAME = "ours, the same recipe"
OVERRIDES = {
    SAME: {"output": str(RUNS / "same"), "train_embeddings": "true"},
    "ours by default": {"output": str(RUNS / "default")},
    PLAIN: {"output": str(RUNS / "plain")},
}


def plain(prepared: Prepared) -> Callable[[], Path]:
    """The plain side: sentence-transformers with its defaults. The base is already loaded."""
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    recipe = prepared.recipe
    output = recipe.output
    model = CrossEncoder(
        base_directory(recipe.base),
        num_labels=1,
        max_length=recipe.max_length,
        device=Settings().device,
    )

    def run() -> Path:
        trainer = CrossEncoderTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                f"{output}-checkpoints",
                seed=recipe.seed,
                report_to="none",
                disable_tqdm=True,
                **recipe.arguments,
            ),
            train_dataset=Dataset.from_dict(rows(prepared.sets[0], "bce")),
            loss=BinaryCrossEntropyLoss(model),
        )
        trainer.train()
        model.save_pretrained(str(output), create_model_card=False)
        return output

    return run


def ours(prepared: Prepared) -> Callable[[], Path]:
    """Our side, as on the command line."""
    keep_freed_memory()
    return lambda: fit(prepared)


def scored(directory: Path | str) -> tuple[list[int], list[float]]:
    """Labels, and a model's scores, of pairs that no side has seen."""
    held_back = load_pairs(PRODUCTS, "dev")
    places = by_hash(map(str, range(len(held_back.pairs))))[:MEASURED_ON]
    chosen = [int(place) for place in places]
    reranker = CrossEncoderReranker(directory, backend="torch", dtype="float32")
    scores = reranker.score([held_back.pairs[i] for i in chosen])
    return [held_back.labels[i] for i in chosen], scores.tolist()


def average_precision(labels: Sequence[int], scores: Sequence[float]) -> float:
    """The average precision over all pairs."""
    return classification_values(labels, scores)["average_precision"]


def difference(
    labels: Sequence[int], ours: Sequence[float], theirs: Sequence[float]
) -> tuple[float, float]:
    """The 95% interval of the difference in average precision, bootstrapped over the pairs."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(labels), size=len(labels)).tolist()
        kept = [labels[i] for i in drawn]
        values = [average_precision(kept, [side[i] for i in drawn]) for side in (ours, theirs)]
        found.append(values[0] - values[1])
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def measure(side: str, output: Path) -> None:
    """Train one side, and write its results."""
    prepared = prepare(RECIPE, overrides=OVERRIDES[side])
    run = (plain if side == PLAIN else ours)(prepared)
    started = time.perf_counter()
    directory = run()
    seconds = time.perf_counter() - started
    labels, scores = scored(directory)
    facts = {
        "pairs": sum(len(group.documents) for each in prepared.sets for group in each.groups),
        "seconds": seconds,
        "average_precision": average_precision(labels, scores),
        "scores": scores,
    }
    output.write_text(json.dumps(facts), encoding="utf-8")


def main() -> None:
    """Measure each side in a process of its own, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not PRODUCTS.exists():
        sys.exit(f"skipped: {PRODUCTS} is not there")
    if given.side:
        measure(given.side, given.output)
        return
    shutil.rmtree(RUNS, ignore_errors=True)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "facts.json"
        for side in OVERRIDES:
            command = [sys.executable, __file__, "--side", side, "--output", str(output)]
            subprocess.run(command, check=True)
            results[side] = json.loads(output.read_text(encoding="utf-8"))
            print(f"{side}: {results[side]['seconds']:.0f} s", file=sys.stderr, flush=True)
    report(results)


def report(results: dict[str, dict[str, Any]]) -> None:
    """Write the table, and whether the target was met."""
    recipe = load_recipe(RECIPE)
    labels, of_base = scored(base_directory(recipe.base))
    before = average_precision(labels, of_base)
    plain_scores = results[PLAIN].pop("scores")
    pairs = results[PLAIN]["pairs"]
    for side, facts in results.items():
        facts["pairs_per_second"] = pairs / facts["seconds"]
        facts["times"] = results[PLAIN]["seconds"] / facts["seconds"]
        if side != PLAIN:
            facts["difference"] = difference(labels, facts.pop("scores"), plain_scores)
    verdicts = [f"{side}: {verdict(facts)}" for side, facts in results.items() if side != PLAIN]
    sections = {
        "What is measured": (
            f"{pairs:,.0f} pairs of product titles, once, in batches of "
            f"{recipe.arguments['per_device_train_batch_size']}, from {recipe.base}. Seconds from "
            "the first step to the written model. The same recipe trains the embeddings, as the "
            "plain side does; ours by default does not. Both of ours compute in "
            "bfloat16 if the processor has units for it, in batches of pairs of similar length; "
            "the plain side, by its defaults, does neither. "
            f"Average precision on {MEASURED_ON:,} pairs of another split, in float32; that of the "
            f"base is {before:.4f}. The difference to the plain side is a 95% interval, "
            f"bootstrapped over these pairs {RESAMPLES:,} times; all sides have the same seed."
        ),
        "Throughput": table(
            [
                "side",
                "seconds",
                "pairs per second",
                "times the plain",
                "average precision",
                "difference",
            ],
            [
                [
                    side,
                    f"{facts['seconds']:.0f}",
                    f"{facts['pairs_per_second']:.1f}",
                    f"{facts['times']:.2f}",
                    f"{facts['average_precision']:.4f}",
                    "" if side == PLAIN else "{:+.3f} to {:+.3f}".format(*facts["difference"]),
                ]
                for side, facts in results.items()
            ],
        ),
        "Target": f"At least {TARGET:g} times the plain trainer's throughput, without a "
        "difference in average precision: " + "; ".join(verdicts) + ".",
    }
    data = {"sides": results, "base": before}
    print(
        write("training-throughput", "Training throughput", "make bench-training", sections, data)
    )


def verdict(facts: dict[str, Any]) -> str:
    """Whether a side met the target, in throughput and in quality."""
    low, high = facts["difference"]
    fast = facts["times"] >= TARGET
    return f"{'met' if fast and high >= 0 else '**missed**'} ({facts['times']:.2f}" + (
        ")" if high >= 0 else f", and worse by {-high:.3f} to {-low:.3f})"
    )


if __name__ == "__main__":
    main()
