"""The model card: what a model was trained on, how, what it is worth, and under which licences.

It is the card of sentence-transformers (usage, statistics of the data, loss, hyperparameters,
log, versions, citation) with sections of this package before "Training Details".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rerank_search.files import atomic_write_bytes
from rerank_search.judged.findings import Finding
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.training.recipe import Blend, Negatives, Recipe, SoftLabels

if TYPE_CHECKING:
    from huggingface_hub import EvalResult
    from sentence_transformers import CrossEncoder

    from rerank_search.training.data import TrainingSet

MeasuredBy: TypeAlias = Literal["retrieved", "all_positives", "sbert", "pairs"]
"""A protocol of the evaluation; "pairs" is the classification of labelled pairs."""

_MEANING: Mapping[MeasuredBy, str] = {
    "retrieved": "the candidates of a first stage are reranked: what a user sees. A positive that "
    "was not retrieved counts as missed.",
    "all_positives": "the same candidates and the positives that were not retrieved are reranked: "
    "what the reranker is worth by itself. It is no result of a search.",
    "sbert": "the figures of sentence-transformers' `CrossEncoderRerankingEvaluator`.",
    "pairs": "labelled pairs are told apart by their score.",
}

_MAY_BE_QUOTED = re.compile(
    r"(cc0|cc-by(-sa|-nc|-nc-sa|-nd|-nc-nd)?|mit|apache(-license)?|bsd(-[234]-clause)?"
    r"|public-domain)(-v?\d(\.\d)?)?(-universal)?(-licen[cs]e)?"
)
_CARD = "README.md"
_MADE_BY = "by `rerank-search train`"
_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 300
_PLACE = "\n## Training Details\n"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of the finished model: ``measure`` on the evaluation set ``name``.

    ``low`` and ``high`` are its confidence interval, ``first_stage`` is the figure of the
    candidates before reranking, and ``base`` that of the base model in the same protocol; None
    where there is none.
    """

    name: str
    protocol: MeasuredBy
    measure: str
    value: float
    low: float | None = None
    high: float | None = None
    first_stage: float | None = None
    base: float | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says beyond what sentence-transformers' trainer has noted in the model.

    ``passes`` is how often the run went through all data, ``seconds`` what training took.
    ``results`` are of the logits, without a fusion; ``confidence`` is that of their intervals.
    ``findings`` are about all data together; those of one set are in ``sets``. ``plots`` are
    pictures in the model's directory. ``calibration`` says in a sentence or two on what a
    calibration was fitted and how well it holds; empty without one.
    """

    recipe: Recipe
    sets: Sequence[TrainingSet]
    passes: float
    seconds: float
    precision: str
    hardware: str
    results: Sequence[Result] = ()
    confidence: float = 0.95
    findings: Sequence[Finding] = ()
    plots: Sequence[str] = ()
    calibration: str = ""


def is_trained_here(directory: Path) -> bool:
    """Whether the model in ``directory`` has a card that ``write_card`` wrote."""
    card = directory / _CARD
    return card.is_file() and _MADE_BY in card.read_text(encoding="utf-8", errors="replace")


def write_card(directory: Path, model: CrossEncoder, card: CardFacts) -> None:
    """Write ``README.md`` of the ``model`` that is saved in ``directory``.

    Nothing is looked up on a network. The card has no path of this machine, and texts of the
    training data only where the licence of every source is known to allow it; ``model``'s own
    card data are changed to that end.
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
    # The model is loaded as a CrossEncoder, whatever it was while it was trained.
    text = whole.text.replace(f"{type(model).__name__}(", "CrossEncoder(")
    before, heading, after = text.partition(_PLACE)
    whole.text = f"{before}\n{_sections(card)}{heading}{after}"
    atomic_write_bytes(directory / _CARD, str(whole).encode())


def may_be_quoted(licence: str) -> bool:
    """Whether texts under ``licence``, as a recipe states it, are known to be free to repeat."""
    return bool(_MAY_BE_QUOTED.fullmatch(re.sub(r"[\s_-]+", "-", licence.strip().lower())))


def _prepare(data: Any, card: CardFacts) -> None:
    """Leave in sentence-transformers' card data what may be said, and is true of the whole run."""
    recipe = card.recipe
    data.local_files_only = True
    data.model_name = recipe.name
    data.base_model = recipe.base if _is_on_a_hub(recipe.base) else None
    for name in ("all_hyperparameters", "non_default_hyperparameters"):
        values = getattr(data, name)
        setattr(data, name, {key: _without_folder(value) for key, value in values.items()})
    # Figures of checkpoints, on a part of the queries: the sections have those of the model.
    data.eval_results_dict = {}
    # Measured until now, whatever was done since the last step.
    data._training_start_time = None
    quoted = not _unquotable(card.sets)
    data.usage_examples = _examples(card.sets) if quoted else None
    for dataset in [*([] if quoted else data.train_datasets), *data.eval_datasets]:
        for key in ("examples", "examples_table"):
            dataset.pop(key, None)


