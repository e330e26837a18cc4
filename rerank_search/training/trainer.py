"""Fine-tunes a cross-encoder by recipe, with sentence-transformers' CrossEncoderTrainer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, MissingDependencyError, ModelNotFoundError
from rerank_search.evaluation.collection import Collection as Judged
from rerank_search.evaluation.collection import Finding, LabelledPairs
from rerank_search.evaluation.experiment import CollectionSettings
from rerank_search.evaluation.loading import load_collection
from rerank_search.evaluation.progress import Progress, quiet
from rerank_search.models.loading import quietly
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_encoder, resolve_reranker
from rerank_search.reranking.torch_model import keep_last_layer_exact
from rerank_search.settings import Settings
from rerank_search.training.checks import check_training, without_leaks
from rerank_search.training.data import TrainingSet, load_pairs_set, load_samples_set, rows
from rerank_search.training.evaluation_sets import made_samples
from rerank_search.training.mining import mined_set
from rerank_search.training.recipe import Evaluation, EvaluationSet, Recipe, Source, load_recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

    from rerank_search.training.model import Precision

EVALUATION_STEPS = 100

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to begin: the data, checked, and what it is measured on, by name."""

    recipe: Recipe
    sets: Sequence[TrainingSet]
    findings: Sequence[Finding]
    measured: Sequence[CollectionSettings]
    watched: Mapping[str, Judged | LabelledPairs]


def prepare(
    path: Path, *, overrides: Mapping[str, str] | None = None, progress: Progress = quiet
) -> Prepared:
    """Read a recipe and its data, mine what is to be mined, and check all of it.

    Raises InvalidInputError for a recipe or data that cannot be used, ModelNotFoundError for a
    model that isn't there, and MissingDependencyError without the extra.
    """
    recipe = load_recipe(path, dict(overrides or {}))
    _require_packages(recipe)
    base_directory(recipe.base)  # a model that is missing is missed now, not after the mining
    _check_output(recipe.output)
    data = beside(recipe.output, "data")
    sets = [_loaded(recipe, source, data, progress) for source in recipe.sources]
    measured: list[CollectionSettings] = []
    watched: dict[str, Judged | LabelledPairs] = {}
    if (evaluation := recipe.evaluation) is not None:
        for each in evaluation.sets:
            measured.append(_measured(recipe, evaluation, each, data, progress))
            watched[each.name] = load_collection(measured[-1])
    held_back = [*watched.values(), *map(load_collection, calibration_collections(recipe))]
    sets, leaked = without_leaks(sets, held_back, recipe.leaks)
    findings = [*leaked, *check_training(sets, recipe.loss)]
    return Prepared(recipe, sets, findings, measured, watched)


def train(
    path: Path, *, overrides: Mapping[str, str] | None = None, progress: Progress = quiet
) -> Path:
    """Run a recipe to the end and return the model's directory.

    The directory is one that sentence-transformers' CrossEncoder loads. A run that was
    interrupted goes on from its last checkpoint. Raises what ``prepare`` raises before anything
    is trained, and StorageFullError where a checkpoint or the model cannot be written.
    """
    return fit(prepare(path, overrides=overrides, progress=progress), progress=progress)


def fit(prepared: Prepared, *, progress: Progress = quiet) -> Path:
    """Train what was prepared, measure it, and write the model's directory."""
    from transformers import PrinterCallback, ProgressCallback

    from rerank_search.training.checkpoints import CheckpointedTrainer, claim, last_whole
    from rerank_search.training.losses import build_loss
    from rerank_search.training.model import best_precision
    from rerank_search.training.publishing import publish
    from rerank_search.training.step_report import StepReport

    recipe = prepared.recipe
    model = load_base(recipe)
    precision: Precision = (
        best_precision(model.device) if recipe.precision == "auto" else recipe.precision
    )
    checkpoints = beside(recipe.output, "checkpoints")
    evaluator, callbacks, primary = _watching(prepared, precision)
    arguments = _arguments(recipe, checkpoints, model.device.type, precision, primary)
    labels = [label for each in prepared.sets for group in each.groups for label in group.labels]
    trainer = CheckpointedTrainer(
        model=model,
        args=arguments,
        train_dataset=_datasets(recipe, prepared.sets),
        loss=build_loss(recipe.loss, model, labels),
        evaluator=evaluator,
        callbacks=callbacks,
    )
    declared = json.loads(recipe.model_dump_json(exclude={"output", "name"}))
    claim(checkpoints, declared | {"data": _digest(prepared.sets)})
    started = time.monotonic()
    checkpoint = last_whole(checkpoints)
    for theirs in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(theirs)
    with quietly():
        with ExitStack() as shown:
            trainer.add_callback(StepReport(progress, shown))
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds = time.monotonic() - started
        _check_finite(model)
        publish(prepared, trainer, precision, seconds, progress)
    return recipe.output


