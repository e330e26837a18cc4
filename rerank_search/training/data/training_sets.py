"""The training sets of a recipe: read or mined, and labelled."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from rerank_search.compute import HERE, Compute
from rerank_search.progress import Progress
from rerank_search.settings import Settings
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.data.mining import mined_set
from rerank_search.training.data.pairs import load_pairs_set
from rerank_search.training.data.samples import load_samples_set
from rerank_search.training.data.soft_labels import soft_labelled
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.recipe.sources import Source


def training_sets(recipe: Recipe, progress: Progress, compute: Compute = HERE) -> list[TrainingSet]:
    """The set of each source, in their order. Raises what reading and mining them raises."""
    folder = recipe.beside("data") / "negatives"
    names = numbered_names(f"{source.name}-{source.split}" for source in recipe.sources)
    return [
        _training_set(recipe, source, folder / f"{name}.jsonl", progress, compute)
        for source, name in zip(recipe.sources, names, strict=True)
    ]


def numbered_names(names: Iterable[str]) -> list[str]:
    """The names, with a number after each repeated one."""
    taken: list[str] = []
    for name in names:
        numbered = (name if n == 1 else f"{name}-{n}" for n in count(1))
        taken.append(next(each for each in numbered if each not in taken))
    return taken


def _training_set(
    recipe: Recipe, source: Source, mined_file: Path, progress: Progress, compute: Compute
) -> TrainingSet:
    if source.is_searched:
        return mined_set(
            source,
            recipe.negatives,
            recipe.soft_labels,
            seed=recipe.seed,
            file=mined_file,
            cache=Settings().cache,
            device=Settings().device,
            progress=progress,
            compute=compute,
        )
    load = load_pairs_set if source.pairs is not None else load_samples_set
    loaded = load(source, recipe.seed)
    if recipe.soft_labels is None:
        return loaded
    settings = Settings()
    return soft_labelled(loaded, recipe.soft_labels, settings.device, settings.cache, compute)
