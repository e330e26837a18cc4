"""The quality of BM25 in other languages: before, by language, without one, and in a mixed index.

Usage: python eval/benchmarks/languages.py

Writes eval/results/languages.md and .json. The collections are in ../shared/data; without them it
says so and writes nothing. "Before" is the analyzer plain, which was all there was for them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import table, write

from rerank_search import Document, Index
from rerank_search.evaluation.measures import Scorer
from rerank_search.index import Bm25Settings
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.base import Retriever

SHARED = Path(__file__).parents[3] / "shared" / "data"
LANGUAGES = {"zh": "multilingual", "th": "multilingual", "ru": "ru", "ar": "ar", "de": "de"}
"""The languages of XQuAD that there are, each with its analyzer."""

REFERENCE = {"zh": 0.902, "th": 0.969, "ru": 0.952, "ar": 0.934, "de": 0.941}
"""What the same BM25 reached elsewhere with n-grams, or with the language's stemmer."""

ENGLISH = (
    CollectionSettings(path=SHARED / "scifact", split="train"),
    CollectionSettings(
        path=SHARED / "cranfield", excluded=SHARED / "cranfield/source-documents.tsv"
    ),
    CollectionSettings(path=SHARED / "tat-qa", split="dev"),
)
MEASURE = "nDCG@10"
DEPTH = 100


def main() -> None:
    """Measure all, and write the report."""
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is missing, with the collections that this measures: nothing is done")
    xquad = {
        code: load_searched(CollectionSettings(path=SHARED / f"xquad-{code}")) for code in LANGUAGES
    }
    english = {each.name: in_english(each) for each in map(load_searched, ENGLISH)}
    alone = {code: in_own_index(code, xquad[code]) for code in LANGUAGES}
    mixed = in_one_index(xquad)
    sections = {
        "An index of one language": (
            f"{MEASURE} of BM25 on XQuAD: 240 paragraphs and about 1,180 questions in each "
            "language. The analyzer of the language is multilingual for zh and th, and the stemmer "
            "for the others. tantivy rounds the lengths of texts, and bm25s does not. Stop words "
            "are the language's own list, where there is one."
            "\n\n" + table(["language", *ALONE, "reference", ""], rows_alone(alone))
        ),
        "All five languages in one index": (
            f"The same questions to an index of all {240 * len(xquad):,} paragraphs. An answer in "
            "another language is not relevant, although it is a translation. The last column is "
            "the mean number of terms that `auto` makes of a paragraph.\n\n"
            + table(
                ["language", "index per language", *MIXED, "terms"],
                rows_mixed(alone, mixed, {code: lengths(xquad[code]) for code in xquad}),
            )
        ),
        "English": (
            f"{MEASURE} of BM25 on English collections.\n\n"
            + table(
                ["collection", *IN_ENGLISH],
                [[name, *map(shown, row.values())] for name, row in english.items()],
            )
        ),
    }
    data = {"alone": alone, "mixed": mixed, "english": english}
    print(
        write("languages", "Every language", "python eval/benchmarks/languages.py", sections, data)
    )


ALONE = ("before", "its analyzer", "in bm25s", "with stop words", "multilingual", "auto")
MIXED = ("auto", "auto with stop words", "multilingual", "before")
IN_ENGLISH = ("english", "with stop words", "plain", "multilingual", "auto")


def in_own_index(code: str, collection: JudgedCollection) -> dict[str, float | None]:
    """The quality of each analyzer on one language."""
    own = LANGUAGES[code]
    listed = code in ("ru", "de")
    return dict(
        zip(
            ALONE,
            (
                quality(collection, analyzer="plain"),
                quality(collection, analyzer=own),
                quality(collection, analyzer=own, bm25=Bm25Settings(engine="bm25s")),
                quality(collection, analyzer=own, stop_words="language") if listed else None,
                quality(collection, analyzer="multilingual"),
                quality(collection, analyzer="auto"),
            ),
            strict=True,
        )
    )


def in_english(collection: JudgedCollection) -> dict[str, float | None]:
    """The quality of each analyzer on an English collection."""
    figures = (
        quality(collection, analyzer="english"),
        quality(collection, analyzer="english", stop_words="language"),
        quality(collection, analyzer="plain"),
        quality(collection, analyzer="multilingual"),
        quality(collection, analyzer="auto"),
    )
    return dict(zip(IN_ENGLISH, figures, strict=True))


