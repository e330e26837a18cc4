"""The sections of a model card that this package writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.evaluation.report.markdown_table import markdown_table
from rerank_search.judged.findings import Finding
from rerank_search.retrieval.registry import encodes
from rerank_search.training.publish.card_facts import CardFacts, MeasuredBy, Result
from rerank_search.training.publish.licences import unquotable
from rerank_search.training.recipe.recipe import Blend, Recipe
from rerank_search.training.recipe.sources import Negatives, SoftLabels
from rerank_search.training.run.output import MADE_BY

if TYPE_CHECKING:
    pass

_MEANING: Mapping[MeasuredBy, str] = {
    "retrieved": "the candidates of a first stage are reranked: what a user sees. A positive that "
    "was not retrieved counts as missed.",
    "all_positives": "the same candidates and the positives that were not retrieved are reranked: "
    "what the reranker is worth by itself. This is not the result of a search.",
    "sbert": "the figures of sentence-transformers' `CrossEncoderRerankingEvaluator`.",
    "pairs": "labelled pairs are classified by their score.",
}


def sections(card: CardFacts) -> str:
    """The sections, in Markdown."""
    texts = {
        "Results": _results(card),
        "Run": _run(card),
        "Data": _data(card),
        "Calibration": card.calibration,
        "Limits": _list(_limits(card)),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in texts.items() if text) + "\n"


def _results(card: CardFacts) -> str:
    if not card.results:
        return "The recipe has no evaluation, so the model was not measured."
    meanings = [
        f"`{in_words(protocol)}`: {_MEANING[protocol]}"
        for protocol in dict.fromkeys(row.protocol for row in card.results)
    ]
    columns = ["set", "protocol", "measure", "first stage", "base model", "this model"]
    rows = [
        [row.name, in_words(row.protocol), row.measure.replace("_", " ")]
        + [_figure(value) for value in (row.first_stage, row.base, row.value)]
        + [_interval(row)]
        for row in card.results
    ]
    return (
        f"Measured after training with the evaluation of rerank-search.\n\n{_list(meanings)}\n\n"
        f"{_table([*columns, f'{card.confidence:.0%} interval'], rows)}\n\n"
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
        f"{_origin(recipe)} {MADE_BY}, recipe `{recipe.name}`, seed {recipe.seed}.",
        f"Loss: {recipe.loss.name}{f' ({options})' if options else ''}.",
        f"{card.passes:.2f} passes over the data, in {_duration(card.seconds)}.",
        f"Activations in {card.precision}, weights stored in {recipe.weights}; {card.hardware}.",
        f"Pairs were cut to {recipe.max_length:,} tokens; dropout {recipe.dropout:g}; token "
        f"embeddings were {'trained' if recipe.train_embeddings else 'kept as they were'}.",
        *(["The rows of a batch have similar lengths."] if recipe.by_length else []),
        *([_blend(recipe.blend)] if recipe.blend is not None else []),
    ]
    pictures = [f"![{Path(name).stem}]({name})" for name in card.plots]
    return "\n\n".join([_list(facts), *pictures])


def _blend(blend: Blend) -> str:
    return (
        f"The weights are {1 - blend.share:g} of the trained ones and {blend.share:g} of those of "
        f"`{_named(blend.reranker)}`; measures during training are of the trained ones alone."
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
    parts = [_table(columns, rows)]
    if any(source.is_searched for source in recipe.sources):
        parts.append(_negatives(recipe.negatives))
    if recipe.soft_labels is not None:
        parts.append(_soft_labels(recipe.soft_labels, recipe.negatives.encoder))
    if findings:
        parts.append(f"Findings in the data:\n\n{_list(findings)}")
    kept_back = dict.fromkeys(each.name for each in unquotable(card.sets))
    if kept_back:
        parts.append(
            f"Samples are left out, because the licence of {', '.join(kept_back)} is not "
            "known to allow repeating them."
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
    if any(map(encodes, negatives.first_stages)):
        text += f" (encoder `{_named(negatives.encoder)}`)"
    if negatives.random:
        text += f", {negatives.random} of them at random from the whole collection"
    if negatives.margin is not None:
        text += f". They score at least {negatives.margin:g} below the query's best positive"
    if negatives.false_negatives is not None:
        reranker = _named(negatives.false_negatives.reranker)
        text += f". Those that `{reranker}` considers relevant are left out"
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
    return f"The labels of mined pairs are a teacher's logits: {', plus '.join(terms)}."


def _limits(card: CardFacts) -> list[str]:
    recipe = card.recipe
    limits = [
        "The raw scores (logits) are meaningful only for ordering texts within a query.",
        f"It was trained on pairs of up to {recipe.max_length:,} tokens, never on longer ones.",
    ]
    if card.passes < 1:
        limits.append(f"The run used {card.passes:.0%} of the training data.")
    made_up = sum(each.made_up for each in card.sets)
    if made_up:
        queries = sum(len(each.groups) for each in card.sets)
        limits.append(
            f"{made_up:,} of {queries:,} training queries are made up: each is a sentence taken "
            "out of a document, and the rest of the document answers it."
        )
    shared = _measured_names(recipe) & {each.name for each in card.sets}
    if card.results and shared:
        limits.append(
            f"It was trained on other queries of {', '.join(sorted(shared))}: expect lower "
            "results on other collections."
        )
    if recipe.leaks == "allow":
        limits.append(
            'Evaluation data among the training data were allowed (`leaks = "allow"`): the '
            "results may be too high."
        )
    unstated = [each.name for each in card.sets if not each.licence]
    if unstated:
        limits.append(f"No licence is stated for {', '.join(dict.fromkeys(unstated))}.")
    limits.append(
        "No licence of this model is stated: the licences of the base model and of the data apply."
    )
    return limits


def _measured_names(recipe: Recipe) -> set[str]:
    """Names of the data that the model is measured on."""
    sets = recipe.evaluation.sets if recipe.evaluation is not None else []
    files = [path.resolve() for each in sets for path in (each.pairs, each.samples) if path]
    folders = {path.parent.name if path.is_file() else path.name for path in files}
    return folders | {source.name for each in sets for source in each.sources}


def _named(model: str) -> str:
    """A model's name, or the last part of a local directory."""
    return Path(model).expanduser().resolve().name if is_a_folder(model) else model


def is_a_folder(model: str) -> bool:
    """Whether the name of a model is a path of this machine."""
    path = Path(model).expanduser()
    return path.is_absolute() or path.is_dir()


def _counted(finding: Finding) -> str:
    """The finding without its first case, which names a file of this machine."""
    return f"{finding.count:,} {finding.what}"


def in_words(protocol: str) -> str:
    """The protocol's name in words."""
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


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first three columns are words."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return markdown_table(columns, escaped, words=3)
