"""A trial: can the first layers of the reranker choose the pairs that all layers read?

Usage: python eval/benchmarks/early_exit.py

Writes eval/results/early-exit.md and .json. For each layer a ridge regression learns the model's
own logit from the states of that layer, on questions of squad-sentences; the best 30 candidates by
it then get the logit, on msmarco-dl19. Both collections have to be beside the project.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from report import table, write
from rerank import CANDIDATES, MODEL, Task, per_query, quality, tasks, with_candidates
from sentence_transformers import CrossEncoder

from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.registry import resolve_reranker

TRAINING = Path(__file__).parents[3] / "shared" / "data" / "squad-sentences"
QUESTIONS, NEGATIVES = 400, 20
KEEP = 30
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Penalties of the regression; the best one on a fifth of the questions is used."""


@dataclass(frozen=True, slots=True)
class Known:
    """Features of the pairs in each layer, of shape (layers, pairs, features), and their logits."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]


def known(model: CrossEncoder, pairs: Sequence[tuple[str, str]], size: int = 32) -> Known:
    """The states of the pairs after each layer but the last, and their logits.

    Features are the first token, the means of query and text, and the product of the means, which
    compares the two for layers that have not done so yet.
    """
    network: Any = model.transformers_model
    tokenizer = model.tokenizer
    order = np.argsort([len(text) for _, text in pairs])
    found: list[NDArray[np.float32]] = []
    logits = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(order), size):
        chosen = [pairs[i] for i in order[start : start + size]]
        inputs = tokenizer(
            *map(list, zip(*chosen, strict=True)),
            truncation="only_second",
            max_length=512,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            output = network(**inputs, output_hidden_states=True)
        logits[order[start : start + size]] = output.logits[:, 0].numpy()
        text = inputs["token_type_ids"].bool()
        query = inputs["attention_mask"].bool() & ~text
        found.append(
            np.stack([features(hidden, query, text) for hidden in output.hidden_states[1:-1]])
        )
    in_order = np.concatenate(found, axis=1)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return Known(in_order[:, back], logits)


def features(hidden: torch.Tensor, query: torch.Tensor, text: torch.Tensor) -> NDArray[np.float32]:
    """The features of pairs, of shape (pairs, 4 * width)."""
    means = [
        (hidden * part[..., None]).sum(1) / part.sum(1, keepdim=True) for part in (query, text)
    ]
    units = [torch.nn.functional.normalize(mean, dim=1) for mean in means]
    product = (units[0] * units[1]) * hidden.shape[-1] ** 0.5
    gathered: NDArray[np.float32] = torch.cat([hidden[:, 0], *means, product], dim=1).numpy()
    return gathered


def centred(values: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values minus each query's mean: only the order of its own candidates counts."""
    sums = np.zeros((groups.max() + 1, *values.shape[1:]))
    np.add.at(sums, groups, values)
    counts = np.bincount(groups).reshape(-1, *[1] * (values.ndim - 1))
    centred_values: NDArray[np.float64] = values - (sums / counts)[groups]
    return centred_values


def fitted(
    inputs: NDArray[np.float32], logits: NDArray[np.float32], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The weights of the features, by ridge regression."""
    x, y = centred(inputs, groups), centred(logits, groups)
    held = groups % 5 == 0
    errors = {}
    for penalty in PENALTIES:
        weights = ridge(x[~held], y[~held], penalty)
        errors[penalty] = float(np.square(x[held] @ weights - y[held]).mean())
    return ridge(x, y, min(errors, key=lambda each: errors[each]))


def ridge(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    weights: NDArray[Any] = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return weights


def kept(
    task: Task, early: Sequence[float], logits: Sequence[float], keep: int
) -> Iterator[tuple[list[float], float]]:
    """Each query's scores, in which the ``keep`` best by ``early`` are above the rest.

    Each comes with the share of the ten best by ``logits`` that are among them.
    """
    both = zip(per_query(task, early), per_query(task, logits), strict=True)
    for first, last in both:
        order, best = np.argsort(-np.array(first)), np.argsort(-np.array(last))
        scores = np.array(first) - max(first) + min(last) - 1
        scores[order[:keep]] = np.array(last)[order[:keep]]
        yield scores.tolist(), float(np.isin(best[:10], order[:keep]).mean())


def main() -> None:
    """Fit, measure, and write the report."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not TRAINING.exists():
        sys.exit(f"this trial learns from {TRAINING}, which is not there")
    model = CrossEncoder(resolve_reranker(MODEL), device="cpu").float()
    _, _, lessons = with_candidates(
        CollectionSettings(path=TRAINING, split="train", queries=QUESTIONS), NEGATIVES
    )
    groups = np.repeat(np.arange(len(lessons.ids)), [len(ids) for ids in lessons.ids])
    learned = known(model, lessons.pairs)
    collection, names, task = tasks(None)
    asked = known(model, task.pairs)
    layers = len(asked.features) + 1
    logits = asked.logits.tolist()
    rows = [[f"all {layers}", "1.00", f"{quality(collection, names, task, logits):.4f}", ""]]
    for layer, (lesson, features) in enumerate(
        zip(learned.features, asked.features, strict=True), start=1
    ):
        early = features @ fitted(lesson, learned.logits, groups)
        found = list(kept(task, early.tolist(), logits, KEEP))
        scores = [score for own, _ in found for score in own]
        # The pairs that are kept continue from the layer where they stopped.
        work = layer / layers + KEEP / CANDIDATES * (1 - layer / layers)
        rows.append(
            [
                str(layer),
                f"{1 / work:.2f}",
                f"{quality(collection, names, task, scores):.4f}",
                f"{np.mean([share for _, share in found]):.3f}",
            ]
        )
    sections = {
        "What is measured": (
            f"{len(task.pairs):,} pairs of {collection.name} ({len(names)} queries, BM25's best "
            f"{CANDIDATES}), scored by {MODEL}. A ridge regression gives the score after a layer, "
            "from its first token, the means of the query's and of the text's tokens, and their "
            f"product; it has learned the model's logits on {len(lessons.pairs):,} pairs of "
            f"{TRAINING.name}. The best {KEEP} by that score go through the other layers. Times: "
            "all layers for all pairs, divided by the layers computed now; other costs are not "
            "counted."
        ),
        "Results": table(["layer", "times", "nDCG@10", f"ten best among the {KEEP}"], rows),
    }
    headers = ("layer", "times", "ndcg", "kept")
    data = [dict(zip(headers, row, strict=True)) for row in rows]
    command = "python eval/benchmarks/early_exit.py"
    print(write("early-exit", "Early exit: a trial", command, sections, data))


if __name__ == "__main__":
    main()