def _unquotable(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    return [each for each in sets if not may_be_quoted(each.licence)]


def _examples(sets: Sequence[TrainingSet]) -> list[list[str]] | None:
    """The first query of the training data with some of its documents; None without any."""
    group = next((group for each in sets for group in each.groups), None)
    if group is None:
        return None
    cut = _EXAMPLE_CHARACTERS
    return [[group.query[:cut], document[:cut]] for document in group.documents[:_EXAMPLES]]


def _indexed(row: Result) -> EvalResult:
    """The figure as the metadata have it."""
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
        metric_name=f"{shown} ({_words(row.protocol)})" if in_protocol else shown,
        metric_value=float(row.value),
    )


def _sections(card: CardFacts) -> str:
    sections = {
        "Results": _results(card),
        "Run": _run(card),
        "Data": _data(card),
        "Calibration": card.calibration,
        "Limits": _list(_limits(card)),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text) + "\n"


def _results(card: CardFacts) -> str:
    if not card.results:
        return "The recipe has no evaluation: what this model is worth was not measured."
    meanings = [
        f"`{_words(protocol)}`: {_MEANING[protocol]}"
        for protocol in dict.fromkeys(row.protocol for row in card.results)
    ]
    columns = ["set", "protocol", "measure", "first stage", "base model", "this model"]
    rows = [
        [row.name, _words(row.protocol), row.measure.replace("_", " ")]
        + [_figure(value) for value in (row.first_stage, row.base, row.value)]
        + [_interval(row)]
        for row in card.results
    ]
    return (
        f"Measured after training with the evaluation of rerank-search.\n\n{_list(meanings)}\n\n"
        f"{_table([*columns, f'{card.confidence:.0%} interval'], rows, left=3)}\n\n"
        f"Intervals are bootstrapped over {_of_what(card.results)}."
    )


def _of_what(results: Sequence[Result]) -> str:
    protocols = {row.protocol for row in results}
    if protocols == {"pairs"}:
        return "pairs"
    queries = "queries; first stage: the candidates before reranking"
    return f"pairs and {queries}" if "pairs" in protocols else queries


def _run(card: CardFacts) -> str:
    recipe = card.recipe
    options = ", ".join(f"{name} = {value}" for name, value in recipe.loss.options.items())
    facts = [
        f"{_origin(recipe)} {_MADE_BY}, recipe `{recipe.name}`, seed {recipe.seed}.",
        f"Loss: {recipe.loss.name}{f' ({options})' if options else ''}.",
        f"{card.passes:.2f} passes over the data, in {_duration(card.seconds)}.",
        f"Activations in {card.precision}, weights stored in {recipe.weights}; {card.hardware}.",
        f"Pairs were cut to {recipe.max_length:,} tokens; dropout {recipe.dropout:g}; token "
        f"embeddings were {'trained' if recipe.train_embeddings else 'kept as they were'}.",
        *(["Rows of a batch have about the same length."] if recipe.by_length else []),
        *([_blend(recipe.blend)] if recipe.blend is not None else []),
    ]
    pictures = [f"![{Path(name).stem}]({name})" for name in card.plots]
    return "\n\n".join([_list(facts), *pictures])


def _blend(blend: Blend) -> str:
    return (
        f"The weights are {1 - blend.share:g} of the trained ones and {blend.share:g} of those of "
        f"`{_named(blend.reranker)}`; the measures taken during the training are of the former."
    )


def _origin(recipe: Recipe) -> str:
    base = _named(recipe.base)
    if (student := recipe.student) is None:
        return f"Fine-tuned from `{base}`"
    shape = ", ".join(
        f"{name.replace('_', '-')} {size}"
        for name, size in student.model_dump(exclude_none=True).items()
    )
    return f"A student ({shape}), which began as the first layers of `{base}`, narrowed, trained"


def _data(card: CardFacts) -> str:
    rows = [
        [
            each.name,
            each.split,
            each.licence or "not stated",
            f"{len(each.groups):,}",
            f"{each.made_up:,}",
            f"{sum(len(group.documents) for group in each.groups):,}",
        ]
        for each in card.sets
    ]
    columns = ["source", "split", "licence as stated", "queries", "of them made up", "pairs"]
    findings = [f"{each.name}: {_counted(one)}" for each in card.sets for one in each.findings]
    findings += [f"all data: {_counted(one)}" for one in card.findings]
    recipe = card.recipe
    parts = [_table(columns, rows, left=3)]
    if any(source.is_searched for source in recipe.sources):
        parts.append(_negatives(recipe.negatives))
    if recipe.soft_labels is not None:
        parts.append(_soft_labels(recipe.soft_labels, recipe.negatives.encoder))
    if findings:
        parts.append(f"Found in the data:\n\n{_list(findings)}")
    kept_back = dict.fromkeys(each.name for each in _unquotable(card.sets))
    if kept_back:
        parts.append(
            f"Samples are left out, as the licence of {', '.join(kept_back)} is not known to "
            "allow repeating them."
        )
    return "\n\n".join(parts)


