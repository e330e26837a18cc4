"""A small model to be trained in place of its base: fewer layers, less width, the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rerank_search.errors import InvalidInputError
from rerank_search.models.loading import quietly
from rerank_search.training.recipe import Student

_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def make_student(base: str, student: Student, seed: int, folder: Path) -> str:
    """Write the student's weights and the base's tokenizer to ``folder``, and return it.

    Its embeddings are those of the base on their principal components, as many as it is wide:
    what words have in common is what takes the most data to learn. Its layers are new, by seed.
    Raises InvalidInputError for a shape that is none, or a base that is not like BERT.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
    from transformers import AutoTokenizer as Tokenizers

    config = AutoConfig.from_pretrained(base)
    if student.width >= config.hidden_size or student.width % student.heads:
        raise InvalidInputError(
            f"student.width={student.width} must be less than the base's {config.hidden_size}, and "
            f"a multiple of student.heads={student.heads}"
        )
    with quietly():
        tables = getattr(AutoModel.from_pretrained(base), "embeddings", None)
        if not all(hasattr(tables, name) for name in _TABLES):
            raise InvalidInputError(f"{base} has no embeddings like BERT's to make a student of")
        config.update(
            {
                "num_hidden_layers": student.layers,
                "hidden_size": student.width,
                "num_attention_heads": student.heads,
                "intermediate_size": 4 * student.width,
                "num_labels": 1,
            }
        )
        torch.manual_seed(seed)
        untrained: Any = AutoModelForSequenceClassification
        model = untrained.from_config(config)
        _project(tables, model.base_model.embeddings, student.width)
        model.save_pretrained(folder)
        Tokenizers.from_pretrained(base).save_pretrained(folder)
    return str(folder)


def _project(tables: Any, narrow: Any, width: int) -> None:
    """Each table's rows in the principal axes of the words', so that their sums are kept too."""
    words: Tensor = getattr(tables, _TABLES[0]).weight.detach()
    centre = words.mean(dim=0)
    _, axes = torch.linalg.eigh((words - centre).T @ (words - centre))  # in rising order
    with torch.no_grad():
        for name in _TABLES:
            wide = getattr(tables, name).weight.detach()
            shifted = wide - centre if name == _TABLES[0] else wide
            getattr(narrow, name).weight.copy_(shifted @ axes[:, -width:])
