"""Writes the directory of a trained model: weights, calibration, report, card, plots."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.corpora.definition import IndexSettings
from rerank_search.files import fsync_directory, fsync_tree
from rerank_search.judged.settings import RerankerSettings
from rerank_search.progress import Progress
from rerank_search.shown import counted
from rerank_search.training.model.base import WINDOW
from rerank_search.training.publish.card import write_card
from rerank_search.training.publish.card_facts import CardFacts
from rerank_search.training.publish.fitting import PLOT_FILE, Calibrated, calibrate
from rerank_search.training.publish.plots import training_plots
from rerank_search.training.publish.report import report_of, results_of
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.run.checkpoints import saving
from rerank_search.training.run.output import WEIGHTS
from rerank_search.training.run.prepare import Prepared

if TYPE_CHECKING:
    from rerank_search.training.model.precision import Precision
    from rerank_search.training.run.checkpoints import CheckpointedTrainer


def publish(prepared: Prepared, trainer: CheckpointedTrainer, progress: Progress) -> None:
    """Write the model beside its place, then swap it in, so no incomplete model is ever visible.

    Raises StorageFullError and what the evaluation raises.
    """
    recipe = prepared.recipe
    staged = recipe.output.with_name(recipe.output.name + ".tmp")
    with saving(recipe.output):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            _write(prepared, trainer, staged, progress)
            _swap(staged, recipe.output)
        except Exception:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    # This computes nothing again; the report gets the model's present path.
    report_of(prepared, recipe.output, progress)


def _write(
    prepared: Prepared, trainer: CheckpointedTrainer, directory: Path, progress: Progress
) -> None:
    recipe, model = prepared.recipe, prepared.base.model
    model.max_seq_length = prepared.base.reads(max(WINDOW, recipe.max_length))
    model.save_pretrained(str(directory))
    if recipe.weights == "float16":
        _halve(directory / WEIGHTS)
    # save_pretrained lets only the owner read the weights, whatever the umask.
    (directory / WEIGHTS).chmod((directory / "config.json").stat().st_mode)
    calibrated = _calibrated(recipe, directory, prepared.precision, progress)
    if calibrated is not None:
        calibrated.save(directory)
    report = report_of(prepared, directory, progress)
    facts = CardFacts(
        recipe=recipe,
        sets=prepared.sets,
        passes=trainer.state.epoch or 0.0,
        seconds=trainer.seconds,
        precision=prepared.precision,
        hardware=_hardware(model.device),
        results=list(results_of(report)) if report is not None else (),
        confidence=report.statistics.confidence if report is not None else 0.95,
        findings=prepared.findings,
        plots=training_plots(trainer.state.log_history, directory),
        calibration="" if calibrated is None else _in_words(calibrated),
    )
    write_card(directory, model, facts)


def _swap(staged: Path, output: Path) -> None:
    """Move the new model into its place, then remove the old one."""
    old = output.with_name(output.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    fsync_tree(staged)
    if output.exists():
        output.rename(old)
    staged.rename(output)
    fsync_directory(output.parent)
    shutil.rmtree(old, ignore_errors=True)


def _calibrated(
    recipe: Recipe, directory: Path, precision: Precision, progress: Progress
) -> Calibrated | None:
    if (settings := recipe.calibration) is None:
        return None
    return calibrate(
        RerankerSettings(model=str(directory), name=recipe.name, dtype=precision),
        settings.collections,
        candidates=settings.candidates,
        method=settings.method,
        fusion=settings.fusion,
        index=IndexSettings(encoder=settings.encoder),
        progress=progress,
    )


def _in_words(calibrated: Calibrated) -> str:
    """The card's section on the calibration."""
    found = calibrated.calibration
    fitted_on, held_out = found.fitted_on, found.held_out
    score = "logit" if calibrated.fusion is None else "fused score (`fusion.json`)"
    return (
        f"`calibration.json` turns the {score} into a probability of relevance. It was fitted on "
        f"{counted(fitted_on.documents, 'candidate')} of "
        f"{counted(fitted_on.queries, 'query', 'queries')} of {fitted_on.collection} "
        f"({fitted_on.split}), {fitted_on.relevant:.1%} of them relevant: the "
        f"{fitted_on.candidates} best of a {fitted_on.first_stage} first stage. On queries held "
        f"out in {held_out.folds} turns, the calibration error (ECE) is {held_out.after.ece:.4f} "
        f"(sigmoid of the score: {held_out.before.ece:.4f}), the Brier score "
        f"{held_out.after.brier:.4f} ({held_out.before.brier:.4f}). For other documents, "
        f"questions or numbers of candidates, calibrate again.\n\n![reliability]({PLOT_FILE})"
    )


def _hardware(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _halve(path: Path) -> None:
    """Store the weights in float16; the configuration keeps float32, to which they are loaded."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
