"""Training throughput against a plain CrossEncoderTrainer, at the quality that each reaches.

Usage: python eval/benchmarks/training.py

Writes eval/results/training-throughput.md and .json. All sides train on the same pairs with the
same batch size, learning rate and epochs, one after the other in one process. The plain side is
what sentence-transformers' documentation shows, with its defaults for everything else. The same
recipe is ours with the embeddings trained and the dropout of the model, as there; ours by default
trains no embeddings and drops nothing. Needs the collections beside the project.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from report import table, write

from rerank_search import CrossEncoderReranker
from rerank_search.evaluation.classification import classification_values
from rerank_search.evaluation.formats.pairs import load_pairs
from rerank_search.evaluation.loading import by_hash
from rerank_search.settings import Settings
from rerank_search.training.base import base_directory
from rerank_search.training.data import rows
from rerank_search.training.trainer import Prepared, fit, prepare

RECIPE = Path(__file__).with_name("training.toml")
PRODUCTS = Path(__file__).parents[3] / "shared" / "data" / "product-pairs"
MEASURED_ON = 2_000
TARGET = 3.0

OURS = "ours, the same recipe"
DEFAULT = "ours by default"
PLAIN = "plain"
AS_PLAIN = {"train_embeddings": "true", "dropout": "0.1"}


def plain(prepared: Prepared) -> Callable[[], Path]:
    """sentence-transformers alone, with its defaults: the base is loaded, the rest to be run."""
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    recipe = prepared.recipe
    output = recipe.output.with_name("plain")
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


def ours(**changes: str) -> Callable[[], Path]:
    """Our side, with changes to the recipe; its base is loaded, and its data are read."""
    output = "../../runs/throughput/" + ("same" if changes else "default")
    prepared = prepare(RECIPE, overrides=changes | {"output": output})
    return lambda: fit(prepared)


def average_precision(directory: Path | str) -> float:
    """Of a model on pairs that neither side has seen."""
    held_back = load_pairs(PRODUCTS, "dev")
    places = by_hash(map(str, range(len(held_back.pairs))))[:MEASURED_ON]
    chosen = [int(place) for place in places]
    scores = CrossEncoderReranker(directory).score([held_back.pairs[i] for i in chosen])
    labels = [held_back.labels[i] for i in chosen]
    return classification_values(labels, scores.tolist())["average_precision"]


def timed(run: Callable[[], Path]) -> tuple[float, float]:
    """Seconds of the training, and what the model is worth."""
    started = time.perf_counter()
    directory = run()
    seconds = time.perf_counter() - started
    print(f"{directory.name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return seconds, average_precision(directory)


def main() -> None:
    """Measure, and write the report."""
    if not PRODUCTS.exists():
        sys.exit(f"skipped: {PRODUCTS} is not there")
    shutil.rmtree(RECIPE.parents[2] / "runs" / "throughput", ignore_errors=True)
    prepared = prepare(RECIPE)
    pairs = sum(len(group.documents) for each in prepared.sets for group in each.groups)
    passes = prepared.recipe.arguments["num_train_epochs"]
    before = average_precision(base_directory(prepared.recipe.base))
    results = {
        OURS: timed(ours(**AS_PLAIN)),
        DEFAULT: timed(ours()),
        PLAIN: timed(plain(prepared)),
    }
    ratios = {name: results[PLAIN][0] / results[name][0] for name in (OURS, DEFAULT)}
    ratio = ratios[OURS]
    verdict = "met" if ratio >= TARGET else "**missed**"
    sections = {
        "What is measured": (
            f"{pairs:,} pairs of product titles, {passes} epoch, batches of "
            f"{prepared.recipe.arguments['per_device_train_batch_size']}, from "
            f"{prepared.recipe.base}. Seconds from the first step to the written model. The same "
            "recipe trains the embeddings and has the dropout of the plain side; ours by default "
            "does neither, and computes in bfloat16 where the processor can, as the first does. "
            f"Average precision on {MEASURED_ON:,} pairs of another split, in float32; that of the "
            f"base is {before:.4f}."
        ),
        "Throughput": table(
            ["side", "seconds", "pairs per second", "times the plain", "average precision"],
            [
                [
                    name,
                    f"{seconds:.0f}",
                    f"{pairs * passes / seconds:.1f}",
                    f"{results[PLAIN][0] / seconds:.2f}",
                    f"{quality:.4f}",
                ]
                for name, (seconds, quality) in results.items()
            ],
        ),
        "Target": f"{ratio:.2f} times the plain trainer's throughput with the same recipe, of at "
        f"least {TARGET:g}: {verdict}",
    }
    data = {"pairs": pairs, "results": results, "ratios": ratios, "base": before}
    title = "Training throughput"
    print(write("training-throughput", title, "make bench-training", sections, data))


if __name__ == "__main__":
    main()
