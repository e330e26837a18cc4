"""Fine-tunes a cross-encoder by recipe, with sentence-transformers' CrossEncoderTrainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.files import check_writable
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.findings import Finding
from rerank_search.judged.loading import load_collection
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.loading import quietly
from rerank_search.models.registry import fingerprint, resolve_encoder
from rerank_search.progress import Progress, quiet
from rerank_search.settings import Settings
from rerank_search.training.arguments import fit_to_rows, training_arguments
from rerank_search.training.base import Base, load_base
from rerank_search.training.checks import DIVERGED, check_training, without_leaks
from rerank_search.training.data import TrainingSet, load_pairs_set, load_samples_set, rows
from rerank_search.training.evaluation_sets import made_samples
from rerank_search.training.mining import mined_set
from rerank_search.training.model_card import is_trained_here
from rerank_search.training.recipe import Evaluation, EvaluationSet, Recipe, Source, load_recipe
from rerank_search.training.teachers import soft_labelled

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from rerank_search.training.evaluator import HarnessEvaluator
    from rerank_search.training.model import Precision

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to begin: all that can be wrong with a recipe or its data was looked for.

    ``rows`` are what the loss makes of all training data; ``findings`` are about all of these
    together, those of one set are in ``sets``.
    ``measured`` says where the evaluation's sets lie, and ``watched`` has them by name.
    """

    recipe: Recipe
    base: Base
    precision: Precision
    arguments: CrossEncoderTrainingArguments
    evaluator: HarnessEvaluator | None
    sets: Sequence[TrainingSet]
    rows: int
    findings: Sequence[Finding]
    measured: Sequence[CollectionSettings]
    watched: Mapping[str, JudgedCollection | LabelledPairs]

    @property
    def leads(self) -> bool:
        """Whether this process is the only one, or the first of several."""
        return bool(self.arguments.process_index == 0)

    @property
    def notes(self) -> list[str]:
        """Everything that was found in the data, each with the set that it was found in."""
        of_sets = [f"{each}: {found}" for each in self.sets for found in each.findings]
        of_watched = [
            f"{name}: {found}" for name, each in self.watched.items() for found in each.findings
        ]
        return [*of_sets, *map(str, self.findings), *of_watched]


def prepare(
    path: Path, *, overrides: Mapping[str, str] | None = None, progress: Progress = quiet
) -> Prepared:
    """Read a recipe, its base and its data, mine what is to be mined, and check all of it.

    Raises InvalidInputError for a recipe or data that cannot be used, ModelNotFoundError for a
    model that isn't there, and MissingDependencyError without the extra.
    """
    recipe = load_recipe(path, dict(overrides or {}))
    _require_packages(recipe)
    from rerank_search.training.blending import weights_for
    from rerank_search.training.calibration import check_judged
    from rerank_search.training.evaluator import HarnessEvaluator, primary_metric
    from rerank_search.training.judged_candidates import load_searched
    from rerank_search.training.losses import build_loss
    from rerank_search.training.model import best_precision
    from rerank_search.training.reliability import require_plots

    _check_output(recipe)
    # What can be said without the data is said before they are mined.
    base = load_base(recipe)
    recipe = recipe.model_copy(update={"max_length": base.model.max_seq_length})
    build_loss(recipe.loss, base.model, [])
    if recipe.blend is not None:
        weights_for(base.model.model, recipe.blend)
    for encoder in _encoders(recipe):
        resolve_encoder(encoder)
    calibrated_on = [load_searched(each) for each in calibration_collections(recipe)]
    if recipe.calibration is not None:
        check_judged(calibrated_on)
        require_plots()
    device = base.model.device
    precision: Precision = (
        best_precision(device) if recipe.precision == "auto" else recipe.precision
    )
    evaluation = recipe.evaluation
    arguments = training_arguments(
        recipe,
        beside(recipe.output, "checkpoints"),
        device.type,
        precision,
        None if evaluation is None else primary_metric(evaluation),
    )
    measured: list[CollectionSettings] = []
    with arguments.main_process_first():
        sets = [
            _loaded(recipe, source, file, progress)
            for source, file in zip(recipe.sources, _mined_files(recipe), strict=True)
        ]
        if evaluation is not None:
            measured += [_measured(recipe, evaluation, each, progress) for each in evaluation.sets]
        watched = {str(each.name): load_collection(each) for each in measured}
    evaluator = None if evaluation is None else HarnessEvaluator(watched, evaluation, precision)
    sets, leaked = without_leaks(sets, [*watched.values(), *calibrated_on], recipe.leaks)
    findings = [*leaked, *check_training(sets, recipe.loss)]
    total = sum(len(rows(each, recipe.loss.name)["query"]) for each in sets)
    fit_to_rows(arguments, recipe.arguments, total)
    return Prepared(
        recipe, base, precision, arguments, evaluator, sets, total, findings, measured, watched
    )


