"""What the bundled reranker is worth: each stage alone, and fused, on queries it never saw.

Usage: python eval/bundled_reranker.py [MODEL] [--collections DIR] [--only NAME ...]

Writes eval/results/bundled-reranker.md and .json. Indexes are kept in runs/quality, so that a
second run only reranks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ir_measures
import numpy as np
from benchmarks.report import table, write
from ir_measures import AP, RR, ScoredDoc, nDCG
from scipy.stats import permutation_test

from rerank_search import CrossEncoderReranker, Fusion, Hit, Index
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_reranker
from rerank_search.ranking import ranked
from rerank_search.searcher import passage
from rerank_search.training.collection import Collection, load_collection
from rerank_search.training.fusion import drawn_documents, drawn_queries
from rerank_search.training.recipe import load_recipe

HERE = Path(__file__).parent
INDEXES = HERE.parent / "runs" / "quality"
RECIPE = HERE / "recipes" / "rerank-search-base.toml"
SEED = 7
DEPTH = 30
MEASURES = ("nDCG@10", "MRR@10", "MAP")

Results = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]]
"""Collection -> candidates -> system -> measure -> one value per query."""


@dataclass(frozen=True)
class Task:
    """One collection; ``documents`` caps how much of it is indexed (None: all)."""

    name: str
    split: str
    note: str
    documents: int | None = None
    relevant_from: int = 1


EVALUATION_ONLY = "evaluation only"
OTHER = "never trained on"
HELD_BACK = "held-back queries of a training collection"
TASKS = (
    Task("msmarco-dl19", "test", EVALUATION_ONLY, relevant_from=2),
    Task("scifact", "train", EVALUATION_ONLY),
    Task("cranfield", "test", EVALUATION_ONLY),
    Task("climate-claims", "dev", OTHER, documents=3000),
    Task("checked-claims", "dev", OTHER, documents=3000),
    Task("squad-sentences", "dev", HELD_BACK, documents=2500),
    Task("tat-qa", "dev", HELD_BACK),
)


def queries_of(collection: Collection, count: int) -> list[str]:
    """Judged queries drawn at random, none of which the fusion was fitted on."""
    recipe = load_recipe(RECIPE)
    fitted: set[str] = set()
    for source in recipe.fusion.sources if recipe.fusion else []:
        if source.collection.name == collection.name:
            fitted.update(drawn_queries(collection, source, recipe.seed))
    judged = sorted(q for q, g in collection.qrels.items() if max(g.values()) > 0)
    rest = [query for query in judged if query not in fitted]
    return random.Random(SEED).sample(rest, min(count, len(rest)))


def index_of(task: Task, collection: Collection, queries: Sequence[str]) -> Index:
    """The collection's index, built unless it is there already with these documents."""
    count = task.documents or len(collection.documents)
    documents = drawn_documents(collection, queries, count, SEED)
    path = INDEXES / task.name
    if path.exists():
        index = Index.open(path)
        if sorted(index.ids()) == sorted(document.id for document in documents):
            return index
        index.close()
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    index = Index.create(path)
    index.add(documents)
    return index


def given_candidates(folder: Path, queries: Sequence[str]) -> list[list[Hit]] | None:
    """The published BM25 run of a collection that has one."""
    path = folder / "candidates" / "bm25.trec"
    if not path.exists():
        return None
    found: dict[str, list[Hit]] = {query: [] for query in queries}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, rank, score, _ = line.split()
        if query in found:
            found[query].append(
                Hit(document, float(score), int(rank), stage_scores={"bm25": float(score)})
            )
    return [found[query] for query in queries]


