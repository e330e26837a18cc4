"""A BERT in a folder, read without transformers and sentence-transformers.

Importing these two takes several seconds, most of what a first search takes. Here a folder is read
only where everything in it is understood and would be read there to the same bits; of any other
the answer is None, and sentence-transformers loads it, or says what is wrong with it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rerank_search.models.bert_tokenizer import BertTokenizer, read_tokenizer
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
"""Sizes of a BERT whose config.json leaves them out."""

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
"""Settings of config.json that may have these values only."""

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
"""Settings of config.json that don't change an output."""

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

ACTIVATIONS = {
    "torch.nn.modules.activation.Sigmoid": "Sigmoid",
    "torch.nn.modules.linear.Identity": "Identity",
    "torch.nn.Sigmoid": "Sigmoid",
    "torch.nn.Identity": "Identity",
}

TEXT_TO = {
    "sequence-classification": ("logits", "scores"),
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
}
"""What sentence-transformers reads of a model's output for each task, and what it calls that."""

TRANSFORMER = (
    "sentence_transformers.models.Transformer",
    "sentence_transformers.models.transformer.Transformer",
    "sentence_transformers.base.modules.transformer.Transformer",
)
POOLING = (
    "sentence_transformers.models.Pooling",
    "sentence_transformers.models.pooling.Pooling",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
)
NORMALIZE = (
    "sentence_transformers.models.Normalize",
    "sentence_transformers.models.normalize.Normalize",
    "sentence_transformers.base.modules.normalize.Normalize",
)

EXACT_WITHIN_FLOAT32 = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class ClassifierFolder:
    """A cross-encoder: its network in float32, its tokenizer, what is applied to its logits."""

    network: BertClassifier
    tokenizer: BertTokenizer
    activation: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A bi-encoder: ``pooling`` is "mean" or "cls", and vectors are normalised so many times."""

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


def without_accelerator() -> bool:
    """Whether sentence-transformers would compute on the CPU by itself."""
    import torch

    others = ("torch_npu", "habana_frameworks")
    return not torch.accelerator.is_available() and not any(map(importlib.util.find_spec, others))


def _read(
    read: Callable[[Path], Folder], directory: str, device: str | None, dtype: str
) -> Folder | None:
    if device not in (None, "cpu") or (device is None and not without_accelerator()):
        return None
    try:
        folder = read(Path(directory))
    # Damaged files too: what is wrong with them is for sentence-transformers to tell.
    except Exception as error:
        logger.debug("%s is left to sentence-transformers: %s", directory, error)
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
        require(len(_modules(folder)) == 1, "modules after the transformer")
        window = _window(folder, "sequence-classification")
    _check_settings(settings, {"activation_fn", "prompts"})
    activation = _activation(config, settings, model.num_labels)
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
    return ClassifierFolder(
        BertClassifier(model, _weights(folder, config, expected)), tokenizer, activation
    )


def _encoder(folder: Path) -> EncoderFolder:
    config, model = _config(folder)
    _, pooling, *rest = _modules(folder)
    require(pooling["type"] in POOLING, "its pooling")
    require(all(module["type"] in NORMALIZE for module in rest), "its modules")
    for module in rest:
        own = folder / module["path"] / "config.json"
        input_name = "module_input_name"
        names = {input_name: "sentence_embedding", "module_output_name": "sentence_embedding"}
        require(not own.exists() or read_json(own).items() <= names.items(), "its Normalize")
    beside = folder / "config_sentence_transformers.json"
    settings = read_json(beside) if beside.exists() else {}
    require(settings.get("model_type", "SentenceTransformer") == "SentenceTransformer", "its type")
    require(not any((settings.get("prompts") or {}).values()), "its prompts")
    _check_settings(settings, {"prompts", "similarity_fn_name"})
    mode = _pooling_mode(read_json(folder / pooling["path"] / "config.json"), model.hidden_size)
    window = _window(folder, "feature-extraction")
    require(window is None or window <= model.max_position_embeddings, "its window")
    tokenizer = read_tokenizer(
        folder, config, window=window, positions=model.max_position_embeddings
    )

    from rerank_search.models.bert import Bert, linear_shapes, shapes

    pooler = linear_shapes("pooler.dense", model.hidden_size, model.hidden_size)
    # Other precisions are computed as they are, which a fused pass does not do.
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


def _modules(folder: Path) -> list[dict[str, str]]:
    """The modules of sentence-transformers, of which the first is the transformer."""
    modules: list[dict[str, str]] = json.loads((folder / "modules.json").read_text("utf-8"))
    for module in modules:
        require(set(module) == {"idx", "name", "path", "type"}, "settings in modules.json")
        path = Path(module["path"])
        require(not path.is_absolute() and ".." not in path.parts, "a path in modules.json")
    require(modules[0]["type"] in TRANSFORMER and modules[0]["path"] == "", "its first module")
    return modules


def _check_settings(settings: Mapping[str, Any], known: set[str]) -> None:
    """No setting of config_sentence_transformers.json is unknown."""
    require(settings.get("default_prompt_name") is None, "its default_prompt_name")
    require(
        set(settings) <= {"__version__", "default_prompt_name", "model_type", *known}, "settings"
    )


def _window(folder: Path, task: str) -> int | None:
    """The window in the settings of the transformer; None where they have none."""
    path = folder / "sentence_bert_config.json"
    others = [each for each in folder.glob("sentence_*_config.json") if each != path]
    require(not others, "settings of another transformer")
    settings = read_json(path) if path.exists() else {}
    output, feature = TEXT_TO[task]
    fixed: Mapping[str, Any] = {
        "do_lower_case": False,
        "transformer_task": task,
        "modality_config": {"text": {"method": "forward", "method_output_name": output}},
        "module_output_name": feature,
    }
    require(set(settings) <= {"max_seq_length", *fixed}, "settings of the transformer")
    require(all(settings.get(name, value) == value for name, value in fixed.items()), "its task")
    # Without a task it would be that of a bi-encoder.
    require(task == "feature-extraction" or "transformer_task" in settings, "its task")
    window: int | None = settings.get("max_seq_length")
    require(window is None or (type(window) is int and window > 0), "its max_seq_length")
    return window


def _activation(
    config: Mapping[str, Any], settings: Mapping[str, Any], labels: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What sentence-transformers applies to logits."""
    import torch

    older = config.get("sentence_transformers") or {}
    require(set(older) <= {"activation_fn", "version"}, "settings in config.json")
    named = (
        settings.get("activation_fn")
        or older.get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
    )
    if named is None:
        return torch.nn.Sigmoid() if labels == 1 else torch.nn.Identity()
    require(named in ACTIVATIONS, "its activation_fn")
    made: Callable[[torch.Tensor], torch.Tensor] = getattr(torch.nn, ACTIVATIONS[named])()
    return made


