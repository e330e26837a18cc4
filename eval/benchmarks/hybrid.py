"""The first stages on every collection: BM25, dense, and ways to fuse them.

Usage: python eval/benchmarks/hybrid.py [NAME ...]

Writes eval/results/hybrid.md and .json, for the documentation of the standard library and the
collections in ../shared/data: nDCG@10 of both stages and of the fusions that an index can name,
with intervals and paired tests, and what else was tried. Documents are encoded once, and their
indexes kept in the cache: hours the first time. Of a collection with more than 2,000 queries a
sample of so many is measured. With names only these collections are measured, and the figures of
the others stay.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from report import RESULTS, table, write

from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.evaluation.statistics import bootstrap_interval, p_value
from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
from rerank_search.ranking import ranked
from rerank_search.retrieval.hybrid_fusion import (
    FUSIONS,
    HybridFusion,
    ReciprocalRankFusion,
    ScoreFusion,
)
from rerank_search.settings import Settings
from rerank_search.types import Hit

HERE = Path(__file__).parent.parent
SHARED = HERE.parent.parent / "shared/data"
DEPTH, AT_ONCE, MEASURE = 100, 100, "nDCG@10"
MOST_QUERIES, SEED = 2_000, 42
SIGNIFICANT = 0.05
STAGES = ("bm25", "dense")
STATISTICS = StatisticsSettings()


@dataclass(frozen=True)
class Judged:
    """A collection, the analyzer of its index, and whether the weights were chosen on it."""

    settings: CollectionSettings
    analyzer: str = "english"
    tuned: bool = False


def shared(name: str, split: str, **options: object) -> CollectionSettings:
    """The settings of a collection beside the project."""
    return CollectionSettings(path=SHARED / name, split=split, **options)


COLLECTIONS = (
    Judged(CollectionSettings(path=HERE / "collections/python-docs")),
    Judged(shared("cranfield", "test", excluded=SHARED / "cranfield/source-documents.tsv")),
    Judged(shared("msmarco-dl19", "test", relevant_from=2)),
    Judged(shared("scifact", "train")),
    *(
        Judged(shared(name, "dev"))
        for name in (
            "checked-claims",
            "climate-claims",
            "cloud-docs",
            "counsel-chat",
            "doctor-answers",
            "fiqa",
            "medquad",
            "pubmedqa",
            "squad-sentences",
            "tat-qa",
            "wikiqa",
        )
    ),
    Judged(shared("snopes-titles", "train")),
    Judged(shared("xquad-ar", "test"), "arabic"),
    Judged(shared("xquad-th", "test"), "multilingual"),
    Judged(shared("xquad-zh", "test"), "multilingual"),
    Judged(shared("xquad-de", "test"), "plain", tuned=True),
    Judged(shared("xquad-ru", "test"), "plain", tuned=True),
    *(
        Judged(shared(name, "train"), tuned=True)
        for name in ("cloud-docs", "medquad", "squad-sentences", "tat-qa", "wikiqa")
    ),
)
"""Weights were chosen on 250 queries of each tuned one, and on parts of their documents."""


@dataclass(frozen=True)
class Scaled:
    """The sum of each ranking's scores on a scale of its own, with weights for both rankings."""

    scale: Callable[[Sequence[float], float], tuple[float, float]]
    """A function from descending scores and the least possible one to a zero and a unit."""
    least: tuple[float, float] = (0.0, -1.0)
    weights: tuple[float, float] = (1.0, 1.0)

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        """Score of every document in any of the rankings; higher is better."""
        fused = dict.fromkeys((hit.id for ranking in rankings for hit in ranking), 0.0)
        for ranking, least, weight in zip(rankings, self.least, self.weights, strict=True):
            if not ranking:
                continue
            zero, unit = self.scale([hit.score for hit in ranking], least)
            found = {hit.id: hit.score for hit in ranking}
            last = least if self.scale is from_least else ranking[-1].score
            for id in fused:
                fused[id] += weight * (found.get(id, last) - zero) / (unit or 1.0)
        return fused


def min_max(scores: Sequence[float], _: float) -> tuple[float, float]:
    """The last score is 0, the best 1."""
    return scores[-1], scores[0] - scores[-1]


