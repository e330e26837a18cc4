"""The worked example of docs/measures.md: every figure of the page is computed here."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.protocols import first_stage_rankings, reranked_rankings
from rerank_search.evaluation.sbert import sbert_values
from rerank_search.judged.candidates import Candidates
from rerank_search.reranking.final_score import FinalScore
from rerank_search.types import Hit

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


@dataclass(frozen=True)
class Example:
    """One query: its positives, what the first stage found, and the reranker's scores."""

    positives: list[str]
    documents: list[str]
    scores: dict[str, float]

    def __post_init__(self):
        assert self.scores.keys() == {*self.positives, *self.documents}


FOUND = ["A", "n1", "B", "n2", "n3"]
EXAMPLES = {
    "do-nothing": Example(
        ["A", "B", "C"], FOUND, {"A": 5, "n1": 4, "B": 3, "n2": 2, "n3": 1, "C": 0}
    ),
    "worse": Example(["A", "B", "C"], FOUND, {"A": 5, "C": 4.5, "n1": 4, "n2": 3, "B": 2, "n3": 1}),
    "blind": Example(["A"], ["n1", "n2", "n3"], {"A": 4, "n1": 3, "n2": 2, "n3": 1}),
    "constant": Example(["A"], ["n1", "A", "n2"], {"A": 1, "n1": 1, "n2": 1}),
}
SBERT = {"sbert base_": "base_", "sbert retrieved_": "retrieved_", "sbert": ""}
PROTOCOLS = ("first_stage", "retrieved", "all_positives", "oracle")


def tables(*header):
    """The rows of the page's tables with this beginning of the header, as dictionaries."""
    found, columns = [], None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = None
        elif columns is None:
            columns = cells
        elif set(line) - set("|-: ") and tuple(columns[: len(header)]) == header:
            found.append(dict(zip(columns, cells, strict=True)))
    return found


FIGURES = tables("reranker", "figures")
GAINS = tables("reranker", "gain")
MEASURE = re.compile(r"(MAP|MRR|nDCG)(?:@(\d+))?")


def computed(example, figures, measure):
    """Our value, and sentence-transformers' value if it has the figure."""
    if figures in SBERT:
        ours = by_sbert_protocol(example, SBERT[figures], measure)
        assert ours == pytest.approx(by_evaluator(example, figures, measure), abs=1e-9)
        return ours
    return by_protocol(example, figures, measure)


def by_sbert_protocol(example, prefix, measure):
    name, at_k = evaluator_name(measure)
    values = sbert_values(example.positives, example.documents, example.scores, at_k=at_k)
    return values[prefix + name]


def by_evaluator(example, figures, measure):
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    name, at_k = evaluator_name(measure)
    model = types.SimpleNamespace(
        predict=lambda pairs, **_: np.array([example.scores[text] for _, text in pairs], "f4"),
        model_card_data=types.SimpleNamespace(set_evaluation_metrics=lambda *_: None),
    )
    evaluator = CrossEncoderRerankingEvaluator(
        [{"query": "q", "positive": example.positives, "documents": example.documents}],
        at_k=at_k,
        always_rerank_positives=figures != "sbert retrieved_",
        write_csv=False,
    )
    return evaluator(model)[f"base_{name}" if figures == "sbert base_" else name]


def evaluator_name(measure):
    """The evaluator's name: ``nDCG@2`` is ``ndcg@2``; its MAP never has a cut-off."""
    kind, at_k = MEASURE.fullmatch(measure).groups()
    return (f"{kind.lower()}@{at_k}", int(at_k)) if at_k else (kind.lower(), 10)


def by_protocol(example, protocol, measure):
    grades = dict.fromkeys(example.positives, 1)
    found = len(example.documents)
    retrieved = [
        Hit(id, float(found - place), place + 1) for place, id in enumerate(example.documents)
    ]
    missed = [Hit(id, 0.0, 0) for id in example.positives if id not in example.documents]
    candidates = Candidates("q", retrieved, missed, unknown=0)
    rankings = first_stage_rankings(candidates, grades)
    rankings |= reranked_rankings(candidates, example.scores, FinalScore(None, ()))
    ids = [id for id, _ in rankings[protocol]]
    return Scorer({"q": grades}, [measure]).score({"q": ids})["q"][measure]


def test_the_page_shows_every_protocol_for_every_reranker():
    shown = {(row["reranker"], row["figures"]) for row in FIGURES}

    assert shown == {(reranker, name) for reranker in EXAMPLES for name in (*SBERT, *PROTOCOLS)}


@pytest.mark.parametrize(
    ("reranker", "figures", "measure", "printed"),
    [
        (row["reranker"], row["figures"], measure, printed)
        for row in FIGURES
        for measure, printed in row.items()
        if measure not in ("reranker", "figures")
    ],
)
def test_a_figure_of_the_page_is_what_the_code_gives(reranker, figures, measure, printed):
    assert f"{computed(EXAMPLES[reranker], figures, measure):.4f}" == printed


def test_the_page_shows_two_gains_of_the_first_two_rerankers():
    shown = [(row["reranker"], row["gain"]) for row in GAINS]

    gains = ("sbert retrieved_ - sbert base_", "retrieved - first_stage")
    assert shown == [(reranker, gain) for reranker in ("do-nothing", "worse") for gain in gains]


@pytest.mark.parametrize(
    ("reranker", "gain", "measure", "printed"),
    [
        (row["reranker"], row["gain"], measure, printed)
        for row in GAINS
        for measure, printed in row.items()
        if measure not in ("reranker", "gain")
    ],
)
def test_a_gain_of_the_page_is_what_the_code_gives(reranker, gain, measure, printed):
    after, before = (
        computed(EXAMPLES[reranker], figures, measure) for figures in gain.split(" - ")
    )

    assert f"{after - before:+.4f}" == printed
