"""The arguments that a recipe may pass to sentence-transformers' trainer."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError

_ONE_DEVICE = "each device has the whole model"

_RESUMED = "an interrupted run continues from its last complete checkpoint when it is repeated"

_MEASURED = "evaluation.measure chooses the best checkpoint"

_PUSHED = "upload a finished model with `rerank-search push`"

_DECIDED_ELSEWHERE = {
    "output_dir": "set the recipe's output",
    "seed": "set the recipe's seed",
    "bf16": 'set precision = "bfloat16"',
    "fp16": 'set precision = "float16"',
    "use_cpu": "set the environment variable RERANK_SEARCH_DEVICE",
    "neftune_noise_alpha": "the trainer cannot find the embeddings of a cross-encoder",
    "disable_tqdm": "progress is a bar on a terminal, and a line every few seconds elsewhere",
    "save_strategy": "set save_steps, or eval_strategy, which saving follows",
    "save_only_model": _RESUMED,
    "resume_from_checkpoint": _RESUMED,
    "restore_callback_states_from_checkpoint": _RESUMED,
    "load_best_model_at_end": _MEASURED,
    "metric_for_best_model": _MEASURED,
    "greater_is_better": _MEASURED,
    "fsdp": _ONE_DEVICE,
    "fsdp_config": _ONE_DEVICE,
    "deepspeed": _ONE_DEVICE,
    "parallelism_config": _ONE_DEVICE,
    "push_to_hub": _PUSHED,
    "hub_always_push": _PUSHED,
    "hub_model_id": _PUSHED,
    "hub_private_repo": _PUSHED,
    "hub_revision": _PUSHED,
    "hub_strategy": _PUSHED,
    "hub_token": _PUSHED,
}

SHORT = {
    "lr": "learning_rate",
    "batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
}
"""Short names of arguments on the command line."""

_POSITIVE = {
    "num_train_epochs",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_steps",
    "save_steps",
    "logging_steps",
}

_NOT_NEGATIVE = {"learning_rate", "weight_decay", "warmup_steps", "max_grad_norm", "eval_delay"}


def known_arguments() -> list[str]:
    """The names that ``[arguments]`` may have."""
    return [name for name in _types() if name not in _DECIDED_ELSEWHERE]


def is_argument(name: str) -> bool:
    """Whether the trainer has this argument, even if a recipe must not set it."""
    return name in _types()


def check_arguments(path: Path, arguments: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for a name or a value that the trainer cannot use."""
    for name, value in arguments.items():
        if name in _DECIDED_ELSEWHERE:
            raise InvalidInputError(
                f"{path}: arguments.{name} cannot be set in a recipe: {_DECIDED_ELSEWHERE[name]}"
            )
        if name not in _types():
            meant = SHORT.get(name)
            hint = did_you_mean(name, known_arguments()) if meant is None else f": write {meant!r}"
            raise InvalidInputError(f"{path}: unknown key 'arguments.{name}'{hint}")
        if problem := _problem(name, value):
            raise InvalidInputError(f"{path}: arguments.{name}={value!r} is invalid: {problem}")


@functools.cache
def _types() -> Mapping[str, Any]:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    hints = typing.get_type_hints(CrossEncoderTrainingArguments)
    return {
        field.name: hints[field.name] for field in dataclasses.fields(CrossEncoderTrainingArguments)
    }


def _problem(name: str, value: Any) -> str:
    kind = _types()[name]
    try:
        strictly = ConfigDict(strict=True, arbitrary_types_allowed=True)
        TypeAdapter(kind, config=strictly).validate_python(value)
    except ValidationError:
        return f"it must be of the type {getattr(kind, '__name__', kind)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "it must be finite"
    if name in _POSITIVE and value <= 0:
        return "it must be more than 0"
    if name in _NOT_NEGATIVE and value < 0:
        return "it must not be negative"
    if name == "eval_strategy" and value not in ("steps", "epoch"):
        return 'it must be "steps" or "epoch"'
    if name == "max_steps" and value != -1 and value <= 0:
        return "it must be more than 0 (or -1 for the steps of num_train_epochs)"
    return ""
