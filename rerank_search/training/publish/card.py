"""The model card: data, training, results and licences of a model.

It is the card of sentence-transformers (usage, statistics of the data, loss, hyperparameters,
log, versions, citation) with sections of this package before "Training Details".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.files import atomic_write_bytes
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.training.publish.card_facts import CardFacts, Result
from rerank_search.training.publish.card_sections import in_words, is_a_folder, sections
from rerank_search.training.publish.licences import unquotable
from rerank_search.training.run.output import CARD

if TYPE_CHECKING:
    from huggingface_hub import EvalResult
    from sentence_transformers import CrossEncoder

    from rerank_search.training.data.groups import TrainingSet

_EXAMPLES = 5

_EXAMPLE_CHARACTERS = 300

_PLACE = "\n## Training Details\n"


def write_card(directory: Path, model: CrossEncoder, card: CardFacts) -> None:
    """Write ``README.md`` of the ``model`` that is saved in ``directory``.

    The network is not used. The card has no path of this machine, and texts of the training data
    only if the licence of every source is known to allow it. ``model``'s own card data are changed.
    """
    from huggingface_hub import ModelCard
    from sentence_transformers.base.model_card import generate_model_card

    _prepare(model.model_card_data, card)
    whole = ModelCard(generate_model_card(model))
    metadata: Any = whole.data
    if card.results:
        metadata.model_name = card.recipe.name
        metadata.metrics = list(dict.fromkeys(row.measure.lower() for row in card.results))
        metadata.eval_results = list(map(_indexed, card.results))
    # Users load the model as a CrossEncoder, whatever its class in training.
    text = whole.text.replace(f"{type(model).__name__}(", "CrossEncoder(")
    before, heading, after = text.partition(_PLACE)
    whole.text = f"{before}\n{sections(card)}{heading}{after}"
    atomic_write_bytes(directory / CARD, str(whole).encode())


def _prepare(data: Any, card: CardFacts) -> None:
    """Keep of sentence-transformers' card data what may be published and covers the whole run."""
    recipe = card.recipe
    data.local_files_only = True
    data.model_name = recipe.name
    data.base_model = recipe.base if _is_on_a_hub(recipe.base) else None
    for name in ("all_hyperparameters", "non_default_hyperparameters"):
        values = getattr(data, name)
        setattr(data, name, {key: _without_folder(value) for key, value in values.items()})
    # These figures are of checkpoints on a part of the queries; the sections have the model's.
    data.eval_results_dict = {}
    # This would be measured until now, not until the last step.
    data._training_start_time = None
    quoted = not unquotable(card.sets)
    data.usage_examples = _examples(card.sets) if quoted else None
    for dataset in [*([] if quoted else data.train_datasets), *data.eval_datasets]:
        for key in ("examples", "examples_table"):
            dataset.pop(key, None)


def _examples(sets: Sequence[TrainingSet]) -> list[list[str]] | None:
    """The first query of the training data with some of its documents; None without any."""
    group = next((group for each in sets for group in each.groups), None)
    if group is None:
        return None
    cut = _EXAMPLE_CHARACTERS
    return [[group.query[:cut], document[:cut]] for document in group.documents[:_EXAMPLES]]


def _indexed(row: Result) -> EvalResult:
    """The figure in the form of the card's metadata."""
    from huggingface_hub import EvalResult

    task = "Binary Classification" if row.protocol == "pairs" else "Reranking"
    shown = row.measure.replace("_", " ")
    in_protocol = row.protocol in ("retrieved", "all_positives")
    return EvalResult(
        task_type=f"cross-encoder-{task.lower().replace(' ', '-')}",
        task_name=f"Cross Encoder {task}",
        dataset_type=re.sub(r"\W+", "_", row.name),
        dataset_name=row.name,
        metric_type=row.measure.lower(),
        metric_name=f"{shown} ({in_words(row.protocol)})" if in_protocol else shown,
        metric_value=float(row.value),
    )


def _is_on_a_hub(model: str) -> bool:
    return not (is_a_folder(model) or model in BUNDLED_RERANKERS)


def _without_folder(value: Any) -> Any:
    """The hyperparameter; a path of this machine is cut to its last part."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
