"""A BERT in a folder, read without transformers and sentence-transformers.

Importing these two takes several seconds, most of the time of a first search. A folder is read here
only if everything in it is understood and gives the same bits as those libraries. For any other
folder the result is None, and sentence-transformers loads it or says what is wrong with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rerank_search.models import sentence_settings
from rerank_search.models.bert_tokenizer import BertTokenizer, read_tokenizer
from rerank_search.models.loading import without_accelerator
from rerank_search.models.plain import read_json, require

if TYPE_CHECKING:
    import torch

    from rerank_search.models.bert import Bert, BertClassifier, BertConfig

logger = logging.getLogger(__name__)


DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
"""Default sizes of a BERT, used if config.json leaves them out."""

FIXED: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "hidden_act": ("gelu",),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "output_attentions": (False,),
    "output_hidden_states": (False,),
    "position_embedding_type": ("absolute", None),
    "tie_word_embeddings": (True, False),
}
"""Settings of config.json with the only values that are accepted."""

WITHOUT_EFFECT = {
    "_name_or_path",
    "_num_labels",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "directionality",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "initializer_range",
    "label2id",
    "language",
    "name",
    "output_past",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "sep_token_id",
    "transformers_version",
    "use_cache",
}
"""Settings of config.json that do not change an output."""

READ = {
    *DEFAULTS,
    "architectures",
    "dtype",
    "id2label",
    "layer_norm_eps",
    "model_type",
    "num_labels",
    "sbert_ce_default_activation_function",
    "sentence_transformers",
    "tokenizer_class",
    "torch_dtype",
}

EXACT_WITHIN_FLOAT32 = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class ClassifierFolder:
    """A cross-encoder: its network in float32, its tokenizer, and its activation of logits.

    ``prompts`` are by name; none of them is used by default.
    """

    network: BertClassifier
    tokenizer: BertTokenizer
    activation: Callable[[torch.Tensor], torch.Tensor]
    prompts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A bi-encoder: ``pooling`` is "mean" or "cls", ``normalised`` how often to normalise."""

    network: Bert
    tokenizer: BertTokenizer
    pooling: str
    normalised: int


Folder = TypeVar("Folder", ClassifierFolder, EncoderFolder)


def read_classifier(directory: str, device: str | None, dtype: str) -> ClassifierFolder | None:
    """The cross-encoder in a folder, for the fused pass on a CPU; None if it isn't plain."""
    return _read(_classifier, directory, device, dtype)


def read_encoder(directory: str, device: str | None) -> EncoderFolder | None:
    """The bi-encoder in a folder, for the fused pass on a CPU; None if it isn't plain."""
    return _read(_encoder, directory, device, "float32")


def _read(
    read: Callable[[Path], Folder], directory: str, device: str | None, dtype: str
) -> Folder | None:
    if device not in (None, "cpu") or (device is None and not without_accelerator()):
        return None
    try:
        folder = read(Path(directory))
    # Damaged files too: sentence-transformers reports what is wrong with them.
    except Exception as error:
        logger.debug("%s is loaded by sentence-transformers, because of %s", directory, error)
        return None
    from rerank_search.models.fused_bert import can_fuse

    return folder if can_fuse(folder.network, dtype) else None


def _classifier(folder: Path) -> ClassifierFolder:
    config, model = _config(folder)
    require(config.get("architectures") == ["BertForSequenceClassification"], "its architecture")
    settings: Mapping[str, Any] = {}
    window = None
    if (folder / "modules.json").exists():
        settings = read_json(folder / "config_sentence_transformers.json")
        require(settings.get("model_type") == "CrossEncoder", "its model_type")
        require(len(sentence_settings.modules(folder)) == 1, "modules after the transformer")
        window = sentence_settings.window(folder, "sequence-classification")
    sentence_settings.check_settings(settings, {"activation_fn", "prompts"})
    activation = sentence_settings.activation(config, settings, model.num_labels)
    tokenizer = read_tokenizer(
        folder, config, window=window, positions=model.max_position_embeddings
    )

    from rerank_search.models.bert import BertClassifier, linear_shapes, shapes

    width = model.hidden_size
    expected = {
        **shapes(model, "bert."),
        **linear_shapes("bert.pooler.dense", width, width),
        **linear_shapes("classifier", width, model.num_labels),
    }
    prompts = settings.get("prompts") or {}
    require(all(isinstance(prompt, str) for prompt in prompts.values()), "its prompts")
    return ClassifierFolder(
        BertClassifier(model, _weights(folder, config, expected)), tokenizer, activation, prompts
    )


