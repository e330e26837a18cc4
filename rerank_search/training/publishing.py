"""From a finished run to the model's directory: weights, fusion, report, card, plots."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment, RerankerSettings
from rerank_search.evaluation.progress import Progress
from rerank_search.evaluation.report.schema import Report, SystemReport
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.training.checkpoints import saving
from rerank_search.training.fusion import fit_fusion
from rerank_search.training.model_card import CardFacts, Result, write_card
from rerank_search.training.plots import training_plots
from rerank_search.training.trainer import Prepared, base_directory, beside, is_reranker

if TYPE_CHECKING:
    from rerank_search.training.model import Precision

UNTUNED = "untuned"
"""What the base model is called in reports."""

_WINDOW = 512
"""Tokens of a pair that the finished model reads, whatever it was trained on."""


def publish(
    prepared: Prepared, trainer: Any, precision: Precision, seconds: float, progress: Progress
) -> None:
    """Write the model beside its place, then swap it in, so that no half model is ever seen.

    ``seconds`` is what training took. Raises StorageFullError and what the evaluation raises.
    """
    recipe, model = prepared.recipe, trainer.model
    directory = recipe.output.with_name(recipe.output.name + ".tmp")
    with saving(recipe.output):
        shutil.rmtree(directory, ignore_errors=True)
        model.max_seq_length = min(_WINDOW, model.config.max_position_embeddings)
        model.save_pretrained(str(directory), create_model_card=False)
        if recipe.weights == "float16":
            _halve(directory / "model.safetensors")
        if recipe.fusion is not None:
            reranker = CrossEncoderReranker(directory, dtype=precision)
            fit_fusion(reranker, recipe.fusion, seed=recipe.seed).save(directory)
        report = _report(prepared, directory, precision, progress)
        facts = CardFacts(
            recipe=recipe,
            sets=prepared.sets,
            passes=trainer.state.epoch or 0.0,
            seconds=seconds,
            precision=precision,
            hardware=_hardware(model.device),
            results=list(_results(report)) if report is not None else (),
            confidence=report.statistics.confidence if report is not None else 0.95,
            findings=prepared.findings,
            plots=training_plots(trainer.state.log_history, directory),
        )
        write_card(directory, model, facts)
        shutil.rmtree(recipe.output, ignore_errors=True)
        directory.rename(recipe.output)


def _report(
    prepared: Prepared, directory: Path, precision: Precision, progress: Progress
) -> Report | None:
    """The harness's report of the trained model and of its base, on all of each set."""
    recipe = prepared.recipe
    if recipe.evaluation is None:
        return None
    base = Path(base_directory(recipe.base))
    names = {recipe.name: directory}
    if is_reranker(json.loads((base / "config.json").read_text(encoding="utf-8"))):
        names = {UNTUNED: base, **names}
    experiment = Experiment(
        name=recipe.name,
        collections=list(prepared.measured),
        rerankers=[
            RerankerSettings(model=str(model), name=name, dtype=precision, fusion=False)
            for name, model in names.items()
        ],
        index=IndexSettings(encoder=False),
        cost_queries=0,
    )
    return evaluate(experiment, beside(recipe.output, "evaluation"), progress=progress)


def _results(report: Report) -> Iterator[Result]:
    """The figures of the trained model, with those of its first stage and of its base."""
    bases = {system.key: system for system in report.systems if system.reranker == UNTUNED}
    for system in report.systems:
        if system.reranker not in (None, UNTUNED):
            yield from _of_system(system, bases.get(system.key))
    untuned = {pairs.collection: pairs for pairs in report.pairs if pairs.reranker == UNTUNED}
    for pairs in report.pairs:
        if pairs.reranker == UNTUNED:
            continue
        base = untuned.get(pairs.collection)
        for measure, value in pairs.values.items():
            before = None if base is None else base.values[measure]
            yield Result(pairs.collection, "pairs", measure, value, base=before)


def _of_system(system: SystemReport, base: SystemReport | None) -> Iterator[Result]:
    for protocol in ("retrieved", "all_positives", "sbert"):
        for measure, value in system.protocols.get(protocol, {}).items():
            low, high = system.intervals.get(protocol, {}).get(measure, (None, None))
            yield Result(
                name=system.collection,
                protocol=protocol,
                measure=measure,
                value=value,
                low=low,
                high=high,
                first_stage=system.protocols["first_stage"].get(measure),
                base=None if base is None else base.protocols[protocol].get(measure),
            )


def _hardware(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _halve(path: Path) -> None:
    """Store the weights in float16; the configuration keeps float32, which loading restores."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
