"""The model card: what a model was trained on, how, and under which licences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rerank_search.training.recipe import Recipe, Source

_CARD = """\
---
library_name: sentence-transformers
pipeline_tag: text-ranking
tags:
- sentence-transformers
- cross-encoder
- reranker
language:
- en
base_model: {base}
---

# {name}

A cross-encoder that scores (query, text) pairs for reranking, fine-tuned from `{base}` by
`rerank-search train`. Scores are raw logits: higher is better, and only their order within a
query has a meaning.

```python
from rerank_search import CrossEncoderReranker

reranker = CrossEncoderReranker("{name}")
reranker.rank("who wrote the letter", ["The letter was written by Ada.", "It rained all day."])
```

## Data

| collection | split | judged queries | made-up queries | licence as stated |
|---|---|---|---|---|
{sources}

Each query has one relevant document and {negatives} others, drawn from the best {depth} of BM25
and of the encoder{random}. {labels} The run went through {passes:.0%} of these lists.
{fusion}
## Recipe

Loss: {loss}. Pairs are cut to {max_length} tokens while training. Arguments of the trainer:

```json
{arguments}
```
"""


def write_card(directory: Path, recipe: Recipe, queries: Sequence[int], *, passes: float) -> None:
    """Write ``README.md``.

    ``queries`` says how many each source gave, made-up ones included; ``passes`` how often the
    run went through all of them.
    """
    labels = "Labels are 1 for the relevant document and 0 for the others."
    if recipe.soft_labels is not None:
        teacher = recipe.soft_labels
        labels = (
            f"Labels are a teacher's logits: {teacher.cosine:g} times the cosine of "
            f"`{recipe.negatives.encoder}`, plus {teacher.bm25:g} times the BM25 score, plus "
            f"{teacher.gold:g} for the relevant document."
        )
    random = recipe.negatives.random
    text = _CARD.format(
        name=recipe.name,
        base=recipe.base,
        sources="\n".join(map(_row, recipe.sources, queries)),
        negatives=recipe.negatives.per_query,
        depth=recipe.negatives.depth,
        random=f", {random} of them from the whole collection" if random else "",
        labels=labels,
        passes=passes,
        fusion=_fusion(recipe),
        loss={"listwise": "listwise (ListNet)", "bce": "binary cross-entropy"}[recipe.loss],
        max_length=recipe.max_length,
        arguments=json.dumps(recipe.arguments, indent=2),
    )
    (directory / "README.md").write_text(text, encoding="utf-8")


def _row(source: Source, queries: int) -> str:
    name, licence = source.collection.name, source.licence or "not stated"
    judged = queries - source.made_up
    return f"| {name} | {source.split} | {judged:,} | {source.made_up:,} | {licence} |"


def _fusion(recipe: Recipe) -> str:
    if recipe.fusion is None:
        return ""
    names = ", ".join(
        f"{source.collection.name} ({source.split})" for source in recipe.fusion.sources
    )
    return (
        "\nThe fusion with the first stages' scores (`fusion.json`) is a logistic regression "
        f"fitted on queries of {names}.\n"
    )
