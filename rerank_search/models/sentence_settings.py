"""Settings in sentence-transformers' own files beside a model, if they are not unusual.

Each function raises NotPlainError for settings that only sentence-transformers itself can read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.models.plain import read_json, require

if TYPE_CHECKING:
    import torch

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
"""Output of the model that sentence-transformers reads for each task, and its name for it."""

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


def modules(folder: Path) -> list[dict[str, str]]:
    """The modules of sentence-transformers; the first is the transformer."""
    modules: list[dict[str, str]] = json.loads((folder / "modules.json").read_text("utf-8"))
    for module in modules:
        require(set(module) == {"idx", "name", "path", "type"}, "settings in modules.json")
        path = Path(module["path"])
        require(not path.is_absolute() and ".." not in path.parts, "a path in modules.json")
    require(modules[0]["type"] in TRANSFORMER and modules[0]["path"] == "", "its first module")
    return modules


def check_settings(settings: Mapping[str, Any], known: set[str]) -> None:
    """Require all settings of config_sentence_transformers.json to be known."""
    require(settings.get("default_prompt_name") is None, "its default_prompt_name")
    require(
        set(settings) <= {"__version__", "default_prompt_name", "model_type", *known}, "settings"
    )


def window(folder: Path, task: str) -> int | None:
    """The window in the settings of the transformer; None if they have none."""
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
    # Without this setting the task is that of a bi-encoder.
    require(task == "feature-extraction" or "transformer_task" in settings, "its task")
    window: int | None = settings.get("max_seq_length")
    require(window is None or (type(window) is int and window > 0), "its max_seq_length")
    return window


def activation(
    config: Mapping[str, Any], settings: Mapping[str, Any], labels: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation that sentence-transformers applies to logits."""
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


def pooling_mode(settings: Mapping[str, Any], width: int) -> str:
    """The pooling of token outputs, "mean" or "cls"."""
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
