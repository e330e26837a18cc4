"""The arguments of a recipe that go to sentence-transformers' trainer: checked, and completed."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from rerank_search.training.model import Precision
    from rerank_search.training.recipe import Recipe

EVALUATION_STEPS = 100

_LOGS = 20
"""A short run logs so often, a long one every 50 steps."""

_SOME_STEPS = 100

_ONE_DEVICE = "a run has the whole model on each device"
_RESUMED = "a run goes on from its last whole checkpoint when it is repeated"
_MEASURED = "the best checkpoint is that of evaluation.measure"
_PUSHED = "a finished model is uploaded by rerank-search push"

_DECIDED_ELSEWHERE = {
    "output_dir": "set the recipe's output",
    "seed": "set the recipe's seed",
    "bf16": 'set precision = "bfloat16"',
    "fp16": 'set precision = "float16"',
    "use_cpu": "set the environment's RERANK_SEARCH_DEVICE",
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
"""Names that arguments may have where they are set on the command line."""

_POSITIVE = {
    "num_train_epochs",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_steps",
    "save_steps",
    "logging_steps",
}
_OF_AN_EVALUATION = {"eval_strategy", "eval_steps", "eval_on_start", "eval_delay"}
_NOT_NEGATIVE = {"learning_rate", "weight_decay", "warmup_steps", "max_grad_norm", "eval_delay"}


def known_arguments() -> list[str]:
    """The names that ``[arguments]`` may have."""
    return [name for name in _types() if name not in _DECIDED_ELSEWHERE]


def is_argument(name: str) -> bool:
    """Whether the trainer has it, if only to be refused with what to set instead."""
    return name in _types()


def check_arguments(path: Path, arguments: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for a name or a value that the trainer cannot use, and say which."""
    for name, value in arguments.items():
        if name in _DECIDED_ELSEWHERE:
            raise InvalidInputError(
                f"{path}: arguments.{name} is not for a recipe: {_DECIDED_ELSEWHERE[name]}"
            )
        if name not in _types():
            meant = SHORT.get(name)
            hint = did_you_mean(name, known_arguments()) if meant is None else f": write {meant!r}"
            raise InvalidInputError(f"{path}: unknown key 'arguments.{name}'{hint}")
        if problem := _problem(name, value):
            raise InvalidInputError(f"{path}: arguments.{name} is {value!r}: {problem}")


def training_arguments(
    recipe: Recipe, checkpoints: Path, device: str, precision: Precision, primary: str | None
) -> CrossEncoderTrainingArguments:
    """The trainer's arguments: those of the recipe, and what it leaves to us.

    ``primary`` is the metric that decides which checkpoint is the best.
    Raises InvalidInputError where the trainer refuses them.
    """
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    given = recipe.arguments
    watching = _OF_AN_EVALUATION & given.keys()
    if primary is None and watching:
        raise InvalidInputError(
            f"arguments.{min(watching)} is for a run that is measured: add [evaluation], or leave "
            "it out"
        )
    arguments: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "seed": recipe.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        "bf16": precision == "bfloat16",
        "fp16": precision == "float16",
        "num_train_epochs": 1,
        "save_strategy": "steps",
        "save_steps": EVALUATION_STEPS,
        "save_total_limit": 2,
        "logging_nan_inf_filter": False,
        # Every weight that is trained is used, and looking for others forbids our forward pass.
        "ddp_find_unused_parameters": False,
    }
    if primary is not None:
        strategy = given.get("eval_strategy", "steps")
        steps = given.get("eval_steps", EVALUATION_STEPS)
        arguments |= {
            "eval_strategy": strategy,
            "eval_steps": steps,
            "save_strategy": strategy,
            "save_steps": steps,
            "load_best_model_at_end": True,
            "metric_for_best_model": f"eval_{primary}",
            "greater_is_better": True,
            "restore_callback_states_from_checkpoint": True,
        }
    try:
        complete = CrossEncoderTrainingArguments(**(arguments | given))
        _try_optimizer(complete)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInputError(f"[arguments] cannot be used: {error}") from None
    return complete


def _try_optimizer(arguments: CrossEncoderTrainingArguments) -> None:
    """Raise ValueError or TypeError for numbers that an optimizer or scheduler cannot take."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.AdamW(
        [torch.zeros(1, requires_grad=True)],
        lr=arguments.learning_rate,
        betas=(arguments.adam_beta1, arguments.adam_beta2),
        eps=arguments.adam_epsilon,
    )
    options: Any = arguments.lr_scheduler_kwargs
    get_scheduler(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(_SOME_STEPS),
        num_training_steps=_SOME_STEPS,
        scheduler_specific_kwargs=options or {},
    )


def fit_to_rows(
    arguments: CrossEncoderTrainingArguments, given: Mapping[str, Any], rows: int
) -> None:
    """Log a short run's loss too, where the recipe (``given``) doesn't say how often.

    Raises InvalidInputError where so many rows make no step.
    """
    if arguments.dataloader_drop_last and rows < arguments.train_batch_size:
        raise InvalidInputError(
            f"{rows:,} rows of training data are fewer than a batch of "
            f"{arguments.train_batch_size:,}, and arguments.dataloader_drop_last drops what makes "
            "no whole batch: lower per_device_train_batch_size, or leave that out"
        )
    if "logging_steps" not in given:
        steps = passes_of(arguments, rows) * rows / _rows_of_a_step(arguments)
        arguments.logging_steps = max(1, min(50, int(steps / _LOGS)))


def passes_of(arguments: CrossEncoderTrainingArguments, rows: int) -> float:
    """How often a run goes over so many rows."""
    if arguments.max_steps > 0:
        return arguments.max_steps * _rows_of_a_step(arguments) / rows
    return arguments.num_train_epochs


def _rows_of_a_step(arguments: CrossEncoderTrainingArguments) -> int:
    """Rows that the weights are changed after, on all devices together."""
    on_a_device: int = arguments.train_batch_size * arguments.gradient_accumulation_steps
    return on_a_device * int(arguments.world_size)


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
