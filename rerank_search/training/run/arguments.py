"""The trainer's arguments: those of the recipe, completed with ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from rerank_search.training.model.precision import Precision
    from rerank_search.training.recipe.recipe import Recipe

EVALUATION_STEPS = 100

_LOGS = 20
"""Number of log lines of a short run; a long one logs every 50 steps."""

_SOME_STEPS = 100

_OF_AN_EVALUATION = {"eval_strategy", "eval_steps", "eval_on_start", "eval_delay"}


def training_arguments(
    recipe: Recipe,
    checkpoints: Path,
    device: str,
    precision: Precision,
    primary: str | None,
    prompt: str,
) -> CrossEncoderTrainingArguments:
    """The trainer's arguments: those of the recipe, and ours for the rest.

    ``primary`` is the metric that decides which checkpoint is the best. ``prompt`` is the one that
    the model reads by default, without which sentence-transformers would train it.
    Raises InvalidInputError if the trainer refuses them.
    """
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    given = recipe.arguments
    watching = _OF_AN_EVALUATION & given.keys()
    if primary is None and watching:
        raise InvalidInputError(
            f"arguments.{min(watching)} needs an evaluation: add [evaluation], or leave it out"
        )
    arguments: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "seed": recipe.seed,
        "prompts": prompt or None,
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
        # All trained weights are used, and searching for unused ones forbids our forward pass.
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
    """Raise ValueError or TypeError for numbers that an optimizer or scheduler cannot use."""
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
    """Log the loss of a short run too, if the recipe (``given``) does not set how often.

    Raises InvalidInputError if the rows are too few for one step.
    """
    if arguments.dataloader_drop_last and rows < arguments.train_batch_size:
        raise InvalidInputError(
            f"the training data have {rows:,} rows, fewer than a batch of "
            f"{arguments.train_batch_size:,}, and arguments.dataloader_drop_last drops incomplete "
            "batches: lower per_device_train_batch_size, or leave dataloader_drop_last out"
        )
    if "logging_steps" not in given:
        steps = passes_of(arguments, rows) * rows / _rows_of_a_step(arguments)
        arguments.logging_steps = max(1, min(50, int(steps / _LOGS)))


def passes_of(arguments: CrossEncoderTrainingArguments, rows: int) -> float:
    """Number of passes of a run over this number of rows."""
    if arguments.max_steps > 0:
        return arguments.max_steps * _rows_of_a_step(arguments) / rows
    return arguments.num_train_epochs


def _rows_of_a_step(arguments: CrossEncoderTrainingArguments) -> int:
    """Number of rows for each change of the weights, on all devices together."""
    on_a_device: int = arguments.train_batch_size * arguments.gradient_accumulation_steps
    return on_a_device * int(arguments.world_size)