def train(
    path: Path, *, overrides: Mapping[str, str] | None = None, progress: Progress = quiet
) -> Path:
    """Run a recipe to the end and return the model's directory.

    The directory is one that sentence-transformers' CrossEncoder loads. A run that was
    interrupted goes on from its last checkpoint, and one that has ended is measured and written
    again. Raises what ``prepare`` raises before anything is trained, RunLockedError where another
    process trains into the same output, and StorageFullError where a checkpoint or the model
    cannot be written.
    """
    return fit(prepare(path, overrides=overrides, progress=progress), progress=progress)


def fit(prepared: Prepared, *, progress: Progress = quiet) -> Path:
    """Train what was prepared, measure it, and write the model's directory.

    The model of ``prepared`` is the one that is trained: a second run prepares again. Of several
    processes (see accelerate) each trains, and the first one writes.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback

    from rerank_search.training.blending import blend_weights
    from rerank_search.training.checkpoints import CheckpointedTrainer, claim, last_whole, only_run
    from rerank_search.training.losses import build_loss
    from rerank_search.training.publishing import publish
    from rerank_search.training.step_report import StepReport
    from rerank_search.training.student import narrow

    recipe, arguments, model = prepared.recipe, prepared.arguments, prepared.base.model
    checkpoints = beside(recipe.output, "checkpoints")
    labels = [label for each in prepared.sets for group in each.groups for label in group.labels]
    patience = None if recipe.evaluation is None else recipe.evaluation.patience
    with ExitStack() as stack:
        if prepared.leads:
            stack.enter_context(only_run(checkpoints))
        with arguments.main_process_first():
            claim(checkpoints, _made_with(prepared))
            checkpoint = last_whole(checkpoints)
        if recipe.student is not None and checkpoint is None:
            groups = [group for each in prepared.sets for group in each.groups]
            narrow(model, prepared.base.directory, groups, recipe.seed)
        trainer = CheckpointedTrainer(
            by_length=recipe.by_length,
            model=model,
            args=arguments,
            train_dataset=_datasets(recipe, prepared.sets),
            loss=build_loss(recipe.loss, model, labels),
            evaluator=prepared.evaluator,
            callbacks=[] if patience is None else [EarlyStoppingCallback(patience)],
        )
        for theirs in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(theirs)
        with quietly():
            with ExitStack() as shown:
                if prepared.leads:
                    trainer.add_callback(StepReport(progress, shown))
                trainer.run(checkpoints, checkpoint)
            _check_finite(model)
            if recipe.blend is not None:
                blend_weights(model.model, recipe.blend)
            if prepared.leads:
                publish(prepared, trainer, progress)
    return recipe.output


_BESIDE = ("data", "checkpoints", "evaluation")
"""What is next to the model."""


def beside(output: Path, what: str) -> Path:
    """The folder of the run's data, checkpoints or evaluation, next to the model's."""
    return output.with_name(f"{output.name}-{what}")


def calibration_collections(recipe: Recipe) -> list[CollectionSettings]:
    """What the finished model's scores are calibrated on, as the evaluation's settings."""
    sources = [] if recipe.calibration is None else recipe.calibration.sources
    return [
        CollectionSettings(
            path=source.collection,
            split=source.split,
            queries=source.queries,
            ignore_identical_ids=source.ignore_identical_ids,
        )
        for source in sources
    ]


def _check_output(recipe: Recipe) -> None:
    """Raise InvalidInputError for a place that has something else, or cannot be written."""
    output = recipe.output
    if not output.name:
        raise InvalidInputError(f"the output {output} has no name: name a folder below it")
    for folder in (output, *(beside(output, what) for what in _BESIDE)):
        if folder.exists() and not folder.is_dir():
            raise InvalidInputError(
                f"{folder} is a file, and would be a folder of the run: move it away, or name "
                "another output"
            )
    for key, model in _named(recipe):
        if output.is_dir() and Path(model).is_dir() and output.samefile(model):
            raise InvalidInputError(
                f"the output {output} is the recipe's {key}, which the model would replace: name "
                "another folder"
            )
    if output.is_dir() and any(output.iterdir()) and not is_trained_here(output):
        raise InvalidInputError(
            f"the output {output} is a folder that no run has written, which the model would "
            "replace: name another folder"
        )
    check_writable(output.parent)


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The models that the recipe begins with or learns from, with the keys that name them."""
    yield "base", recipe.base
    if recipe.blend is not None:
        yield "blend.reranker", recipe.blend.reranker
    if recipe.negatives.false_negatives is not None:
        yield "false_negatives.reranker", recipe.negatives.false_negatives.reranker
    for teacher in () if recipe.soft_labels is None else recipe.soft_labels.rerankers:
        yield "soft_labels.rerankers", teacher.reranker


