"""Fine-tunes a cross-encoder by recipe, with sentence-transformers' CrossEncoderTrainer."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_encoder, resolve_reranker
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.settings import Settings
from rerank_search.training.fusion import fit_fusion
from rerank_search.training.mining import Lists, mine
from rerank_search.training.model_card import write_card
from rerank_search.training.recipe import Recipe, Source, load_recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from torch import nn

logger = logging.getLogger(__name__)

_WINDOW = 512
"""Tokens of a pair that the finished model reads, whatever it was trained on."""


def train(path: Path, *, overrides: Mapping[str, str] | None = None) -> Path:
    """Run a recipe to the end and return the model's directory.

    The directory is one that sentence-transformers' CrossEncoder loads. A run that was
    interrupted goes on from its last checkpoint (``arguments.save_steps``). Raises
    InvalidInputError for a recipe or data that cannot be used, before anything is trained.
    """
    recipe = load_recipe(path, dict(overrides or {}))
    try:
        import datasets  # noqa: F401
        from sentence_transformers.cross_encoder import CrossEncoderTrainer
    except ImportError:
        raise MissingDependencyError(
            "training needs more packages: pip install 'rerank-search[train,bm25s]'"
        ) from None
    model = _base(recipe)
    checkpoints = recipe.output.with_name(recipe.output.name + "-checkpoints")
    # Arguments are checked by making them, before the data are mined, which takes minutes.
    arguments = _arguments(recipe, checkpoints, on_cpu=model.device.type == "cpu")
    mined = [_mined(recipe, source) for source in recipe.sources]
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=_datasets(recipe, mined),
        loss=_loss(recipe, model),
    )
    trainer.train(resume_from_checkpoint=any(checkpoints.glob("checkpoint-*")) or None)
    queries = [len(lists["query"]) for lists in mined]
    _publish(model, recipe, queries, passes=trainer.state.epoch or 0.0)
    return recipe.output


def _mined(recipe: Recipe, source: Source) -> Lists:
    lists = mine(
        source, recipe.negatives, recipe.soft_labels, seed=recipe.seed, cache=Settings().cache
    )
    if not lists["query"]:
        raise InvalidInputError(f"{source.collection} gives no training queries")
    logger.info("%s: %d queries", source.collection, len(lists["query"]))
    return lists


def _datasets(recipe: Recipe, mined: Sequence[Lists]) -> dict[str, Dataset]:
    from datasets import Dataset

    data: dict[str, Dataset] = {}
    for source, lists in zip(recipe.sources, mined, strict=True):
        columns: Any = lists if recipe.loss == "listwise" else _pairs(lists)
        name = source.collection.name
        data[name if name not in data else f"{name}-{len(data)}"] = Dataset.from_dict(columns)
    return data


def _pairs(lists: Lists) -> dict[str, list[Any]]:
    rows = [
        (query, document, label)
        for query, documents, labels in zip(
            lists["query"], lists["documents"], lists["labels"], strict=True
        )
        for document, label in zip(documents, labels, strict=True)
    ]
    return {
        "query": [row[0] for row in rows],
        "document": [row[1] for row in rows],
        "label": [row[2] for row in rows],
    }


def _base(recipe: Recipe) -> CrossEncoder:
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(recipe.seed)
    resolve = resolve_reranker if recipe.base in BUNDLED_RERANKERS else resolve_encoder
    model: CrossEncoder = CrossEncoder(
        resolve(recipe.base),
        num_labels=1,
        max_length=recipe.max_length,
        device=Settings().device,
        # Eager attention trains faster than the fused kernels in bfloat16 on a CPU.
        model_kwargs={"attn_implementation": "eager"},
        config_kwargs={
            "hidden_dropout_prob": recipe.dropout,
            "attention_probs_dropout_prob": recipe.dropout,
        },
    )
    if not recipe.train_embeddings and model.model is not None:
        model.model.get_input_embeddings().requires_grad_(False)
    return model


def _loss(recipe: Recipe, model: CrossEncoder) -> nn.Module:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    from rerank_search.training.loss import ListwiseLoss

    if recipe.loss == "bce":
        return BinaryCrossEntropyLoss(model)
    return ListwiseLoss(model)


def _arguments(recipe: Recipe, checkpoints: Path, *, on_cpu: bool) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    defaults: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "seed": recipe.seed,
        "report_to": "none",
        "use_cpu": on_cpu,
        "num_train_epochs": 1,
        "logging_steps": 50,
    }
    return CrossEncoderTrainingArguments(**(defaults | recipe.arguments))


def _publish(model: CrossEncoder, recipe: Recipe, queries: Sequence[int], *, passes: float) -> None:
    """Write the model beside its place, then swap it in, so that no half model is ever seen."""
    temporary = recipe.output.with_name(recipe.output.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    config: Any = model.config
    model.max_seq_length = min(_WINDOW, config.max_position_embeddings)
    model.save_pretrained(str(temporary))
    if recipe.weights == "float16":
        _halve(temporary / "model.safetensors")
    write_card(temporary, recipe, queries, passes=passes)
    if recipe.fusion is not None:
        reranker = CrossEncoderReranker(str(temporary))
        fit_fusion(reranker, recipe.fusion, seed=recipe.seed).save(temporary)
    shutil.rmtree(recipe.output, ignore_errors=True)
    temporary.rename(recipe.output)


def _halve(path: Path) -> None:
    """Store the weights in float16; the configuration keeps float32, which loading restores."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