def from_least(scores: Sequence[float], least: float) -> tuple[float, float]:
    """The least possible score is 0, the best 1 (Bruch, Gai and Ingber, TOIS 2023)."""
    return least, scores[0] - least


def z_scores(scores: Sequence[float], _: float) -> tuple[float, float]:
    """The mean is 0, a standard deviation 1 (Montague and Aslam, CIKM 2001)."""
    return fmean(scores), pstdev(scores)


def bundled_terms() -> tuple[float, float]:
    """The weights of both stages' z-scores in the logistic regression of the bundled reranker."""
    fusion = json.loads((Path(resolve_reranker(DEFAULT_RERANKER)) / "fusion.json").read_text())
    for model in fusion["models"]:
        found: Mapping[str, float] = model["weights"]
        if {"bm25:z", "dense:z"} <= set(found):
            return found["bm25:z"], found["dense:z"]
    sys.exit("the fusion of the bundled reranker has no weights for both stages")


TRIED: Mapping[str, HybridFusion] = {
    **FUSIONS,
    "rrf, k = 5": ReciprocalRankFusion(5),
    "rrf, k = 20": ReciprocalRankFusion(20),
    "min-max": Scaled(min_max),
    "min-max, dense 1.5": Scaled(min_max, weights=(1.0, 1.5)),
    "z-scores": Scaled(z_scores),
    "z-scores, dense 1.5": Scaled(z_scores, weights=(1.0, 1.5)),
    "z-scores, the reranker's weights": Scaled(z_scores, weights=bundled_terms()),
    "from the least score, dense 4": Scaled(from_least, weights=(1.0, 4.0)),
    **{
        f"stands out, dense {weight}, power {power}": ScoreFusion((1.0, weight), (0.0, power))
        for power in (0.0, 1.0, 2.0, 3.0)
        for weight in (1.0, 1.5)
    },
    "stands out, powers -0.5 and 1": ScoreFusion((1.0, 1.0), (-0.5, 1.0)),
}
"""What was tried, in the words of the report, after what an index can name."""


def measured(index: Index, collection: JudgedCollection) -> dict[str, list[float]]:
    """The values of both stages and of every fusion on the judged queries."""
    names = [*STAGES, *TRIED]
    scorer = Scorer(collection.qrels, [MEASURE], relevant_from=collection.relevant_from)
    values: dict[str, list[float]] = {name: [] for name in names}
    queries = list(collection.qrels)
    if len(queries) > MOST_QUERIES:
        queries = sorted(random.Random(SEED).sample(queries, MOST_QUERIES))
    for start in range(0, len(queries), AT_ONCE):
        some = queries[start : start + AT_ONCE]
        rankings: dict[str, dict[str, list[str]]] = {name: {} for name in names}
        for query, found in zip(some, _found(index, collection, some), strict=True):
            left_out = collection.left_out(query)
            for name, order in _orders(found):
                rankings[name][query] = [id for id in order if id not in left_out][:DEPTH]
        for name, of_query in rankings.items():
            scored = scorer.score(of_query)
            values[name] += [scored[query][MEASURE] for query in some]
        print(".", end="", file=sys.stderr, flush=True)
    return values


def _found(
    index: Index, collection: JudgedCollection, queries: Sequence[str]
) -> list[tuple[list[Hit], ...]]:
    """Both stages' hits of each query; none for a query without text."""
    texts = [collection.queries.get(query, "") for query in queries]
    depth = DEPTH + max(len(collection.left_out(query)) for query in queries)
    stages = [index.retriever(stage).retrieve(texts, depth) for stage in STAGES]
    return list(zip(*stages, strict=True))


def _orders(found: Sequence[Sequence[Hit]]) -> Iterator[tuple[str, list[str]]]:
    """The order of the documents by each stage and each fusion."""
    for stage, hits in zip(STAGES, found, strict=True):
        yield stage, [hit.id for hit in hits]
    for name, fusion in TRIED.items():
        scores = fusion.fuse(found)
        yield name, [id for id, _, _ in ranked((id, score, None) for id, score in scores.items())]