def _encoders(recipe: Recipe) -> Iterator[str]:
    """The encoders that the run will need."""
    if any(source.is_searched for source in recipe.sources):
        yield recipe.negatives.encoder
    if recipe.evaluation is not None and any(each.sources for each in recipe.evaluation.sets):
        yield recipe.evaluation.encoder
    if recipe.calibration is not None:
        yield recipe.calibration.encoder


def _check_finite(model: CrossEncoder) -> None:
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise InvalidInputError(DIVERGED)


def _made_with(prepared: Prepared) -> dict[str, Any]:
    """All that a run's weights follow from, so that it goes on with the same."""
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
    """64 hex digits of what JSON can express."""
    digest = hashlib.sha256()
    for each in content:
        digest.update(json.dumps(each).encode())
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


def _mined_files(recipe: Recipe) -> list[Path]:
    """Where each source's mined negatives are kept."""
    folder = beside(recipe.output, "data") / "negatives"
    names = _distinct(f"{source.name}-{source.split}" for source in recipe.sources)
    return [folder / f"{name}.jsonl" for name in names]


def _distinct(names: Iterable[str]) -> list[str]:
    """The names, numbered where they come again."""
    taken: list[str] = []
    for name in names:
        numbered = (name if n == 1 else f"{name}-{n}" for n in count(1))
        taken.append(next(each for each in numbered if each not in taken))
    return taken


def _loaded(recipe: Recipe, source: Source, file: Path, progress: Progress) -> TrainingSet:
    if source.is_searched:
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
    load = load_pairs_set if source.pairs is not None else load_samples_set
    loaded = load(source, recipe.seed)
    if recipe.soft_labels is None:
        return loaded
    return soft_labelled(loaded, recipe.soft_labels, Settings().device, Settings().cache)


def _measured(
    recipe: Recipe, evaluation: Evaluation, each: EvaluationSet, progress: Progress
) -> CollectionSettings:
    """Where the harness finds an evaluation set."""
    if each.pairs is not None:
        split = each.split if each.pairs.is_dir() else None
        return CollectionSettings(path=each.pairs, name=each.name, split=split)
    if each.samples is not None:
        return CollectionSettings(path=each.samples, name=each.name)
    file = beside(recipe.output, "data") / "evaluation" / f"{each.name}.jsonl"
    made_samples(
        each,
        encoder=evaluation.encoder,
        seed=recipe.seed,
        file=file,
        cache=Settings().cache,
        progress=progress,
    )
    return CollectionSettings(path=file, name=each.name)


def _datasets(recipe: Recipe, sets: Sequence[TrainingSet]) -> dict[str, Dataset]:
    from datasets import Dataset

    names = _distinct(each.name for each in sets)
    columns: list[Any] = [rows(each, recipe.loss.name) for each in sets]
    return dict(zip(names, map(Dataset.from_dict, columns), strict=True))
