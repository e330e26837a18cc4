"""A table of PostgreSQL with 100,000 documents against an index of the same, in one run.

Usage: python eval/benchmarks/postgres.py [--documents N] [--queries N]

Writes eval/results/postgres.md and .json; with --documents the figures are printed only. The
vectors are random, because engines cost the same whatever the vectors mean.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import synthetic
from postgres_server import server
from report import table, write

from rerank_search import Document, EncodedQuery, Index
from rerank_search.stores import Store, open_store

DOCUMENTS, DIMENSION, K = 100_000, 384, 100
SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB"}
FILTERS: Mapping[str, Any] = {
    "none": None,
    "1 in 100": {"section": 7},
    "1 in 2": {"kind": "even"},
    "a range, 1 in 10": {"number": {"$lt": 0.1}},
}
SYSTEMS = ("index", "PostgreSQL", "PostgreSQL, HNSW")


def documents(count: int) -> list[Document]:
    """Documents of 60 words, with metadata: each filter allows a known share."""
    return [
        Document(
            f"d{place:07d}",
            text,
            metadata={
                "section": place % 100,
                "kind": "odd" if place % 2 else "even",
                "number": (place * 7919 % count) / count,
            },
        )
        for place, text in enumerate(synthetic.texts(count))
    ]


def timed(searched: Index | Store, stage: str, query: EncodedQuery, filter: Any) -> float:
    """The milliseconds of one search."""
    retriever = searched.retriever(stage)
    started = time.perf_counter()
    retriever.retrieve([query], K, filter=filter)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--queries", type=int, default=50)
    given = parser.parse_args()
    corpus = documents(given.documents)
    random = np.random.default_rng(synthetic.SEED)
    vectors = random.normal(size=(len(corpus), DIMENSION)).astype(np.float32)
    texts = synthetic.queries([each.text for each in corpus], given.queries)
    rows = random.normal(size=(len(texts), DIMENSION))
    queries = [EncodedQuery(text, row) for text, row in zip(texts, rows, strict=True)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(server(folder, **SETTINGS))
        index = stack.enter_context(
            Index.create(folder / "index", encoder=None, dimension=DIMENSION, passages=None)
        )
        url = f"{address}/postgres"
        exact, plain = (
            stack.enter_context(open_store(url, table=name, dimension=DIMENSION, create=True))
            for name in ("exact", "graph")
        )
        written = {
            SYSTEMS[0]: filled(index, corpus, vectors),
            SYSTEMS[1]: filled(exact, corpus, vectors),
            SYSTEMS[2]: filled(plain, corpus, vectors),
        }
        with psycopg.connect(url, autocommit=True) as connection:
            started = time.perf_counter()
            connection.execute("CREATE INDEX ON graph USING hnsw (vector vector_cosine_ops)")
            written[SYSTEMS[2]] += time.perf_counter() - started
            connection.execute("VACUUM ANALYZE")  # as PostgreSQL does by itself after a minute
        graph = stack.enter_context(open_store(url, table="graph", search="hnsw"))
        systems: dict[str, Index | Store] = dict(zip(SYSTEMS, (index, exact, graph), strict=True))
        found = searches(systems, queries)
    sections = {
        f"Writing {len(corpus):,} documents": f"{_WRITTEN}\n\n"
        + table(
            ["system", "seconds", "documents a second"],
            [[name, seconds, len(corpus) / seconds] for name, seconds in written.items()],
        ),
        f"The first {K} of {len(queries)} queries": _EXPLAINED + "\n\n" + _table(found),
    }
    if given.documents != DOCUMENTS:
        print("\n\n".join(sections.values()))
        return
    write(
        "postgres",
        "A table of PostgreSQL against an index",
        "python eval/benchmarks/postgres.py",
        sections,
        {"written": written, "searches": found},
    )


def filled(
    searched: Index | Store, corpus: Sequence[Document], vectors: np.ndarray[Any, Any]
) -> float:
    """The seconds in which all documents are written and can be found."""
    started = time.perf_counter()
    searched.add(corpus, vectors=vectors)
    return time.perf_counter() - started


def searches(
    systems: Mapping[str, Index | Store], queries: Sequence[EncodedQuery]
) -> list[dict[str, Any]]:
    """The milliseconds of each system by stage and filter; systems take turns at each query."""
    found = []
    for stage in ("words", "dense", "hybrid"):
        for name, filter in FILTERS.items():
            print(stage, name, file=sys.stderr, flush=True)
            times: dict[str, list[float]] = {system: [] for system in systems}
            for query in queries:
                for system, searched in systems.items():
                    own = searched.first_stages[0] if stage == "words" else stage
                    times[system].append(timed(searched, own, query, filter))
            found.append({"stage": stage, "filter": name, "milliseconds": times})
    return found


_WRITTEN = """
The HNSW index is made once the documents are there. The index makes one above 200,000 vectors.
""".strip()

_EXPLAINED = """
Milliseconds, median and 95th percentile. Words are BM25 in the index, and tsvector in PostgreSQL.
The index and the first table compare all vectors that the filter allows. The second table asks its
HNSW index without a filter, and compares all allowed vectors with one.
""".strip()


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in found:
        cells = [
            f"{np.median(times):.1f} / {np.percentile(times, 95):.1f}"
            for times in row["milliseconds"].values()
        ]
        lines.append([row["stage"], row["filter"], *cells])
    return table(["stage", "filter", *SYSTEMS], lines)


if __name__ == "__main__":
    main()
