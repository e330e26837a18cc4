"""Soft labels for pairs and samples."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

import torch
from sentence_transformers import CrossEncoder

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.training.run.prepare import prepare

TEACHER = """
[soft_labels]
cosine = 0.0
gold = 2.0
rerankers = [{{ reranker = "{reranker}", weight = 0.5 }}]
"""


def test_pairs_get_a_teachers_logits(pairs_recipe: Path, tiny_reranker: Path) -> None:
    tail = TEACHER.format(reranker=tiny_reranker)
    pairs_recipe.write_text(pairs_recipe.read_text().replace('"bce"', '"mse"') + tail)
    [softened] = prepare(pairs_recipe).sets
    group = softened.groups[1]
    teacher = CrossEncoder(str(tiny_reranker))
    logits = teacher.predict(
        [(group.query, text) for text in group.documents], activation_fn=torch.nn.Identity()
    )
    assert group.labels == pytest.approx([2.0 + 0.5 * float(logit) for logit in logits], abs=1e-3)


def test_pairs_have_no_cosine(pairs_recipe: Path, tiny_reranker: Path) -> None:
    text = pairs_recipe.read_text().replace('"bce"', '"mse"') + TEACHER.format(reranker="x")
    pairs_recipe.write_text(text.replace("cosine = 0.0", "cosine = 20.0"))
    with pytest.raises(InvalidInputError, match=r"cosine = 20 and bm25 = 0.*set both to 0"):
        prepare(pairs_recipe)


def test_a_teacher_that_is_not_there_is_named(pairs_recipe: Path) -> None:
    tail = TEACHER.format(reranker="no-such-teacher")
    pairs_recipe.write_text(pairs_recipe.read_text().replace('"bce"', '"mse"') + tail)
    with pytest.raises(ModelNotFoundError, match="no-such-teacher"):
        prepare(pairs_recipe)