def removed(folder: Path) -> dict[str, set[str]]:
    """Documents to leave out of a query's ranking: cranfield's source documents."""
    path = folder / "source-documents.tsv"
    gone: dict[str, set[str]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            query, document = line.split("\t")[:2]
            gone.setdefault(query, set()).add(document)
    return gone


def union(rankings: Sequence[Sequence[Hit]], others: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
    """Per query, the hits of both, each document once, with both lists' stage scores."""
    merged = []
    for mine, theirs in zip(rankings, others, strict=True):
        hits = {hit.id: hit for hit in theirs}
        for hit in mine:
            known = hits.get(hit.id, hit)
            hits[hit.id] = replace(known, stage_scores={**known.stage_scores, **hit.stage_scores})
        merged.append(list(hits.values()))
    return merged


def scores_of(
    hits: Sequence[Hit], logits: Mapping[str, float], fusion: Fusion | None
) -> dict[str, dict[str, float]]:
    """System -> document -> score, for one query's candidates."""
    scores = {
        "bm25": {hit.id: hit.stage_scores["bm25"] for hit in hits},
        "cosine": {hit.id: hit.stage_scores["dense"] for hit in hits},
        "reranker": {hit.id: logits[hit.id] for hit in hits},
    }
    if fusion is not None and hits:
        signals = {
            "rerank": np.array(list(scores["reranker"].values())),
            "dense": np.array(list(scores["cosine"].values())),
            "bm25": np.array(list(scores["bm25"].values())),
        }
        values = fusion.score(signals).tolist()
        scores["fused"] = dict(zip(scores["bm25"], values, strict=True))
    if all("hybrid" in hit.stage_scores for hit in hits):
        scores["hybrid"] = {hit.id: hit.stage_scores["hybrid"] for hit in hits}
    return scores


def measure(
    collection: Collection, task: Task, runs: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, list[float]]]:
    """System -> measure -> one value per query, in the order of the queries."""
    measures = [nDCG @ 10, RR(rel=task.relevant_from) @ 10, AP(rel=task.relevant_from)]
    results: dict[str, dict[str, list[float]]] = {}
    for system, run in runs.items():
        queries = list(run)
        qrels = {query: collection.qrels[query] for query in queries}
        # The one total order of the project, written as scores that have no ties.
        scored = [
            ScoredDoc(query, document, float(-place))
            for query, scores in run.items()
            for place, (document, _, _) in enumerate(
                ranked((d, s, None) for d, s in scores.items())
            )
        ]
        values = {
            (v.query_id, v.measure): v.value for v in ir_measures.iter_calc(measures, qrels, scored)
        }
        results[system] = {
            name: [values.get((query, wanted), 0.0) for query in queries]
            for name, wanted in zip(MEASURES, measures, strict=True)
        }
    return results


def p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided paired randomisation test of the difference of means, 10,000 permutations."""
    test = permutation_test(
        (np.array(one), np.array(other)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=10_000,
        rng=np.random.default_rng(SEED),
        vectorized=True,
    )
    return float(test.pvalue)


def logits_of(
    task: Task,
    reranker: CrossEncoderReranker,
    index: Index,
    texts: Mapping[str, str],
    candidates: Sequence[Sequence[Hit]],
) -> dict[str, dict[str, float]]:
    """The reranker's logit by query and document; kept in a file named by its weights."""
    weights = Path(resolve_reranker(reranker.name)) / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    path = INDEXES / f"{task.name}-{digest}.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    for (query, text), hits in zip(texts.items(), candidates, strict=True):
        scored = known.setdefault(query, {})
        new = [hit for hit in hits if hit.id not in scored]
        documents = index.documents([hit.id for hit in new])
        new = [replace(h, document=d) for h, d in zip(new, documents, strict=True) if d]
        values = reranker.score([(text, passage(hit)) for hit in new])
        scored.update(zip((hit.id for hit in new), values.tolist(), strict=True))
    path.write_text(json.dumps(known), encoding="utf-8")
    return known


def evaluate(
    task: Task, root: Path, reranker: CrossEncoderReranker | None, fusion: Fusion | None, count: int
) -> dict[str, dict[str, dict[str, list[float]]]] | None:
    """Candidates ("bm25", "hybrid") -> system -> measure -> values per query."""
    folder = root / task.name
    collection = load_collection(folder, task.split)
    queries = queries_of(collection, count)
    with index_of(task, collection, queries) as index:
        if reranker is None:
            return None
        texts = [collection.queries[query] for query in queries]
        gone = removed(folder)
        lexical = given_candidates(folder, queries)
        if lexical is None:
            lexical = index.retriever("bm25").retrieve(texts, DEPTH)
        hybrid = index.retriever("hybrid").retrieve(texts, DEPTH)
        merged = index.stage_scores(texts, union(lexical, hybrid))
        known = logits_of(task, reranker, index, dict(zip(queries, texts, strict=True)), merged)
        runs: dict[str, dict[str, dict[str, dict[str, float]]]] = {"bm25": {}, "hybrid": {}}
        for query, first, second, both in zip(queries, lexical, hybrid, merged, strict=True):
            for name, ranking in (("bm25", first), ("hybrid", second)):
                kept = {hit.id for hit in ranking} - gone.get(query, set())
                hits = [hit for hit in both if hit.id in kept]
                for system, scores in scores_of(hits, known[query], fusion).items():
                    if system != "hybrid" or name == "hybrid":
                        runs[name].setdefault(system, {})[query] = scores
    return {name: measure(collection, task, of_name) for name, of_name in runs.items()}


def report(results: Results) -> dict[str, str]:
    """The tables, by heading."""
    return {
        "nDCG@10 on the candidates of BM25": _comparison(
            results,
            "bm25",
            ("bm25", "cosine", "reranker", "fused"),
            (("reranker", "bm25"), ("fused", "bm25"), ("fused", "cosine")),
        ),
        "nDCG@10 on the candidates of the hybrid first stage (the default)": _comparison(
            results,
            "hybrid",
            ("hybrid", "cosine", "reranker", "fused"),
            (("fused", "hybrid"), ("fused", "cosine")),
        ),
        "All measures on the candidates of BM25": table(
            ["collection", "ranked by", *MEASURES],
            [
                [name, system, *(f"{np.mean(values[m]):.3f}" for m in MEASURES)]
                for name, by_candidates in results.items()
                for system, values in by_candidates["bm25"].items()
            ],
        ),
    }


def _comparison(
    results: Results,
    candidates: str,
    systems: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> str:
    notes = {task.name: task.note for task in TASKS}
    rows = []
    for name, by_candidates in results.items():
        values = {system: own["nDCG@10"] for system, own in by_candidates[candidates].items()}
        rows.append(
            [
                name,
                notes[name],
                len(values["bm25"]),
                *(f"{np.mean(values[system]):.3f}" for system in systems),
                *(_against(values[one], values[other]) for one, other in pairs),
            ]
        )
    headers = ["collection", "what it is", "queries", *systems]
    return table([*headers, *(f"{one} - {other}" for one, other in pairs)], rows)


def _against(ours: Sequence[float], theirs: Sequence[float]) -> str:
    p = p_value(ours, theirs)
    difference = f"{np.mean(ours) - np.mean(theirs):+.3f} (p = {p:.3f})"
    return f"**{difference}**" if p < 0.05 else difference


def main() -> None:
    """Evaluate, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="rerank-search-base")
    parser.add_argument("--collections", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--index-only", action="store_true", help="build the indexes and stop")
    arguments = parser.parse_args()
    if not arguments.collections.is_dir():
        print(f"skipped: the collections are not there ({arguments.collections})")
        return
    reranker = None if arguments.index_only else CrossEncoderReranker(arguments.model)
    fusion = None if reranker is None else reranker.fusion
    results = {}
    for task in TASKS:
        if arguments.only and task.name not in arguments.only:
            continue
        found = evaluate(task, arguments.collections, reranker, fusion, arguments.queries)
        if found is not None:
            results[task.name] = found
            means = {s: round(float(np.mean(v["nDCG@10"])), 4) for s, v in found["bm25"].items()}
            hybrid = {s: round(float(np.mean(v["nDCG@10"])), 4) for s, v in found["hybrid"].items()}
            print(
                task.name,
                json.dumps(means),
                "| hybrid",
                json.dumps(hybrid),
                file=sys.stderr,
                flush=True,
            )
    if results and not arguments.only:
        print(publish(results, arguments.model, arguments.queries))


def publish(results: Results, model: str, queries: int) -> Path:
    """Write the report, and the bundled reranker's tables into its model card."""
    what = (
        f"The same candidates (top {DEPTH} of BM25, or of the hybrid first stage; for "
        "msmarco-dl19 the published run of BM25, top 100), ranked by BM25, by the encoder's "
        "cosine, by the reranker's logit, and by the fitted fusion of the three. "
        f"{queries} queries drawn at random where there are more. p: two-sided paired "
        "randomisation test over queries, not corrected for the number of collections; bold "
        "where p < 0.05. Where TASKS in eval/bundled_reranker.py caps the documents, the index "
        "holds the judged ones and others drawn at random, and values are higher than on the "
        "whole collection."
    )
    sections = {"What is compared": what} | report(results)
    means = {
        name: {
            candidates: {
                system: {measured: float(np.mean(values)) for measured, values in own.items()}
                for system, own in systems.items()
            }
            for candidates, systems in by_candidates.items()
        }
        for name, by_candidates in results.items()
    }
    title = "What the bundled reranker is worth"
    path = write("bundled-reranker", title, "make bench-quality", sections, means)
    if model in BUNDLED_RERANKERS:
        card = Path(resolve_reranker(model)) / "README.md"
        own = card.read_text(encoding="utf-8").split("\n## Figures\n")[0].rstrip()
        parts = [f"### {heading}\n\n{body}" for heading, body in sections.items()]
        card.write_text("\n\n".join([own, "## Figures", *parts]) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