def load_base(recipe: Recipe) -> CrossEncoder:
    """The model to be trained, on the device of the settings.

    Raises ModelNotFoundError, and InvalidInputError for a classifier with several labels.
    """
    import torch
    from sentence_transformers.cross_encoder.model_card import CrossEncoderModelCardData

    from rerank_search.training.bert_attention import can_simplify, simplify_attention
    from rerank_search.training.model import LengthSortedCrossEncoder
    from rerank_search.training.student import make_student

    directory = base_directory(recipe.base)
    if recipe.student is not None:
        folder = beside(recipe.output, "data") / "student"
        directory = make_student(directory, recipe.student, recipe.seed, folder)
    torch.manual_seed(recipe.seed)
    with quietly():
        model: CrossEncoder = LengthSortedCrossEncoder(
            directory,
            num_labels=1,
            max_length=recipe.max_length,
            device=Settings().device,
            local_files_only=True,
            model_card_data=CrossEncoderModelCardData(local_files_only=True),
            model_kwargs={"attn_implementation": "sdpa"},
            config_kwargs={
                "hidden_dropout_prob": recipe.dropout,
                "attention_probs_dropout_prob": recipe.dropout,
            },
        )
    model.float()
    if can_simplify(model.model):
        simplify_attention(model.model)
    keep_last_layer_exact(recipe.base, model.model, 1)
    if not recipe.train_embeddings and model.model is not None:
        model.model.get_input_embeddings().requires_grad_(False)
    return model


def base_directory(base: str) -> str:
    """Where the base lies: a reranker, or an encoder that will get a new head.

    Raises ModelNotFoundError where it isn't there, InvalidInputError for several labels.
    """
    resolve = resolve_reranker if base in BUNDLED_RERANKERS else resolve_encoder
    directory = resolve(base)
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise ModelNotFoundError(f"the base {base!r} has no config.json in {directory}")
    config = json.loads(path.read_text(encoding="utf-8"))
    labels = len(config.get("id2label", [0]))
    if is_reranker(config) and labels != 1:
        raise InvalidInputError(
            f"the base {base!r} is a classifier with {labels} labels, and a reranker has one: "
            "name a cross-encoder with one label, or an encoder"
        )
    return directory


def beside(output: Path, what: str) -> Path:
    """The folder of the run's data, checkpoints or evaluation, next to the model's."""
    return output.with_name(f"{output.name}-{what}")


def calibration_collections(recipe: Recipe) -> list[CollectionSettings]:
    """What the finished model's scores are calibrated on, as the evaluation's settings."""
    sources = [] if recipe.calibration is None else recipe.calibration.sources
    return [
        CollectionSettings(path=source.collection, split=source.split, queries=source.queries)
        for source in sources
    ]


def is_reranker(config: Mapping[str, Any]) -> bool:
    """Whether a model's configuration is that of a model that scores pairs already."""
    architectures = config.get("architectures") or [""]
    return str(architectures[0]).endswith("ForSequenceClassification")


def _check_output(output: Path) -> None:
    """Raise InvalidInputError for a place whose content is not a model, and would be lost."""
    if output.is_dir() and any(output.iterdir()) and not (output / WEIGHTS).is_file():
        raise InvalidInputError(
            f"the output {output} is a folder with other things than a model, which the model "
            "would replace: name another folder"
        )
    if output.exists() and not output.is_dir():
        raise InvalidInputError(f"the output {output} is a file: name a folder")


def _check_finite(model: CrossEncoder) -> None:
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise InvalidInputError(
            "the training has diverged: the weights are not finite, and no model was written; "
            "lower learning_rate, and remove the run's checkpoints"
        )


