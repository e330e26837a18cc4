"""How PostgreSQL should rank documents by words: its two functions, against BM25.

Usage: python eval/benchmarks/postgres_words.py

Writes eval/results/postgres-words.md and .json: nDCG@10 of 100 dev queries of three collections in
../shared/data, on which no figure of the evaluation is measured.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import psycopg
from postgres_server import server
from report import table, write

from rerank_search import Document, Index
from rerank_search.evaluation.measures import Scorer
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.stores import open_store

SHARED = Path(__file__).parents[3] / "shared/data"
COLLECTIONS = ("cloud-docs", "medquad", "fiqa")
QUERIES, DEPTH, MEASURE = 100, 100, "nDCG@10"
FUNCTIONS = (
    *(f"ts_rank, normalisation {number}" for number in (0, 1, 2)),
    *(f"ts_rank_cd, normalisation {number}" for number in (0, 1, 2, 4, 8, 16)),
)
SEARCH = r"""
WITH asked AS (
    SELECT string_agg('''' || replace(lexeme, '''', '''''') || '''', ' | ')::tsquery AS query
    FROM unnest(to_tsvector('english', replace(%s, '\', ' '))) AS words
)
SELECT id FROM docs, asked WHERE words @@ query
ORDER BY {function}(words, query, {number}) DESC, id LIMIT {depth}
"""


def main() -> None:
    """Measure, and write the report."""
    values: dict[str, dict[str, Any]] = {}
    for name in COLLECTIONS:
        settings = CollectionSettings(path=SHARED / name, split="dev", queries=QUERIES)
        values[name] = dict(measured(load_searched(settings)))
    rows = [
        [
            function,
            *(
                cell
                for name in COLLECTIONS
                for cell in (
                    f"{values[name][function]['ndcg']:.4f}",
                    values[name][function]["milliseconds"],
                )
            ),
        ]
        for function in values[COLLECTIONS[0]]
    ]
    heads = [head for name in COLLECTIONS for head in (name, "ms a query")]
    write(
        "postgres-words",
        "How PostgreSQL should rank documents by words",
        "python eval/benchmarks/postgres_words.py",
        {f"{MEASURE} of {QUERIES} dev queries": table(["ranked by", *heads], rows)},
        values,
    )


def measured(collection: JudgedCollection) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each function, and of BM25 in an index."""
    if collection.documents is None:
        sys.exit(f"{collection.name} has no documents: give the complete collection")
    documents = [Document(each.id, each.text, each.title) for each in collection.documents()]
    ids = list(collection.qrels)
    texts = [collection.queries[id] for id in ids]
    scorer = Scorer(collection.qrels, [MEASURE], relevant_from=collection.relevant_from)

    def figures(rankings: list[list[str]], started: float) -> dict[str, float]:
        milliseconds = (time.perf_counter() - started) * 1000 / len(ids)
        scores = scorer.score(dict(zip(ids, rankings, strict=True)))
        ndcg = fmean(scores[id][MEASURE] for id in ids)
        return {"ndcg": ndcg, "milliseconds": milliseconds}

    with tempfile.TemporaryDirectory() as folder:
        with Index.create(Path(folder) / "index", encoder=None) as index:
            index.add(documents)
            started = time.perf_counter()
            found = index.retriever("bm25").retrieve(texts, DEPTH)
            yield "BM25 in an index", figures([[hit.id for hit in hits] for hits in found], started)
        with server(Path(folder)) as address:
            url = f"{address}/postgres"
            with open_store(url, table="docs", dimension=0, create=True) as store:
                store.add(documents)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
                for function in FUNCTIONS:
                    print(collection.name, function, file=sys.stderr, flush=True)
                    name, number = function.split(", normalisation ")
                    query = SEARCH.format(function=name, number=number, depth=DEPTH)
                    started = time.perf_counter()
                    rankings = [
                        [id for (id,) in connection.execute(query.encode(), [text])]
                        for text in texts
                    ]
                    yield function, figures(rankings, started)


if __name__ == "__main__":
    main()