def _encoder(folder: Path) -> EncoderFolder:
    config, model = _config(folder)
    _, pooling, *rest = sentence_settings.modules(folder)
    require(pooling["type"] in sentence_settings.POOLING, "its pooling")
    require(all(module["type"] in sentence_settings.NORMALIZE for module in rest), "its modules")
    for module in rest:
        own = folder / module["path"] / "config.json"
        input_name = "module_input_name"
        names = {input_name: "sentence_embedding", "module_output_name": "sentence_embedding"}
        require(not own.exists() or read_json(own).items() <= names.items(), "its Normalize")
    beside = folder / "config_sentence_transformers.json"
    settings = read_json(beside) if beside.exists() else {}
    require(settings.get("model_type", "SentenceTransformer") == "SentenceTransformer", "its type")
    require(not any((settings.get("prompts") or {}).values()), "its prompts")
    sentence_settings.check_settings(settings, {"prompts", "similarity_fn_name"})
    mode = sentence_settings.pooling_mode(
        read_json(folder / pooling["path"] / "config.json"), model.hidden_size
    )
    window = sentence_settings.window(folder, "feature-extraction")
    require(window is None or window <= model.max_position_embeddings, "its window")
    tokenizer = read_tokenizer(
        folder, config, window=window, positions=model.max_position_embeddings
    )

    from rerank_search.models.bert import Bert, linear_shapes, shapes

    pooler = linear_shapes("pooler.dense", model.hidden_size, model.hidden_size)
    # transformers computes other precisions without conversion, and a fused pass does not.
    weights = _weights(folder, config, shapes(model, ""), optional=pooler, dtypes=("float32",))
    return EncoderFolder(Bert(model, weights), tokenizer, mode, len(rest))


def _config(folder: Path) -> tuple[dict[str, Any], BertConfig]:
    from rerank_search.models.bert import BertConfig

    require(not list(folder.glob("adapter_*")), "an adapter")
    config = read_json(folder / "config.json")
    require(config.get("model_type") == "bert", "its model_type")
    require(set(config) <= {*FIXED, *WITHOUT_EFFECT, *READ}, "settings in config.json")
    for name, allowed in FIXED.items():
        require(config.get(name, allowed[0]) in allowed, f"its {name}")
    sizes = {name: config.get(name, default) for name, default in DEFAULTS.items()}
    require(all(type(size) is int and size > 0 for size in sizes.values()), "its sizes")
    require(sizes["hidden_size"] % sizes["num_attention_heads"] == 0, "the number of its heads")
    epsilon = config.get("layer_norm_eps", 1e-12)
    require(type(epsilon) is float, "its layer_norm_eps")
    named = config.get("id2label")
    labels = config.get("num_labels", 2) if named is None else len(named)
    require(type(labels) is int and config.get("num_labels", labels) == labels, "its num_labels")
    return config, BertConfig(**sizes, layer_norm_eps=epsilon, num_labels=labels)


def _weights(
    folder: Path,
    config: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    *,
    optional: Mapping[str, tuple[int, ...]] = {},
    dtypes: tuple[str, ...] = EXACT_WITHIN_FLOAT32,
) -> dict[str, torch.Tensor]:
    """The weights in float32, with exactly the expected names and shapes."""
    import torch
    from safetensors import safe_open

    path = folder / "model.safetensors"
    require(not path.with_name(f"{path.name}.index.json").exists(), "weights in parts")
    with safe_open(os.fspath(path), framework="pt") as file:
        require((file.metadata() or {}).get("format") == "pt", "the format of its weights")
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = {name: weight for name, weight in stored.items() if not name.endswith("position_ids")}
    for name, weight in found.items():
        wanted = expected.get(name, optional.get(name))
        require(tuple(weight.shape) == wanted, f"the weights {name}")
    require(set(expected) <= set(found), "weights that are missing")
    kinds = {str(weight.dtype).removeprefix("torch.") for weight in found.values()}
    require(len(kinds) == 1, "weights of several precisions")
    # transformers rounds weights to the precision that the configuration names.
    loaded_as = config.get("dtype") or config.get("torch_dtype") or next(iter(kinds))
    require(loaded_as in dtypes and kinds <= set(EXACT_WITHIN_FLOAT32), "their precision")
    half = getattr(torch, loaded_as)
    return {name: found[name].to(half).float() for name in expected}