def _digest(sets: Sequence[TrainingSet]) -> str:
    """64 hex digits of all that is trained on."""
    digest = hashlib.sha256()
    for each in sets:
        for group in each.groups:
            line = json.dumps([each.name, group.query, group.documents, group.labels])
            digest.update(line.encode())
    return digest.hexdigest()


def _require_packages(recipe: Recipe) -> None:
    try:
        import accelerate  # type: ignore[import-untyped]  # noqa: F401
        import datasets  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "training needs more packages: pip install 'rerank-search[train,eval]'"
        ) from None
    # Refused by the trainer too, but only once the data are mined and the base is loaded.
    from transformers.integrations import (  # type: ignore[attr-defined]
        get_reporting_integration_callbacks as integrations,
    )

    try:
        named = recipe.arguments.get("report_to")
        for integration in integrations(named):  # type: ignore[no-untyped-call]
            integration()
    except ValueError as error:
        raise InvalidInputError(f"[arguments] report_to cannot be used: {error}") from None
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(
            f"[arguments] report_to names a package that isn't there ({error}); TensorBoard comes "
            "with pip install 'rerank-search[tensorboard]'"
        ) from None


def _loaded(recipe: Recipe, source: Source, data: Path, progress: Progress) -> TrainingSet:
    if source.pairs is not None:
        return load_pairs_set(source, recipe.seed)
    if source.samples is not None:
        return load_samples_set(source, recipe.seed)
    file = data / f"{source.name}-{source.split}.jsonl"
    return mined_set(
        source,
        recipe.negatives,
        recipe.soft_labels,
        seed=recipe.seed,
        file=file,
        cache=Settings().cache,
        device=Settings().device,
        progress=progress,
    )


def _measured(
    recipe: Recipe, evaluation: Evaluation, each: EvaluationSet, data: Path, progress: Progress
) -> CollectionSettings:
    """Where the harness finds an evaluation set."""
    if each.pairs is not None:
        split = each.split if each.pairs.is_dir() else None
        return CollectionSettings(path=each.pairs, name=each.name, split=split)
    if each.samples is not None:
        return CollectionSettings(path=each.samples, name=each.name)
    file = data / f"{each.name}.jsonl"
    made_samples(
        each,
        encoder=evaluation.encoder,
        seed=recipe.seed,
        file=file,
        cache=Settings().cache,
        progress=progress,
    )
    return CollectionSettings(path=file, name=each.name)


def _watching(prepared: Prepared, precision: Precision) -> tuple[Any, list[Any], str | None]:
    """The evaluator, the callback that may end the run early, and the metric that decides."""
    settings = prepared.recipe.evaluation
    if settings is None:
        return None, [], None
    from transformers import EarlyStoppingCallback

    from rerank_search.training.evaluator import HarnessEvaluator

    evaluator = HarnessEvaluator(prepared.watched, settings, precision)
    callbacks = [] if settings.patience is None else [EarlyStoppingCallback(settings.patience)]
    return evaluator, callbacks, f"eval_{evaluator.primary_metric}"


def _datasets(recipe: Recipe, sets: Sequence[TrainingSet]) -> dict[str, Dataset]:
    from datasets import Dataset

    data: dict[str, Dataset] = {}
    for each in sets:
        columns: Any = rows(each, recipe.loss.name)
        data[each.name if each.name not in data else f"{each.name}-{len(data)}"] = (
            Dataset.from_dict(columns)
        )
    return data


def _arguments(
    recipe: Recipe, checkpoints: Path, device: str, precision: Precision, primary: str | None
) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    given = recipe.arguments
    defaults: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "seed": recipe.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        "bf16": precision == "bfloat16",
        "fp16": precision == "float16",
        "num_train_epochs": 1,
        "logging_steps": 50,
        "save_strategy": "steps",
        "save_steps": EVALUATION_STEPS,
        "save_total_limit": 2,
    }
    if primary is not None:
        steps = given.get("eval_steps", EVALUATION_STEPS)
        defaults |= {
            "eval_strategy": "steps",
            "eval_steps": steps,
            "save_steps": steps,
            "load_best_model_at_end": True,
            "metric_for_best_model": primary,
            "greater_is_better": True,
        }
    try:
        return CrossEncoderTrainingArguments(**(defaults | given))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"[arguments] cannot be used: {error}") from None
