"""Calibrates the bundled rerankers, and measures the calibration on other collections.

Usage: python eval/calibrate_bundled.py [MODEL ...]

Reads eval/calibration.toml. Writes calibration.json and reliability.svg beside each model, and the
section "Calibration" of its card. Weights and fusion stay unchanged. Scores and indexes are stored
in the cache, from which an interrupted run continues.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.report import table
from pydantic import BaseModel, ConfigDict, Field

from rerank_search.corpora.definition import IndexSettings
from rerank_search.declared import read_toml, validated
from rerank_search.files import atomic_write_bytes
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_reranker
from rerank_search.reranking.calibration import Calibration, Calibrations
from rerank_search.reranking.fusion import Fusion
from rerank_search.training.publish.fitting import PLOT_FILE, calibrate
from rerank_search.training.publish.judged_candidates import judged_candidates, labels_of, scores_of
from rerank_search.training.publish.reliability import Bin, reliability, reliability_plot

DECLARATION = Path(__file__).with_name("calibration.toml")
THRESHOLDS = (0.1, 0.5)
HEADING, NEXT_HEADING = "## Calibration", "## Figures"


class Declaration(BaseModel):
    """The collections of eval/calibration.toml."""

    model_config = ConfigDict(extra="forbid")

    candidates: int
    fitted: list[CollectionSettings] = Field(min_length=1)
    measured: list[CollectionSettings] = Field(min_length=1)


@dataclass(frozen=True)
class Score:
    """A score that hits have in an index, and the first stage of its candidates."""

    name: str
    index: IndexSettings
    first_stage: str
    fused: bool


SCORES = (
    Score("BM25 and vectors", IndexSettings(), "hybrid", fused=True),
    Score("BM25 alone", IndexSettings(encoder=False), "bm25", fused=True),
    Score("no fusion", IndexSettings(), "hybrid", fused=False),
)


@dataclass(frozen=True)
class Measured:
    """The quality of a calibration on some queries."""

    collection: str
    probabilities: np.ndarray
    labels: np.ndarray

    def row(self, score: str) -> list[object]:
        """A row of the card's table."""
        quality, _ = reliability(self.probabilities, self.labels)
        share = float(self.labels.mean())
        likely = [self.labels[self.probabilities >= least] for least in THRESHOLDS]
        return [
            score,
            self.collection,
            len(self.labels),
            f"{share:.2%}",
            f"{self.probabilities.mean():.2%}",
            f"{quality.ece:.4f}",
            f"{quality.brier:.4f}",
            f"{share * (1 - share):.4f}",
            *(f"{each.sum()} of {len(each)}" for each in likely),
        ]


def fitted(model: str, fusion: Fusion, score: Score, declared: Declaration) -> Calibration:
    """The calibration of one score."""
    found = calibrate(
        model,
        declared.fitted,
        first_stage=score.first_stage,
        candidates=declared.candidates,
        fusion=fusion if score.fused else False,
        index=score.index,
    )
    return found.calibration


def measured(
    model: str, fusion: Fusion, score: Score, calibration: Calibration, declared: Declaration
) -> list[Measured]:
    """The calibration on each collection that it was not fitted on."""
    results = []
    for settings in declared.measured:
        judged = judged_candidates(
            model,
            [settings],
            first_stage=score.first_stage,
            candidates=declared.candidates,
            index=score.index,
        )
        scores = scores_of(judged.queries, fusion if score.fused else None)
        [collection] = judged.collections
        results.append(
            Measured(
                f"{collection.name}/{collection.split}",
                calibration.probability(scores),
                labels_of(judged.queries),
            )
        )
    return results


def section(calibrations: Sequence[Calibration], found: Sequence[Sequence[Measured]]) -> str:
    """The card's section."""
    on = calibrations[0].fitted_on
    rows: list[list[object]] = []
    for score, calibration, collections in zip(SCORES, calibrations, found, strict=True):
        own, quality = calibration.fitted_on, calibration.held_out.after
        share = own.relevant
        rows.append(
            [
                score.name,
                "queries held out of the fit",
                own.documents,
                f"{share:.2%}",
                "",
                f"{quality.ece:.4f}",
                f"{quality.brier:.4f}",
                f"{share * (1 - share):.4f}",
                *("" for _ in THRESHOLDS),
            ]
        )
        rows += [each.row(score.name) for each in collections]
    ratios = [
        float(each.probabilities.mean() / each.labels.mean()) for one in found for each in one
    ]
    headers = ["score", "collection", "candidates", "relevant", "mean probability"]
    headers += ["ECE", "Brier", "Brier of the share"]
    headers += [f"relevant from {least:.1f}" for least in THRESHOLDS]
    return f"""{HEADING}

`calibration.json` gives each hit its `relevance`, and is what `min_relevance` needs. It has a
logistic curve (Platt 1999) for each score that hits have: the fusion in an index with BM25 and
vectors, the fusion in an index with BM25 alone, and the logit, if the fusion is off. They were
fitted on the best {on.candidates} candidates of {on.queries} queries
({on.collection}: {on.split}), by `python eval/calibrate_bundled.py`.

{table(headers, rows)}

ECE is the expected calibration error, Brier the mean squared error; "Brier of the share" is the
error of always predicting the relevant share. The last columns count the candidates with at least
that probability, and those of them that are relevant.

**A probability holds for collections like those of the fit.** On the other collections above, the
mean probability is {min(ratios):.2f} to {max(ratios):.2f} times the share that is relevant, and few
or no candidates reach 0.5. The collections of the fit have one or a few judged answers for each
query, and unjudged candidates count as not relevant; the others are judged in depth. For a
threshold that matters, calibrate on queries of your own: `rerank-search calibrate --keep-fusion`.

![The share that is relevant by probability, on the other collections together](reliability.svg)
"""


def write_card(model: str, text: str) -> None:
    """Put the section into the model's card, before its figures."""
    card = Path(resolve_reranker(model)) / "README.md"
    whole = re.sub(
        rf"{HEADING}\n.*?(?={NEXT_HEADING})", "", card.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    before, after = whole.split(NEXT_HEADING, 1)
    atomic_write_bytes(card, f"{before}{text}\n{NEXT_HEADING}{after}".encode())


def main() -> None:
    """Calibrate the models that are named, or all bundled ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    names = parser.parse_args().models or BUNDLED_RERANKERS
    declared = validated(Declaration, read_toml(DECLARATION), DECLARATION)
    folder = DECLARATION.parent
    declared = declared.model_copy(
        update={
            "fitted": [each.below(folder) for each in declared.fitted],
            "measured": [each.below(folder) for each in declared.measured],
        }
    )
    for model in names:
        directory = Path(resolve_reranker(model))
        fusion = Fusion.load(directory)
        calibrations, found = [], []
        curves: dict[str, Sequence[Bin]] = {}
        for score in SCORES:
            calibration = fitted(model, fusion, score, declared)
            results = measured(model, fusion, score, calibration, declared)
            calibrations.append(calibration)
            found.append(results)
            _, curves[score.name] = reliability(
                np.concatenate([each.probabilities for each in results]),
                np.concatenate([each.labels for each in results]),
            )
        Calibrations(calibrations=calibrations).save(directory)
        atomic_write_bytes(directory / PLOT_FILE, reliability_plot(curves))
        write_card(model, section(calibrations, found))


if __name__ == "__main__":
    main()