def quality(collection: JudgedCollection, **settings: Any) -> float:
    """The mean of the measure over the judged queries."""
    assert collection.documents is not None
    with indexed(collection.documents(), **settings) as index:
        return mean(index.retriever("bm25"), collection)


def in_one_index(xquad: Mapping[str, JudgedCollection]) -> dict[str, dict[str, float]]:
    """The quality in each language, by the analyzer of an index of all."""
    chosen: dict[str, dict[str, Any]] = {
        "auto": {"analyzer": "auto"},
        "auto with stop words": {"analyzer": "auto", "stop_words": "language"},
        "multilingual": {"analyzer": "multilingual"},
        "before": {"analyzer": "plain"},
    }
    found: dict[str, dict[str, float]] = {code: {} for code in xquad}
    for name, settings in chosen.items():
        with indexed(everything(xquad), **settings) as index:
            for code, collection in xquad.items():
                found[code][name] = mean(index.retriever("bm25"), collection, f"{code}-")
    return found


def everything(xquad: Mapping[str, JudgedCollection]) -> Iterator[Document]:
    """The documents of all languages, their ids beginning with the language."""
    for code, collection in xquad.items():
        assert collection.documents is not None
        for each in collection.documents():
            yield Document(f"{code}-{each.id}", each.text, title=each.title)


@contextmanager
def indexed(documents: Iterable[Document], **settings: Any) -> Iterator[Index]:
    """An index of documents, which are not split, in a folder that is removed at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(Path(folder) / "index", encoder=None, passages=None, **settings) as index,
    ):
        index.add(documents)
        yield index


def mean(bm25: Retriever, collection: JudgedCollection, prefix: str = "") -> float:
    """The mean of the measure over the judged queries; ids of documents begin with ``prefix``."""
    return statistics.fmean(scores(bm25, collection, prefix).values())


def scores(bm25: Retriever, collection: JudgedCollection, prefix: str = "") -> dict[str, float]:
    """The measure of each judged query, by its id."""
    queries = {id: text for id, text in collection.queries.items() if id in collection.qrels}
    rankings = {}
    for (query, _), hits in zip(
        queries.items(), bm25.retrieve(list(queries.values()), DEPTH), strict=True
    ):
        ids = [hit.id for hit in hits]
        rankings[query] = [id for id in ids if id not in collection.left_out(query)]
    qrels = {
        query: {prefix + id: grade for id, grade in grades.items()}
        for query, grades in collection.qrels.items()
    }
    found = Scorer(qrels, [MEASURE]).score(rankings)
    return {query: score[MEASURE] for query, score in found.items()}


def rows_alone(alone: Mapping[str, Mapping[str, float | None]]) -> Iterator[Sequence[object]]:
    """The rows of the first table, with the reference and whether it was reached."""
    for code, figures in alone.items():
        reached = round(figures["its analyzer"] or 0.0, 3) >= REFERENCE[code]
        yield [
            code,
            *map(shown, figures.values()),
            shown(REFERENCE[code]),
            "reached" if reached else "**missed**",
        ]


def lengths(collection: JudgedCollection) -> int:
    """The mean number of terms of a document with the analyzer ``auto``."""
    assert collection.documents is not None
    texts = (f"{each.title}\n{each.text}" for each in collection.documents())
    return round(statistics.fmean(len(terms("auto", text)) for text in texts))


def rows_mixed(
    alone: Mapping[str, Mapping[str, float | None]],
    mixed: Mapping[str, Mapping[str, float]],
    long: Mapping[str, int],
) -> Iterator[Sequence[object]]:
    """The rows of the second table, and their mean."""
    rows = [[alone[code]["its analyzer"] or 0.0, *mixed[code].values()] for code in mixed]
    for code, row in zip(mixed, rows, strict=True):
        yield [code, *map(shown, row), long[code]]
    yield ["mean", *(shown(statistics.fmean(column)) for column in zip(*rows, strict=True)), ""]


def shown(value: float | None) -> str:
    """A figure as in the literature: .942."""
    return "" if value is None else f"{value:.3f}".lstrip("0")


if __name__ == "__main__":
    main()
