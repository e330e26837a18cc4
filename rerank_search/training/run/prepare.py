"""Prepares a run: reads and checks the recipe, the base and the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.compute import HERE, Compute
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.findings import Finding
from rerank_search.judged.loading import load_collection, load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.progress import Progress, quiet
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.training.data.checks import check_judged, check_training
from rerank_search.training.data.evaluation_sets import measured_on
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.data.leaks import without_leaks
from rerank_search.training.data.rows import rows
from rerank_search.training.data.training_sets import training_sets
from rerank_search.training.model.base import Base, load_base
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.run.arguments import fit_to_rows, training_arguments
from rerank_search.training.run.output import check_output
from rerank_search.training.run.packages import require_packages, require_plots

if TYPE_CHECKING:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from rerank_search.training.model.precision import Precision
    from rerank_search.training.run.evaluator import HarnessEvaluator


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked run.

    ``rows`` is the number of rows for the loss. ``findings`` are about all training data together;
    those about one set are in ``sets``. ``measured`` are the settings of the evaluation's sets, and
    ``watched`` has the sets by name.
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
        """All findings, each with the name of its set."""
        of_sets = [f"{each}: {found}" for each in self.sets for found in each.findings]
        of_watched = [
            f"{name}: {found}" for name, each in self.watched.items() for found in each.findings
        ]
        return [*of_sets, *map(str, self.findings), *of_watched]


def prepare(
    path: Path,
    *,
    overrides: Mapping[str, str] | None = None,
    progress: Progress = quiet,
    compute: Compute = HERE,
) -> Prepared:
    """Read a recipe, its base and its data, mine the negatives, and check all of it.

    ``compute`` says where documents are encoded and pairs scored for the mining.
    Everything that does not need the data is checked before anything is mined. Raises
    InvalidInputError for a recipe or data that cannot be used, ModelNotFoundError for a missing
    model, and MissingDependencyError without the extra "train".
    """
    recipe = load_recipe(path, dict(overrides or {}))
    require_packages(recipe)
    check_output(recipe)

    # Import late, because this loads torch: a mistake in the recipe is reported at once.
    from rerank_search.training.run.evaluator import HarnessEvaluator, primary_metric

    base = load_base(recipe)
    recipe = recipe.model_copy(update={"max_length": base.model.max_seq_length})
    _check_models(recipe, base)
    calibrated_on = _calibration_collections(recipe)
    precision = _precision(recipe, base)
    evaluation = recipe.evaluation
    arguments = training_arguments(
        recipe,
        recipe.beside("checkpoints"),
        base.model.device.type,
        precision,
        None if evaluation is None else primary_metric(evaluation),
        base.prompt,
    )

    measured: list[CollectionSettings] = []
    with arguments.main_process_first():
        sets = training_sets(recipe, progress, compute)
        if evaluation is not None:
            measured += [measured_on(recipe, each, progress) for each in evaluation.sets]
        watched = {str(each.name): load_collection(each) for each in measured}
    evaluator = None if evaluation is None else HarnessEvaluator(watched, evaluation, precision)

    sets, leaked = without_leaks(sets, [*watched.values(), *calibrated_on], recipe.leaks)
    findings = [*leaked, *check_training(sets, recipe.loss)]
    total = sum(len(rows(each, recipe.loss.name)["query"]) for each in sets)
    fit_to_rows(arguments, recipe.arguments, total)
    return Prepared(
        recipe, base, precision, arguments, evaluator, sets, total, findings, measured, watched
    )


def _check_models(recipe: Recipe, base: Base) -> None:
    """Raise for a loss that does not fit the base, and a model that is missing or unsuitable."""
    from rerank_search.training.model.blending import weights_for
    from rerank_search.training.model.loss_function import build_loss

    build_loss(recipe.loss, base.model, [])
    if recipe.blend is not None:
        weights_for(base.model, recipe.blend)
    for encoder in _encoders(recipe):
        encoder_of(encoder).check_found()


def _encoders(recipe: Recipe) -> Iterator[str]:
    """The encoders that the run will need."""
    if any(source.is_searched for source in recipe.sources):
        yield recipe.negatives.encoder
    if recipe.evaluation is not None and any(each.sources for each in recipe.evaluation.sets):
        yield recipe.evaluation.encoder
    if recipe.calibration is not None:
        yield recipe.calibration.encoder


def _calibration_collections(recipe: Recipe) -> list[JudgedCollection]:
    """The collections that the finished model is calibrated on, checked."""
    if recipe.calibration is None:
        return []
    loaded = [load_searched(each) for each in recipe.calibration.collections]
    check_judged(loaded)
    require_plots()
    return loaded


def _precision(recipe: Recipe, base: Base) -> Precision:
    from rerank_search.training.model.precision import best_precision

    return best_precision(base.model.device) if recipe.precision == "auto" else recipe.precision
