"""Trains a prepared model, from checkpoint to checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import CrossEncoder
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback

from rerank_search.errors import InvalidInputError
from rerank_search.models.loading import quietly
from rerank_search.models.registry import fingerprint
from rerank_search.progress import Progress
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.data.rows import rows
from rerank_search.training.data.training_sets import numbered_names
from rerank_search.training.model.blending import blend_weights
from rerank_search.training.model.loss_function import build_loss
from rerank_search.training.model.student import narrow
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.run.checkpoints import CheckpointedTrainer, claim, last_whole, only_run
from rerank_search.training.run.evaluator import DIVERGED
from rerank_search.training.run.prepare import Prepared
from rerank_search.training.run.step_report import StepReport


@contextmanager
def trained(prepared: Prepared, progress: Progress) -> Iterator[CheckpointedTrainer]:
    """Train the prepared model to the end; the trainer has the log, and the run stays locked.

    All processes train if there are several (see accelerate). Raises RunLockedError if another
    process trains into the same output, StorageFullError if a checkpoint cannot be written, and
    InvalidInputError for a training that diverges or checkpoints of another run.
    """
    recipe, arguments, model = prepared.recipe, prepared.arguments, prepared.base.model
    checkpoints = recipe.beside("checkpoints")
    with ExitStack() as stack:
        if prepared.leads:
            stack.enter_context(only_run(checkpoints))
        with arguments.main_process_first():
            claim(checkpoints, _made_with(prepared))
            checkpoint = last_whole(checkpoints)
        if recipe.student is not None and checkpoint is None:
            groups = [group for each in prepared.sets for group in each.groups]
            narrow(model, prepared.base.directory, groups, recipe.seed)
        trainer = _trainer(prepared)
        stack.enter_context(quietly())
        with ExitStack() as shown:
            if prepared.leads:
                trainer.add_callback(StepReport(progress, shown))
            trainer.run(checkpoints, checkpoint)
        _check_finite(model)
        if recipe.blend is not None:
            blend_weights(model, recipe.blend)
        yield trainer


def _trainer(prepared: Prepared) -> CheckpointedTrainer:
    recipe, model = prepared.recipe, prepared.base.model
    labels = [label for each in prepared.sets for group in each.groups for label in group.labels]
    patience = None if recipe.evaluation is None else recipe.evaluation.patience
    trainer = CheckpointedTrainer(
        by_length=recipe.by_length,
        model=model,
        args=prepared.arguments,
        train_dataset=_datasets(recipe, prepared.sets),
        loss=build_loss(recipe.loss, model, labels),
        evaluator=prepared.evaluator,
        callbacks=[] if patience is None else [EarlyStoppingCallback(patience)],
    )
    for theirs in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(theirs)
    return trainer


def _check_finite(model: CrossEncoder) -> None:
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise InvalidInputError(DIVERGED)


def _made_with(prepared: Prepared) -> dict[str, Any]:
    """Everything that decides the weights of a run; only the same run can be resumed."""
    recipe = prepared.recipe
    in_the_data = {"sources", "negatives", "soft_labels"}
    later = {"output", "name", "base", "blend", "calibration"}
    made_with = recipe.model_dump(exclude=later | in_the_data) | {
        "data": _digest(
            [place, group.query, group.documents, group.labels]
            for place, each in enumerate(prepared.sets)
            for group in each.groups
        ),
        "weights of the base": fingerprint(Path(prepared.base.directory)),
    }
    if prepared.evaluator is not None:
        made_with["data of the evaluation"] = _digest(prepared.evaluator.content())
    return made_with


def _digest(content: Iterable[Any]) -> str:
    """A hash of content that JSON can express, as 64 hex digits."""
    digest = hashlib.sha256()
    for each in content:
        digest.update(json.dumps(each).encode())
    return digest.hexdigest()


def _datasets(recipe: Recipe, sets: Sequence[TrainingSet]) -> dict[str, Dataset]:

    names = numbered_names(each.name for each in sets)
    columns: list[Any] = [rows(each, recipe.loss.name) for each in sets]
    return dict(zip(names, map(Dataset.from_dict, columns), strict=True))