def _negatives(negatives: Negatives) -> str:
    first, last = negatives.ranks
    stages = " and ".join(negatives.first_stages)
    drawn = "the best" if negatives.sampling == "top" else "drawn by seed"
    text = (
        f"Mined negatives: {negatives.per_query} for each relevant document, {drawn} from "
        f"ranks {first} to {last} of {stages}"
    )
    if set(negatives.first_stages) & {"dense", "hybrid"}:
        text += f" (encoder `{_named(negatives.encoder)}`)"
    if negatives.random:
        text += f", {negatives.random} of them at random from the whole collection"
    if negatives.margin is not None:
        text += f". They score at least {negatives.margin:g} below the query's best positive"
    if negatives.false_negatives is not None:
        reranker = _named(negatives.false_negatives.reranker)
        text += f". What `{reranker}` takes for a positive is not among them"
    if negatives.positives_per_query is not None:
        text += (
            f". At most {negatives.positives_per_query} relevant of a query's documents are used"
        )
    return text + "."


def _soft_labels(labels: SoftLabels, encoder: str) -> str:
    terms = [f"{labels.cosine:g} times the cosine of `{_named(encoder)}`"] if labels.cosine else []
    terms += [f"{labels.bm25:g} times the BM25 score"] if labels.bm25 else []
    terms += [f"{labels.gold:g} for a relevant document"] if labels.gold else []
    terms += [
        f"{one.weight:g} times the logit of `{_named(one.reranker)}`" for one in labels.rerankers
    ]
    return f"Labels of what was mined are a teacher's logits: {', plus '.join(terms)}."


def _limits(card: CardFacts) -> list[str]:
    recipe = card.recipe
    limits = [
        "The raw scores (logits) have a meaning only in their order, within a query.",
        f"It was trained on pairs of up to {recipe.max_length:,} tokens, and has seen none longer.",
    ]
    if card.passes < 1:
        limits.append(f"The run went through {card.passes:.0%} of the training data.")
    made_up = sum(each.made_up for each in card.sets)
    if made_up:
        queries = sum(len(each.groups) for each in card.sets)
        limits.append(
            f"{made_up:,} of {queries:,} training queries are made up: a sentence cut out of a "
            "document, which the rest answers."
        )
    shared = _measured_names(recipe) & {each.name for each in card.sets}
    if card.results and shared:
        limits.append(
            f"It was trained on other queries of {', '.join(sorted(shared))}: elsewhere, expect "
            "less than the results there."
        )
    if recipe.leaks == "allow":
        limits.append(
            "The run was allowed to go on with evaluation data among the training data "
            '(`leaks = "allow"`): the results may be too high.'
        )
    unstated = [each.name for each in card.sets if not each.licence]
    if unstated:
        limits.append(f"No licence is stated for {', '.join(dict.fromkeys(unstated))}.")
    limits.append(
        "No licence of this model is stated: those of the base model and of the data decide."
    )
    return limits


def _measured_names(recipe: Recipe) -> set[str]:
    """Names of the data that the model is measured on."""
    sets = recipe.evaluation.sets if recipe.evaluation is not None else []
    files = [path.resolve() for each in sets for path in (each.pairs, each.samples) if path]
    folders = {path.parent.name if path.is_file() else path.name for path in files}
    return folders | {source.name for each in sets for source in each.sources}


def _is_on_a_hub(model: str) -> bool:
    return not (_is_a_folder(model) or model in BUNDLED_RERANKERS)


def _named(model: str) -> str:
    """A model's name: of a local directory its last part."""
    return Path(model).expanduser().resolve().name if _is_a_folder(model) else model


def _is_a_folder(model: str) -> bool:
    path = Path(model).expanduser()
    return path.is_absolute() or path.is_dir()


def _without_folder(value: Any) -> Any:
    """A hyperparameter that is a path of this machine becomes its last part."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _counted(finding: Finding) -> str:
    """Without its first case, which names a file of this machine."""
    return f"{finding.count:,} {finding.what}"


def _words(protocol: str) -> str:
    return protocol.replace("_", " ")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(row: Result) -> str:
    if row.low is None or row.high is None:
        return "–"
    return f"{row.low:.4f} to {row.high:.4f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _list(entries: Sequence[str]) -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A table in Markdown whose first ``left`` columns are words, and the others figures."""
    rule = ["---" if number < left else "---:" for number in range(len(columns))]
    lines = [columns, rule, *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
