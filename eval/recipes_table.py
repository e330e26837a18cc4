"""Writes the results of the recipes into one table, beside the figures of the model cards.

Usage: python eval/recipes_table.py

Reads the reports that `rerank-search train eval/recipes/NAME.toml` and `rerank-search evaluate
eval/experiments/recipe-NAME.toml` wrote below runs/, and writes eval/results/recipes.md and .json,
and the reports to eval/results/recipe-NAME.md. A recipe that was not run here keeps the rows and
the report that were published before; one that was never run is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import RESULTS, environment, table, write
from publish import portable

from rerank_search.evaluation.report.schema import Report, SystemReport, read_report
from rerank_search.evaluation.report.tables import p_value
from rerank_search.files import atomic_write_bytes
from rerank_search.training.publish.report import UNTUNED

RUNS = Path(__file__).parent.parent / "runs"


@dataclass(frozen=True, slots=True)
class Figure:
    """A target, the figure of a model card (None: beat the untuned model), and the place of ours.

    ``run`` is the folder of the report below runs/, ``on`` the collection in it, ``protocol`` and
    ``measure`` have their names in the report; "pairs" is the classification of pairs.
    """

    recipe: str
    run: str
    on: str
    protocol: str
    measure: str
    card: float | None


FIGURES = (
    *(
        Figure("gooaq", "recipes/gooaq-evaluation", name, "sbert", measure, card)
        for name, cards in (("random", (0.9491, 0.9491, 0.9616)), ("hard", (None,) * 3))
        for measure, card in zip(("map", "mrr@10", "ndcg@10"), cards, strict=True)
    ),
    Figure("gooaq", "recipes/gooaq-evaluation", "hard", "retrieved", "nDCG@10", None),
    *(
        Figure(
            "item-matching",
            "recipes/item-matching-evaluation",
            "product-pairs",
            "pairs",
            name,
            card,
        )
        for name, card in (("average_precision", 0.9072), ("f1", 0.8318), ("accuracy", 0.8988))
    ),
    Figure(
        "finance-terms", "evaluation/recipe-finance-terms", "fiqa", "retrieved", "nDCG@10", None
    ),
    Figure("finance", "evaluation/recipe-finance", "fiqa", "retrieved", "nDCG@10", None),
    *(
        Figure("claims", "evaluation/recipe-claims", "climate-claims", "sbert", measure, card)
        for measure, card in (("map", 0.0653), ("mrr@5", 0.0694), ("ndcg@5", 0.0331))
    ),
    Figure("claims", "evaluation/recipe-claims", "climate-claims", "retrieved", "nDCG@5", None),
    Figure(
        "fact-checks",
        "evaluation/recipe-fact-checks",
        "checked-claims",
        "retrieved",
        "nDCG@10",
        None,
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and our result."""

    recipe: str
    on: str
    first_stage: str
    protocol: str
    measure: str
    card: float | None
    untuned: float | None
    tuned: float
    p: float | None
    verdict: str
    date: str
    processor: str


def rows(figure: Figure) -> Iterator[Row]:
    """Our results for a figure, one for each first stage; none without a report."""
    path = RUNS / figure.run / "report.json"
    if not path.exists():
        return
    report = read_report(path)
    if figure.protocol == "pairs":
        yield from pairs(figure, report)
        return
    for system in report.systems:
        if system.reranker != figure.recipe or system.collection != figure.on:
            continue
        before = base(report, system)
        value = system.protocols[figure.protocol][figure.measure]  # type: ignore[index]
        was = before.protocols[figure.protocol][figure.measure]  # type: ignore[index]
        p = significance(report, system, before, figure)
        yield Row(
            figure.recipe,
            system.key,
            system.first_stage,
            figure.protocol,
            figure.measure,
            figure.card,
            was,
            value,
            p,
            verdict(figure, was, value, p, 1 - report.statistics.confidence),
            *made(report),
        )


def base(report: Report, system: SystemReport) -> SystemReport:
    """The untuned model on the same candidates."""
    [found] = [
        other
        for other in report.systems
        if other.reranker == UNTUNED
        and (other.key, other.first_stage) == (system.key, system.first_stage)
    ]
    return found


def pairs(figure: Figure, report: Report) -> Iterator[Row]:
    """The figure of a classification."""
    values = {
        each.reranker: each.values[figure.measure]
        for each in report.pairs
        if each.collection == figure.on
    }
    value = values[figure.recipe]
    yield Row(
        figure.recipe,
        figure.on,
        "",
        "pairs",
        figure.measure,
        figure.card,
        values.get(UNTUNED),
        value,
        None,
        verdict(figure, values.get(UNTUNED), value, None, 0.0),
        *made(report),
    )


def made(report: Report) -> tuple[str, str]:
    """When a report was made, and on what: the machine that has it."""
    return report.created.date().isoformat(), environment()["processor"]


def published() -> list[Row]:
    """The rows of the table as it is."""
    path = RESULTS / "recipes.json"
    if not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["results"]["rows"]]


def kept(figure: Figure, before: Sequence[Row]) -> list[Row]:
    """The rows of a figure among those that were published."""
    wanted = (figure.recipe, figure.on, figure.protocol, figure.measure)
    return [
        row
        for row in before
        if (row.recipe, row.on.split("/")[0], row.protocol, row.measure) == wanted
    ]


