"""Trains a model with a recipe, measures it, and writes its directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rerank_search.compute import HERE, Compute
from rerank_search.progress import Progress, quiet
from rerank_search.training.run.prepare import Prepared, prepare


def train(
    path: Path,
    *,
    overrides: Mapping[str, str] | None = None,
    progress: Progress = quiet,
    compute: Compute = HERE,
) -> Path:
    """Run a recipe to the end and return the model's directory.

    sentence-transformers' CrossEncoder loads the directory too. An interrupted run is resumed from
    its last checkpoint, and a finished one is measured and written again. ``compute`` as in
    ``prepare``. Raises what ``prepare`` and ``fit`` raise.
    """
    prepared = prepare(path, overrides=overrides, progress=progress, compute=compute)
    return fit(prepared, progress=progress)


def fit(prepared: Prepared, *, progress: Progress = quiet) -> Path:
    """Train the prepared model, measure it, write its directory, and return the path.

    This changes the model in ``prepared``: prepare again for a second run. If there are several
    processes (see accelerate), all train and the first one writes. Raises RunLockedError if another
    process trains into the same output, and StorageFullError if a checkpoint or the model cannot be
    written.
    """
    # Import late: transformers' trainer needs the packages that ``prepare`` has checked for.
    from rerank_search.training.publish.model_directory import publish
    from rerank_search.training.run.trainer import trained

    with trained(prepared, progress) as trainer:
        if prepared.leads:
            publish(prepared, trainer, progress)
    return prepared.recipe.output