def summary(values: Mapping[str, Sequence[float]], tuned: bool) -> dict[str, Any]:
    """Means, intervals, and the tests against the better stage and against reciprocal ranks."""
    means = {name: fmean(each) for name, each in values.items()}
    better = max(STAGES, key=means.__getitem__)
    shown = [*STAGES, *FUSIONS]
    return {
        "tuned": tuned,
        "queries": len(values[better]),
        "means": means,
        "intervals": {name: bootstrap_interval(values[name], STATISTICS) for name in shown},
        "better": better,
        "p": {name: p_value(values[name], values[better], STATISTICS) for name in TRIED},
        "p_rrf": p_value(values["scores"], values["rrf"], STATISTICS),
    }


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="collections to measure; default: all")
    names = parser.parse_args().names
    written = RESULTS / "hybrid.json"
    rows = json.loads(written.read_text())["results"] if written.exists() else {}
    for judged in COLLECTIONS:
        path = judged.settings.path
        if path is None or not path.is_dir() or (names and path.name not in names):
            continue
        collection = load_searched(judged.settings)
        name = f"{collection.name} {collection.split}"
        print(f"\n{name}", file=sys.stderr, flush=True)
        with opened(collection, judged.analyzer) as index:
            rows[name] = summary(measured(index, collection), judged.tuned)
        report(rows)


def opened(collection: JudgedCollection, analyzer: str) -> Index:
    """The index of the collection's documents, from the cache."""
    if collection.documents is None:
        sys.exit(f"{collection.name} has no documents: give the complete collection")
    settings = IndexSettings(analyzer=analyzer)
    folder = Settings().cache / "indexes"
    return open_corpus_index(collection.name, collection.documents, settings, folder)[0]


def report(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the tables."""
    order = {
        f"{each.settings.path.name} {each.settings.split or 'test'}": each.tuned
        for each in COLLECTIONS
        if each.settings.path is not None
    }
    held_out = {name: rows[name] for name, tuned in order.items() if name in rows and not tuned}
    tuned = {name: rows[name] for name, tuned in order.items() if name in rows and tuned}
    missing = [name for name in order if name not in rows]
    sections = {
        "Collections": f"{MEASURE} with its 95% interval. Worse: below the better stage, with p < "
        f"{SIGNIFICANT} in the paired randomisation test, without a correction for the number of "
        "tests.\n\n" + _quality(held_out),
        "Collections that weights were chosen on": _quality(tuned),
        "What was tried": "Against the better stage of each collection: the mean difference, the "
        "worst one, and on how many collections the fusion is worse beyond chance. `scores` is "
        "the one with dense 1.5 and power 2.\n\n" + _tried(held_out, tuned),
    }
    if missing:
        sections["Not measured yet"] = ", ".join(missing)
    write(
        "hybrid",
        "The first stages, and ways to fuse them",
        "python eval/benchmarks/hybrid.py",
        sections,
        rows,
    )


def _quality(rows: Mapping[str, Mapping[str, Any]]) -> str:
    shown = [*STAGES, "rrf", "scores"]
    lines = []
    for name, row in rows.items():
        cells = [
            f"{row['means'][each]:.4f} ({low:.3f}-{high:.3f})"
            for each in shown
            for low, high in [row["intervals"][each]]
        ]
        lines.append(
            [
                name,
                row["queries"],
                *cells,
                _worse(row, "rrf"),
                _worse(row, "scores"),
                f"{row['means']['scores'] - row['means']['rrf']:+.4f} (p {row['p_rrf']:.2g})",
            ]
        )
    heads = ["collection", "queries", *shown, "rrf worse", "scores worse", "scores - rrf"]
    return table(heads, lines)


def _worse(row: Mapping[str, Any], name: str) -> str:
    difference = row["means"][name] - row["means"][row["better"]]
    worse = difference < 0 and row["p"][name] < SIGNIFICANT
    return f"{'yes' if worse else 'no'} ({difference:+.4f})"


def _tried(*parts: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name in TRIED:
        line: list[object] = [name]
        for rows in parts:
            differences = [
                row["means"][name] - row["means"][row["better"]] for row in rows.values()
            ]
            worse = [_worse(row, name).startswith("yes") for row in rows.values()]
            line += (
                [f"{fmean(differences):+.4f}", f"{min(differences):+.4f}", sum(worse)]
                if rows
                else ["", "", ""]
            )
        lines.append(line)
    heads = ["mean", "worst", "worse"]
    return table(
        ["fusion", *heads, *(f"{head}, chosen on" for head in heads)],
        lines,
    )


if __name__ == "__main__":
    main()