def significance(
    report: Report, system: SystemReport, before: SystemReport, figure: Figure
) -> float | None:
    """The corrected p of the difference to the untuned model, in what a search shows."""
    if figure.protocol != "retrieved":
        return None
    for each in report.comparisons:
        same = (each.collection, each.split, each.candidates, each.measure) == (
            system.collection,
            system.split,
            system.candidates,
            figure.measure,
        )
        if same and {each.ours, each.theirs} == {system.name, before.name}:
            return each.p_holm
    return None


def verdict(
    figure: Figure, before: float | None, value: float, p: float | None, level: float
) -> str:
    """Whether the card's figure, or the untuned model, is beaten."""
    if figure.card is not None:
        return "reached" if value >= figure.card else "**missed**"
    if p is None or before is None:
        return ""
    if value > before:
        return "better" if p < level else "better, not significantly"
    return "**worse**" if p < level else "not better"


def commands(figure: Figure, rows: Sequence[Row]) -> Sequence[str]:
    """What made the figures of a recipe, where, and the harness's report, which is published."""
    run = [f"`rerank-search train eval/recipes/{figure.recipe}.toml`"]
    if figure.run.startswith("evaluation/"):
        experiment = f"eval/experiments/{Path(figure.run).name}.toml"
        run.append(f"`rerank-search evaluate {experiment}`")
    own = [row for row in rows if row.recipe == figure.recipe]
    if not own:
        return [figure.recipe, ", ".join(run), "not run", ""]
    written, name = RUNS / figure.run / "report.md", f"recipe-{figure.recipe}.md"
    if written.exists():
        text = portable(written.read_text(encoding="utf-8"))
        atomic_write_bytes(RESULTS / name, text.encode())
    made_on = f"{own[0].date}, {own[0].processor}"
    return [figure.recipe, ", ".join(run), f"[{name}]({name})", made_on]


def shown(row: Row) -> Sequence[object]:
    """The cells of a row."""
    return [
        row.recipe,
        row.on,
        row.first_stage,
        row.protocol,
        row.measure,
        "" if row.card is None else f"{row.card:.4f}",
        "" if row.untuned is None else f"{row.untuned:.4f}",
        f"{row.tuned:.4f}",
        "" if row.p is None else p_value(row.p),
        row.verdict,
    ]


def main() -> None:
    """Write the table and the reports that it is taken from."""
    before = published()
    found = [row for figure in FIGURES for row in (list(rows(figure)) or kept(figure, before))]
    left = sorted({figure.recipe for figure in FIGURES} - {row.recipe for row in found})
    headers = [
        "recipe",
        "on",
        "first stage",
        "protocol",
        "measure",
        "card",
        "untuned",
        "tuned",
        "p (Holm)",
        "",
    ]
    sections = {
        "What is measured": (
            "Each recipe of eval/recipes/ starts from the bundled reranker; `finance`, which has "
            "no card, continues from the model of `finance-terms` and is averaged with the bundled "
            "reranker at the end. Untuned is always the bundled reranker. Hyperparameters are "
            "those of the cards, except that the token embeddings are not trained and dropout is "
            "off (`train_embeddings` and `dropout` turn both on), and that `claims` runs in the "
            "hardware's precision, not in fp16. The cards' figures are of other data, "
            "evaluated as the card says: sbert is sentence-transformers' evaluator, with the "
            "positives always reranked. Searches give the best 100 candidates, scored in "
            "bfloat16, and for `finance` the best 20, in float32, so its row cannot be compared "
            "with those of `finance-terms`. p: paired test against the untuned model "
            "over queries, corrected for all pairs of rankings of the collection."
        ),
        "Results": table(headers, [shown(row) for row in found]),
        "How each was made": table(
            ["recipe", "commands", "report", "made"],
            [commands(figure, found) for figure in {one.recipe: one for one in FIGURES}.values()],
        ),
    }
    short = []
    if any("worse" in row.verdict and row.recipe == "finance-terms" for row in found):
        short.append(
            "finance-terms: its negatives are definitions drawn at random, as in its card, so "
            "it only learns to reject easy ones. Two other ways to train on these data were tried, "
            "with the best 20 of the hybrid first stage: the same weights averaged with the "
            "untuned model's, and negatives mined among the definitions, with the teacher of the "
            "bundled reranker, and that average. Neither is significantly better or worse than "
            "the untuned model."
        )
    easy = [row for row in found if row.recipe == "gooaq" and row.on.startswith("random")]
    if any(row.untuned is not None and row.card and row.untuned > row.tuned for row in easy):
        short.append(
            "gooaq: on random candidates the untuned model reaches the card's figures too, and "
            "the tuned one is a little lower; it gains on hard candidates."
        )
    if any(row.verdict == "better, not significantly" and row.recipe == "finance" for row in found):
        short.append(
            "finance: the gain of one pass over fiqa's training questions is too small to tell "
            "from chance on its development questions."
        )
    if short:
        sections["What falls short"] = "\n\n".join(short)
    if left:
        sections["Not run"] = ", ".join(left)
    print(
        write(
            "recipes",
            "What the recipes reach",
            "python eval/recipes_table.py",
            sections,
            {"rows": [asdict(row) for row in found]},
        )
    )


if __name__ == "__main__":
    main()
