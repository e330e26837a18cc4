"""A run that was planned: the complete recipe, the data in figures, and an estimated time."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rerank_search.training.data.description import Estimate, SetDescription, describe, estimate
from rerank_search.training.model.precision import Precision
from rerank_search.training.run.arguments import passes_of
from rerank_search.training.run.batches import POOL
from rerank_search.training.run.prepare import Prepared

SECONDS = 2.0
"""Duration of the training steps for the estimate, in seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The recipe with all its defaults, each set, the findings in the data, and the time."""

    recipe: dict[str, Any]
    sets: Sequence[SetDescription]
    findings: Sequence[str]
    precision: Precision
    time: Estimate


def plan(prepared: Prepared) -> Plan:
    """Describe a run without training it; a few steps are only taken to measure their time."""
    recipe, arguments, model = prepared.recipe, prepared.arguments, prepared.base.model
    descriptions = describe(
        prepared.sets, recipe.loss, tokenizer=model.tokenizer, max_length=recipe.max_length
    )
    scored = sum(each.scored for each in descriptions)
    batch = max(1, round(arguments.train_batch_size * scored / prepared.rows))
    return Plan(
        recipe=recipe.model_dump(mode="json"),
        sets=descriptions,
        findings=prepared.notes,
        precision=prepared.precision,
        time=estimate(
            descriptions,
            passes_of(arguments, prepared.rows),
            lambda: _time_of_a_token(prepared, batch) / arguments.world_size,
        ),
    )


def _time_of_a_token(prepared: Prepared, batch: int) -> float:
    """Seconds for each token without padding: forward, backward and the optimizer's step.

    This is the median of the steps, because on a busy machine some take many times as long.
    """
    model, precision = prepared.base.model, prepared.precision
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
    times: list[float] = []
    since = time.perf_counter()
    while time.perf_counter() - since < SECONDS or len(times) < 4:
        pairs = _batch(everything, batch, prepared, rng)
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
        tokens = int(features["attention_mask"].sum())
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        times.append((time.perf_counter() - started) / tokens)
    return statistics.median(times[1:])  # the first step allocates memory


def _batch(
    pairs: Sequence[tuple[str, str]], count: int, prepared: Prepared, rng: random.Random
) -> list[tuple[str, str]]:
    """``count`` of the pairs, chosen as the run chooses them."""
    if not prepared.recipe.by_length:
        return rng.sample(pairs, min(count, len(pairs)))
    pool = rng.sample(pairs, min(count * POOL, len(pairs)))
    tokenizer = prepared.base.model.tokenizer
    tokens = tokenizer(*map(list, zip(*pool, strict=True)), verbose=False)["input_ids"]
    by_length = sorted(range(len(pool)), key=lambda i: len(tokens[i]))
    start = rng.randrange(max(1, len(pool) - count + 1))
    return [pool[i] for i in by_length[start : start + count]]