def _pooling_mode(settings: Mapping[str, Any], width: int) -> str:
    """Either "mean" or "cls"."""
    widths = {"word_embedding_dimension", "embedding_dimension"} & set(settings)
    require([settings[name] for name in widths] == [width], "the width of its pooling")
    require(settings.get("include_prompt", True) is True, "its include_prompt")
    known = {*widths, "include_prompt", "pooling_mode"}
    flags = {name: value for name, value in settings.items() if name not in known}
    require(all(name.startswith("pooling_mode_") for name in flags), "settings of its pooling")
    older = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    chosen = [name for name, on in flags.items() if on]
    modes = [settings["pooling_mode"]] if "pooling_mode" in settings else []
    modes += [older.get(name, "") for name in chosen]
    require(modes in (["mean"], ["cls"]), "its pooling_mode")
    return str(modes[0])


def _weights(
    folder: Path,
    config: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    *,
    optional: Mapping[str, tuple[int, ...]] = {},
    dtypes: tuple[str, ...] = EXACT_WITHIN_FLOAT32,
) -> dict[str, torch.Tensor]:
    """The weights in float32, exactly those of the names and shapes that are expected."""
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
    # transformers rounds to the precision that the configuration names.
    loaded_as = config.get("dtype") or config.get("torch_dtype") or next(iter(kinds))
    require(loaded_as in dtypes and kinds <= set(EXACT_WITHIN_FLOAT32), "their precision")
    half = getattr(torch, loaded_as)
    return {name: found[name].to(half).float() for name in expected}
