"""The model that a recipe begins with: its folder, its window, and how it is loaded."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.models.loading import positions, quietly, require_device, require_tokenizer
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_encoder, resolve_reranker
from rerank_search.models.threads import limit_threads
from rerank_search.reranking.exact_logits import keep_last_layer_exact
from rerank_search.reranking.model_files import check_files, scores_pairs, without_modules
from rerank_search.settings import Settings
from rerank_search.training.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

WINDOW = 512
"""Smallest window of a finished model in tokens, however short its training pairs."""


@dataclass(frozen=True, slots=True)
class Base:
    """The model to be trained, and the number of tokens that it can read (None: any number).

    ``directory`` is the folder of the recipe's base, from which a student is not loaded.
    """

    directory: str
    model: CrossEncoder
    positions: int | None

    @property
    def prompt(self) -> str:
        """The prompt that the model reads by default; empty for none."""
        name = self.model.default_prompt_name
        return "" if name is None else self.model.prompts.get(name) or ""

    def reads(self, tokens: int) -> int:
        """``tokens``, or the number of positions if that is smaller."""
        return tokens if self.positions is None else min(tokens, self.positions)


def load_base(recipe: Recipe) -> Base:
    """The model to be trained, on the device of the settings.

    It reads ``recipe.max_length`` tokens, or as many as it can if the recipe does not set it.
    Raises ModelNotFoundError, and InvalidInputError for a classifier with several labels, a
    ``max_length`` above the model's positions, or a model that cannot be loaded.
    """
    import torch
    from sentence_transformers.cross_encoder.model_card import CrossEncoderModelCardData

    from rerank_search.reranking.modular import last_width
    from rerank_search.training.model.bert_attention import can_simplify, simplify_attention
    from rerank_search.training.model.cross_encoder import LengthSortedCrossEncoder
    from rerank_search.training.model.dropout import use_blockwise_dropout
    from rerank_search.training.model.student import make_student

    limit_threads()
    require_device(Settings().device)
    own = directory = base_directory(recipe.base)
    # Windows cannot remove weights that are still mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, quietly():
        if recipe.student is not None:
            directory = make_student(own, recipe.student, recipe.seed, Path(folder))
        torch.manual_seed(recipe.seed)
        model: CrossEncoder = LengthSortedCrossEncoder(
            directory,
            num_labels=1,
            device=Settings().device,
            local_files_only=True,
            model_card_data=CrossEncoderModelCardData(local_files_only=True),
            config_kwargs=dict.fromkeys(_dropouts(directory), recipe.dropout),
        )
    require_tokenizer(model.tokenizer, recipe.base, own)
    if model.num_labels != 1:
        raise _several_labels(recipe.base, model.num_labels)
    model.float()
    network: Any = model.model
    base = Base(own, model, positions(network))
    model.max_seq_length = _length(recipe, base)
    if can_simplify(network):
        simplify_attention(network)
    use_blockwise_dropout(model)
    keep_last_layer_exact(recipe.base, model, last_width(model))
    if not recipe.train_embeddings:
        network.get_input_embeddings().requires_grad_(False)
    return base


def base_directory(base: str) -> str:
    """The folder of the base: a reranker, or an encoder that will get a new head.

    Raises ModelNotFoundError if it is missing, and InvalidInputError for several labels or a
    reranker that cannot be loaded as its makers saved it.
    """
    resolve = resolve_reranker if base in BUNDLED_RERANKERS else resolve_encoder
    directory = resolve(base)
    if not (Path(directory) / "config.json").is_file():
        raise ModelNotFoundError(
            f"the base {base!r} has no config.json in {directory}: choose another model, or "
            "download it again"
        )
    config = _configuration(directory)
    if scores_pairs(Path(directory)):
        check_files(base, Path(directory), own_activation=False)
        labels = len(config.get("id2label", [0]))
        if without_modules(Path(directory)) and labels != 1:
            raise _several_labels(base, labels)
    return directory


def _configuration(directory: str) -> dict[str, Any]:
    path = Path(directory) / "config.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInputError(f"{path} is damaged ({error}): download the model again") from None
    return found


def _several_labels(base: str, labels: int) -> InvalidInputError:
    return InvalidInputError(
        f"the base {base!r} is a classifier with {labels} labels, and a reranker has one: choose a "
        "cross-encoder with one label, or an encoder"
    )


def _dropouts(directory: str) -> list[str]:
    """The names of the architecture's dropouts, without those that drop whole layers."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory, local_files_only=True).to_dict()
    return [
        name
        for name, value in config.items()
        if "drop" in name and "layerdrop" not in name and type(value) in (int, float)
    ]


def _length(recipe: Recipe, base: Base) -> int:
    length = base.reads(recipe.max_length)
    if length < recipe.max_length and "max_length" in recipe.model_fields_set:
        raise InvalidInputError(
            f"max_length is {recipe.max_length:,}, and the base {recipe.base!r} has positions for "
            f"{base.positions:,} tokens: set max_length to at most that, or choose another base"
        )
    return length
