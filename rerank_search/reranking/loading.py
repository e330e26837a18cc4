"""A cross-encoder as sentence-transformers loads it, and the options that its logits depend on."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.models.loading import quietly, require_tokenizer
from rerank_search.reranking.memory import out_of_memory
from rerank_search.reranking.model_files import check_files, without_modules

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs that a model may take; its tokenizer may not make all of them."""

RAGGED: Mapping[str, Mapping[str, Any]] = {
    "text": {"padding": False, "verbose": False},
    "common": {"return_tensors": None},
    "chat_template": {"padding": False, "return_tensors": None},
}
"""The ``processing_kwargs`` with which sentence-transformers returns lists of tokens, unpadded."""

_COMPUTING_OPTIONS = ("config_kwargs", "model_kwargs", "processor_kwargs")
"""Loading options that logits depend on."""


def options_key(loading: Mapping[str, Any]) -> str:
    """A text that differs if the options that logits depend on differ; empty without options."""
    parts = {name: loading[name] for name in _COMPUTING_OPTIONS if loading.get(name)}
    return " " + json.dumps(parts, sort_keys=True, default=repr) if parts else ""


def input_names(network: Any, tokenizer: Any) -> list[str]:
    """The inputs that the tokenizer makes and the network takes."""
    taken = inspect.signature(network.forward).parameters
    anything = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    made = [name for name in INPUTS if name in tokenizer.model_input_names]
    return [name for name in made if anything or name in taken]


def window_of_modules(model: CrossEncoder) -> int | None:
    """The fewest tokens to which the settings of the modules cut a pair; None if they do not."""
    modules: Any = model
    settings = modules[0].processing_kwargs
    named = [
        settings.get(kind, {}).get("max_length") for kind in ("text", "common", "chat_template")
    ]
    return min((length for length in named if length is not None), default=None)


def load_original(
    name: str, directory: str, device: str | None, loading: Mapping[str, Any]
) -> CrossEncoder:
    """The model as sentence-transformers loads it, with further arguments of its class.

    Raises ModelNotFoundError for a directory that cannot be read, InvalidInputError for arguments
    that cannot be used.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    # sentence-transformers changes the dictionaries that it is given.
    own = {key: dict(value) if isinstance(value, dict) else value for key, value in loading.items()}
    try:
        with quietly():
            model: CrossEncoder = CrossEncoder(
                directory, device=device, local_files_only=True, **own
            )
    except (
        AttributeError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise
        if "trust_remote_code" in str(error):
            raise InvalidInputError(
                f"the model {name!r} needs code of its own, and code that comes with a model is "
                "never run: use sentence_transformers.CrossEncoder for it"
            ) from error
        if loading:
            raise InvalidInputError(
                f"the model {name!r} cannot be loaded with {', '.join(sorted(loading))}: {error}"
            ) from error
        raise ModelNotFoundError(
            f"the model {name!r} in {directory} cannot be read ({error}): download it again"
        ) from error
    for option in loading.get("config_kwargs", {}):
        if not hasattr(model.config, option):
            kind = type(model.config).__name__
            raise InvalidInputError(f"config_kwargs: a {kind} has no {option!r}: leave it out")
    require_tokenizer(model.tokenizer, name, directory)
    return model


def load_cross_encoder(
    name: str,
    directory: str,
    device: str | None,
    loading: Mapping[str, Any] | None = None,
    *,
    own_activation: bool = False,
) -> CrossEncoder:
    """Load a reranker to compute, in float32.

    ``own_activation`` is True if the activation of logits is given by hand. Raises
    InvalidInputError for a model that does not score pairs of texts, or would do so wrongly.
    """
    check_files(name, Path(directory), own_activation=own_activation)
    model = load_original(name, directory, device, loading or {})
    _check_first(name, Path(directory), model)
    # Weights may be stored in half precision, which is slow or inexact on most CPUs.
    model.float()
    model.eval()
    return model


def _check_first(name: str, folder: Path, model: CrossEncoder) -> None:
    """Raise InvalidInputError unless the first module reads pairs of texts as it was trained to."""
    from sentence_transformers.cross_encoder.modules import Transformer
    from transformers import PreTrainedTokenizerBase

    modules: Any = model
    first = modules[0]
    if not isinstance(first, Transformer):
        raise InvalidInputError(
            f"the model {name!r} begins with a {type(first).__name__}, which is not supported: "
            "use sentence_transformers.CrossEncoder for it"
        )
    if not isinstance(first.processor, PreTrainedTokenizerBase):
        raise InvalidInputError(
            f"the model {name!r} reads its input with a {type(first.processor).__name__} instead "
            "of a tokenizer, and only texts are supported: give a cross-encoder for texts"
        )
    try:
        first.preprocess([("a", "b")], processing_kwargs=RAGGED)
    except ValueError as error:
        if "message" not in first.modality_config:
            raise InvalidInputError(
                f"the model {name!r} does not read pairs of texts ({error}): give a cross-encoder"
            ) from error
        reason = first.input_formatter.pair_roles_failure() or error
        raise InvalidInputError(
            f"the chat template of the model {name!r} has no place for a query and a document "
            f"({reason}): give a reranker, or put its chat_template.jinja into the folder"
        ) from error
    if first.transformer_task == "sequence-classification":
        # transformers also turns a bi-encoder into a classifier, with a random last layer.
        stored = getattr(model.config, "architectures", None) or ()
        for architecture in (*stored, type(model.transformers_model).__name__):
            if not architecture.endswith("ForSequenceClassification"):
                raise InvalidInputError(
                    f"the model {name!r} is a {architecture}, which does not score pairs: give a "
                    "cross-encoder"
                )
    if first.transformer_task == "text-generation" and without_modules(folder):
        # A tokenizer gives the id of the unknown token for a token that it does not have.
        missing = [word for word in ("yes", "no") if word not in first.tokenizer.get_vocab()]
        if missing:
            raise InvalidInputError(
                f"the model {name!r} is a {type(model.transformers_model).__name__} without a "
                f"LogitScore module, and its tokenizer has no token {missing[0]!r} to answer "
                "with: give a reranker"
            )
