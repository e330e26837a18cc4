"""Identifiers and product numbers: what is found first, by analyzer, and what that costs texts.

Usage: python eval/benchmarks/identifiers.py

The documents and queries are those of identifiers.toml. Questions in plain English are those of
eval/collections/python-docs, and of ../shared/data/cloud-docs if it is there. Writes
eval/results/identifiers.md and .json.
"""

from __future__ import annotations

import statistics
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from report import table, write

from rerank_search import Document, Index
from rerank_search.evaluation.measures import Scorer
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.retrieval.base import Retriever

EVAL = Path(__file__).parent.parent
CLOUD_DOCS = EVAL.parent.parent / "shared" / "data" / "cloud-docs"
ANALYZERS = ("english", "plain", "multilingual", "code")
MEASURE = "nDCG@10"


def main() -> None:
    """Measure every analyzer, and write the report."""
    own = tomllib.loads((EVAL / "benchmarks/identifiers.toml").read_text(encoding="utf-8"))
    documents = [Document(id, text) for id, text in own.pop("documents").items()]
    found = {analyzer: first_hits(analyzer, documents, own) for analyzer in ANALYZERS}
    questions = {name: dict(in_words(settings)) for name, settings in collections().items()}
    counts = [
        [kind, len(queries), *(right(found[analyzer], queries) for analyzer in ANALYZERS)]
        for kind, queries in own.items()
    ]
    each = [
        [f"`{query}`", *(shown(found[name].get(query), expected) for name in ANALYZERS)]
        for queries in own.values()
        for query, expected in queries.items()
    ]
    path = write(
        "identifiers",
        "Identifiers and product numbers",
        "python eval/benchmarks/identifiers.py",
        {
            "Found first": "Queries whose document BM25 ranks first, of "
            f"{len(documents)} made-up documents.\n\n"
            + table(["the query is", "queries", *ANALYZERS], counts),
            "Questions in plain English": f"{MEASURE} of BM25.\n\n"
            + table(
                ["collection", *ANALYZERS],
                [
                    [name, *(f"{figures[each]:.3f}".lstrip("0") for each in ANALYZERS)]
                    for name, figures in questions.items()
                ],
            ),
            "Each query": "Yes, or the document that is first instead.\n\n"
            + table(["query", *ANALYZERS], each),
        },
        {"first": found, "questions": questions},
    )
    print(path)


def first_hits(
    analyzer: str, documents: Iterable[Document], own: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """The first document of each query that finds one."""
    queries = [query for kind in own.values() for query in kind]
    with bm25(analyzer, documents) as retriever:
        rankings = retriever.retrieve(queries, 1)
    return {query: hits[0].id for query, hits in zip(queries, rankings, strict=True) if hits}


def right(found: Mapping[str, str], queries: Mapping[str, str]) -> int:
    """The number of queries that find their document first."""
    return sum(found.get(query) == expected for query, expected in queries.items())


def shown(found: str | None, expected: str) -> str:
    """What a query finds first, in the report."""
    return "yes" if found == expected else found or "nothing"


def collections() -> dict[str, CollectionSettings]:
    """Collections of questions in plain English about code."""
    found = {"python-docs": CollectionSettings(path=EVAL / "collections/python-docs")}
    if CLOUD_DOCS.is_dir():
        found["cloud-docs"] = CollectionSettings(path=CLOUD_DOCS, split="dev")
    return found


def in_words(settings: CollectionSettings) -> Iterator[tuple[str, float]]:
    """The quality of each analyzer on a collection."""
    collection = load_searched(settings)
    assert collection.documents is not None
    queries = {id: text for id, text in collection.queries.items() if id in collection.qrels}
    scorer = Scorer(collection.qrels, [MEASURE])
    for analyzer in ANALYZERS:
        with bm25(analyzer, collection.documents()) as retriever:
            found = retriever.retrieve(list(queries.values()), 100)
        rankings = {
            query: [hit.id for hit in hits if hit.id not in collection.left_out(query)]
            for query, hits in zip(queries, found, strict=True)
        }
        scores = scorer.score(rankings)
        yield analyzer, statistics.fmean(score[MEASURE] for score in scores.values())


@contextmanager
def bm25(analyzer: str, documents: Iterable[Document]) -> Iterator[Retriever]:
    """BM25 over documents, which are not split."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(
            Path(folder) / "index", encoder=None, passages=None, analyzer=analyzer
        ) as index,
    ):
        index.add(documents)
        yield index.retriever("bm25")


if __name__ == "__main__":
    main()
