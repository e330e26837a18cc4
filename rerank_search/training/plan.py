"""What a run would be: the resolved recipe, the data in figures, and about how long it takes."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from rerank_search.evaluation.collection import Finding
from rerank_search.training.data import rows
from rerank_search.training.description import Estimate, SetDescription, describe, estimate
from rerank_search.training.model import Precision, best_precision
from rerank_search.training.trainer import Prepared, load_base

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

SECONDS = 2.0
"""How long steps are taken for the estimate."""

_BATCH = 8
"""Rows of a batch where the recipe doesn't say: the trainer's default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The recipe with all its defaults, each set, what was found in the data, and the time."""

    recipe: dict[str, Any]
    sets: Sequence[SetDescription]
    findings: Sequence[Finding]
    precision: Precision
    time: Estimate


def plan(prepared: Prepared) -> Plan:
    """Describe a run without training it; some steps are taken and thrown away for their time."""
    recipe = prepared.recipe
    model = load_base(recipe)
    precision = best_precision(model.device) if recipe.precision == "auto" else recipe.precision
    descriptions = describe(
        prepared.sets, recipe.loss, tokenizer=model.tokenizer, max_length=recipe.max_length
    )
    rows_in_all = sum(len(rows(each, recipe.loss.name)["query"]) for each in prepared.sets)
    batch = recipe.arguments.get("per_device_train_batch_size", _BATCH)
    pairs = max(1, round(batch * sum(each.scored for each in descriptions) / rows_in_all))
    steps = recipe.arguments.get("max_steps", -1)
    epochs = recipe.arguments.get("num_train_epochs", 1)
    passes = steps * batch / rows_in_all if steps > 0 else epochs
    return Plan(
        recipe=recipe.model_dump(mode="json"),
        sets=descriptions,
        findings=prepared.findings,
        precision=precision,
        time=estimate(
            descriptions, passes, lambda: _time_of_a_token(prepared, model, precision, pairs)
        ),
    )


def _time_of_a_token(
    prepared: Prepared, model: CrossEncoder, precision: Precision, batch: int
) -> float:
    """Seconds for each token that is not padding: forward, backward and the optimizer's step."""
    everything = [
        (group.query, document)
        for each in prepared.sets
        for group in each.groups
        for document in group.documents
    ]
    rng = random.Random(prepared.recipe.seed)
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    model.train()
    taken, steps, tokens = 0.0, 0, 0
    while taken < SECONDS or steps < 2:
        pairs = rng.sample(everything, min(batch, len(everything)))
        started = time.perf_counter()
        features = model.preprocess(pairs)
        features = {
            key: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for key, value in features.items()
        }
        enabled = precision != "float32"
        with torch.autocast(model.device.type, getattr(torch, precision), enabled=enabled):
            scores = model(features)["scores"]
        scores.float().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if steps > 1:  # the first one allocates
            taken += time.perf_counter() - started
            tokens += int(features["attention_mask"].sum())
    return taken / tokens
