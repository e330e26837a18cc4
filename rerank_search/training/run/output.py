"""Checks of a run's folders: what may be in them, and what a run may replace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rerank_search.errors import InvalidInputError
from rerank_search.files import check_writable
from rerank_search.training.recipe.recipe import Recipe

WEIGHTS = "model.safetensors"
CARD = "README.md"
MADE_BY = "by `rerank-search train`"
"""Phrase in the card of each trained model, by which a run knows that it may replace it."""


def check_output(recipe: Recipe) -> None:
    """Raise InvalidInputError for an output that has other files or cannot be written."""
    output = recipe.output
    if not output.name:
        raise InvalidInputError(f"the output {output} has no name: give a folder below it")
    beside = (recipe.beside("data"), recipe.beside("checkpoints"), recipe.beside("evaluation"))
    for folder in (output, *beside):
        if folder.exists() and not folder.is_dir():
            raise InvalidInputError(
                f"{folder} is a file, but the run needs a folder there: move the file away, or "
                "choose another output"
            )
    for key, model in _named(recipe):
        if output.is_dir() and Path(model).is_dir() and output.samefile(model):
            raise InvalidInputError(
                f"the output {output} is the recipe's {key}, which the model would replace: "
                "choose another folder"
            )
    if output.is_dir() and any(output.iterdir()) and not is_trained_here(output):
        raise InvalidInputError(
            f"the output {output} contains files that no run has written, which the model would "
            "replace: choose another folder"
        )
    check_writable(output.parent)


def is_trained_here(directory: Path) -> bool:
    """Whether the model in ``directory`` has a card that a run wrote."""
    card = directory / CARD
    return card.is_file() and MADE_BY in card.read_text(encoding="utf-8", errors="replace")


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The models that the recipe begins with or learns from, with their keys."""
    yield "base", recipe.base
    if recipe.blend is not None:
        yield "blend.reranker", recipe.blend.reranker
    if recipe.negatives.false_negatives is not None:
        yield "false_negatives.reranker", recipe.negatives.false_negatives.reranker
    for teacher in () if recipe.soft_labels is None else recipe.soft_labels.rerankers:
        yield "soft_labels.rerankers", teacher.reranker
