"""What the bundled reranker is worth: each stage alone, and fused, on collections it never saw.

Usage: python eval/bundled_reranker.py [MODEL] [--collections DIR] [--only NAME ...]

Writes eval/results/bundled-reranker.md and .json. Indexes are kept in runs/quality, so that a
second run only reranks.
"""

from __future__ import annotations

import argparse
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
from rerank_search.ranking import ranked
from rerank_search.searcher import passage
from rerank_search.training.collection import Collection, load_collection
from rerank_search.training.fusion import drawn_documents, drawn_queries
from rerank_search.training.recipe import load_recipe

HERE = Path(__file__).parent
INDEXES = HERE.parent / "runs" / "quality"
RECIPE = HERE / "recipes" / "rerank-search-base.toml"
SEED = 7
DEPTH = 50
SYSTEMS = ("bm25", "cosine", "reranker", "fused")


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
    Task("fiqa", "dev", OTHER, documents=6000),
    Task("climate-claims", "dev", OTHER, documents=6000),
    Task("checked-claims", "dev", OTHER, documents=6000),
    Task("medquad", "dev", HELD_BACK, documents=5000),
    Task("squad-sentences", "dev", HELD_BACK, documents=5000),
    Task("tat-qa", "dev", HELD_BACK),
    Task("doctor-answers", "dev", HELD_BACK, documents=5000),
    Task("pubmedqa", "dev", HELD_BACK),
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
            for name, wanted in zip(("nDCG@10", "MRR@10", "MAP"), measures, strict=True)
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
        runs: dict[str, dict[str, dict[str, dict[str, float]]]] = {"bm25": {}, "hybrid": {}}
        for query, text, first, second, both in zip(
            queries, texts, lexical, hybrid, merged, strict=True
        ):
            documents = index.documents([hit.id for hit in both])
            both = [replace(h, document=d) for h, d in zip(both, documents, strict=True) if d]
            values = reranker.score([(text, passage(hit)) for hit in both])
            logits = dict(zip((hit.id for hit in both), values.tolist(), strict=True))
            for name, ranking in (("bm25", first), ("hybrid", second)):
                kept = {hit.id for hit in ranking} - gone.get(query, set())
                hits = [hit for hit in both if hit.id in kept]
                for system, scores in scores_of(hits, logits, fusion).items():
                    if system != "hybrid" or name == "hybrid":
                        runs[name].setdefault(system, {})[query] = scores
    return {name: measure(collection, task, of_name) for name, of_name in runs.items()}


def report(
    results: Mapping[str, Mapping[str, Mapping[str, Mapping[str, list[float]]]]],
) -> dict[str, str]:
    """The tables, by heading."""
    sections: dict[str, str] = {}
    tasks = {task.name: task for task in TASKS}
    for candidates, baselines in (("bm25", ("bm25", "cosine")), ("hybrid", ("hybrid", "cosine"))):
        systems = [*dict.fromkeys([*baselines, "reranker", "fused"])]
        rows = []
        for name, by_candidates in results.items():
            own = by_candidates[candidates]
            present = [system for system in systems if system in own]
            best = "fused" if "fused" in own else "reranker"
            rows.append(
                [
                    name,
                    tasks[name].note,
                    len(own["reranker"]["nDCG@10"]),
                    *(f"{np.mean(own[system]['nDCG@10']):.3f}" for system in present),
                    *(
                        _against(own[best]["nDCG@10"], own[baseline]["nDCG@10"])
                        for baseline in baselines
                    ),
                ]
            )
        headers = ["collection", "what it is", "queries", *present]
        headers += [f"{best} against {baseline}" for baseline in baselines]
        heading = {
            "bm25": "nDCG@10 on the candidates of BM25",
            "hybrid": "nDCG@10 on the candidates of the hybrid first stage (the default)",
        }[candidates]
        sections[heading] = table(headers, rows)
    rows = [
        [name, system, *(f"{np.mean(own[system][m]):.3f}" for m in ("MAP", "MRR@10", "nDCG@10"))]
        for name, by_candidates in results.items()
        for own in [by_candidates["bm25"]]
        for system in SYSTEMS
        if system in own
    ]
    sections["MAP and MRR@10 on the candidates of BM25"] = table(
        ["collection", "ranked by", "MAP", "MRR@10", "nDCG@10"], rows
    )
    return sections


def _against(ours: Sequence[float], theirs: Sequence[float]) -> str:
    p = p_value(ours, theirs)
    mark = "significant" if p < 0.05 else "not significant"
    return f"{np.mean(ours) - np.mean(theirs):+.3f} (p = {p:.3f}, {mark})"


def main() -> None:
    """Evaluate, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="rerank-search-base")
    parser.add_argument("--collections", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--queries", type=int, default=100)
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
        sections = {
            "What is compared": (
                f"The same candidates (top {DEPTH} of BM25, or of the hybrid first stage; for "
                "msmarco-dl19 the published run of BM25, top 100), ranked by BM25, by the "
                "encoder's cosine, by the reranker's logit, and by the fitted fusion of the "
                f"three. {arguments.queries} queries drawn at random where there are more. p: "
                "two-sided paired randomisation test over queries, not corrected for the number "
                "of collections. Where the table of collections in eval/bundled_reranker.py caps "
                "the documents, the index holds the judged ones and others drawn at random, and "
                "values are higher than on the whole collection."
            )
        }
        path = write(
            "bundled-reranker",
            "What the bundled reranker is worth",
            "python eval/bundled_reranker.py",
            sections | report(results),
            {
                n: {
                    c: {s: {m: float(np.mean(v)) for m, v in ms.items()} for s, ms in ss.items()}
                    for c, ss in cs.items()
                }
                for n, cs in results.items()
            },
        )
        print(path)


if __name__ == "__main__":
    main()
