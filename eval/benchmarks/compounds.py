"""German compounds: whether BM25 ranks better if they are split into words of the index.

Usage: python eval/benchmarks/compounds.py

A word is split if its parts are words of the documents, which is the only list of words that an
index has (Koehn and Knight, Empirical Methods for Compound Splitting, EACL 2003). Writes
eval/results/compounds.md and .json. The collection is in ../shared/data; without it the command
says so and writes nothing.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from languages import MEASURE, SHARED, indexed, scores, shown
from report import table, write

from rerank_search import Document
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.evaluation.statistics import bootstrap_interval, holm, p_value
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings

SHORTEST = 3
"""Fewest letters of a part, as in the paper."""

FILLERS = ("", "s", "es")
"""Letters that may stand between two parts, as in the paper."""

_WORD = re.compile(r"[^\W\d_]+")

Split = Callable[[str], Sequence[str]]
"""A function that gives the parts of a word; no parts for a word that is left whole."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to split: how, in what, and whether the whole word stays beside its parts."""

    name: str
    split: Callable[[Mapping[str, int]], Split]
    documents: bool = True
    queries: bool = True
    whole: bool = True


def main() -> None:
    """Measure each way, and write the report."""
    path = SHARED / "xquad-de"
    if not path.is_dir():
        sys.exit(f"{path} is missing, which this measures: nothing is done")
    collection = load_searched(CollectionSettings(path=path))
    counts = words_of(collection)
    before = german(collection)
    found = {way.name: measured(collection, way, counts, before) for way in WAYS}
    corrected = holm([each["p"] for each in found.values()])
    for figures, p in zip(found.values(), corrected, strict=True):
        figures["p_holm"] = p
    mean = sum(before) / len(before)
    sections = {
        "What is measured": (
            f"{MEASURE} of BM25 with the analyzer `german` on XQuAD: 240 paragraphs and "
            f"{len(before):,} questions. A word is split if all of its parts are words of the "
            f"paragraphs ({len(counts):,} different ones), have at least {SHORTEST} letters, and "
            "have nothing, s or es between them. By frequency: the split, or the whole word, with "
            "the highest geometric mean of the counts (Koehn and Knight, 2003). Eager: the split "
            "with the most parts. Words that are split are counted among the different words of "
            "paragraphs and questions. In brackets: 95% of the difference from no splitting. p is "
            "that of a randomisation test, corrected for the number of ways (Holm)."
        ),
        "Result": table(
            ["way", MEASURE, "difference", "", "p", "questions better", "worse", "words split"],
            [["no splitting", shown(mean), "", "", "", "", "", ""], *map(row, found.items())],
        ),
        "Splits by frequency": "The most frequent words that are split.\n\n"
        + ", ".join(f"`{word}`: {' '.join(parts)}" for word, parts in examples(counts, 30)),
    }
    print(
        write(
            "compounds",
            "German compounds",
            "python eval/benchmarks/compounds.py",
            sections,
            {"none": mean, **found},
        )
    )


def words_of(collection: JudgedCollection) -> Counter[str]:
    """How often each word is in the documents, in small letters."""
    assert collection.documents is not None
    texts = (f"{each.title} {each.text}" for each in collection.documents())
    return Counter(word.lower() for text in texts for word in _WORD.findall(text))


def splits(word: str, counts: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """All ways to make a word of several words, with the letters between them left out."""
    for end in range(SHORTEST, len(word) - SHORTEST + 1):
        if (first := word[:end]) not in counts:
            continue
        for filler in FILLERS:
            if not word.startswith(filler, end):
                continue
            rest = word[end + len(filler) :]
            if len(rest) >= SHORTEST and rest in counts:
                yield first, rest
            for more in splits(rest, counts):
                yield first, *more


def by_frequency(counts: Mapping[str, int]) -> Split:
    """Split where the geometric mean of the parts' counts is highest, and above the word's own."""

    def weight(parts: Sequence[str]) -> float:
        return math.exp(sum(math.log(counts[part]) for part in parts) / len(parts))

    def split(word: str) -> Sequence[str]:
        best = max(splits(word, counts), key=lambda parts: (weight(parts), parts), default=())
        return best if best and weight(best) > counts.get(word, 0) else ()

    return cache(split)


def eagerly(counts: Mapping[str, int]) -> Split:
    """Split into as many parts as possible."""
    return cache(lambda word: max(splits(word, counts), key=len, default=()))


WAYS = (
    Way("by frequency, both with the whole word", by_frequency),
    Way("by frequency, documents only", by_frequency, queries=False),
    Way("by frequency, questions only", by_frequency, documents=False),
    Way("by frequency, both without the whole word", by_frequency, whole=False),
    Way("eager, both with the whole word", eagerly),
    Way("eager, both without the whole word", eagerly, whole=False),
)


def with_parts(text: str, split: Split, *, whole: bool) -> str:
    """The text with the parts of its words beside them, or in their places."""

    def written(word: re.Match[str]) -> str:
        parts = split(word[0].lower())
        return " ".join([*([word[0]] if whole or not parts else []), *parts])

    return _WORD.sub(written, text)


def measured(
    collection: JudgedCollection, way: Way, counts: Mapping[str, int], before: Sequence[float]
) -> dict[str, Any]:
    """The figures of a way to split."""
    split = way.split(counts)
    found = german(split_in(collection, way, split))
    differences = [one - other for one, other in zip(found, before, strict=True)]
    asked = {word.lower() for text in collection.queries.values() for word in _WORD.findall(text)}
    settings = StatisticsSettings()
    return {
        "mean": sum(found) / len(found),
        "difference": sum(differences) / len(differences),
        "interval": bootstrap_interval(differences, settings),
        "p": p_value(found, before, settings),
        "better": sum(each > 1e-9 for each in differences),
        "worse": sum(each < -1e-9 for each in differences),
        "split": sum(bool(split(word)) for word in counts.keys() | asked),
    }


def split_in(collection: JudgedCollection, way: Way, split: Split) -> JudgedCollection:
    """The collection with words split in its documents, its queries, or both."""
    documents = collection.documents
    assert documents is not None

    def written() -> Iterator[Document]:
        for each in documents():
            text, title = (
                with_parts(part, split, whole=way.whole) for part in (each.text, each.title)
            )
            yield replace(each, text=text, title=title)

    queries = {
        id: with_parts(text, split, whole=way.whole) for id, text in collection.queries.items()
    }
    return replace(
        collection,
        documents=written if way.documents else documents,
        queries=queries if way.queries else collection.queries,
    )


def german(collection: JudgedCollection) -> list[float]:
    """The measure of each judged query, in the order of their ids."""
    assert collection.documents is not None
    with indexed(collection.documents(), analyzer="de") as index:
        found = scores(index.retriever("bm25"), collection)
    return [found[query] for query in sorted(found)]


def row(figures: tuple[str, Mapping[str, Any]]) -> list[object]:
    """A row of the report."""
    name, of = figures
    low, high = of["interval"]
    return [
        name,
        shown(of["mean"]),
        f"{of['difference']:+.4f}",
        f"({low:+.4f}, {high:+.4f})",
        of["p_holm"],
        of["better"],
        of["worse"],
        of["split"],
    ]


def examples(counts: Counter[str], most: int) -> list[tuple[str, Sequence[str]]]:
    """The most frequent words that are split by frequency."""
    split = by_frequency(counts)
    return [(word, parts) for word, _ in counts.most_common() if (parts := split(word))][:most]


if __name__ == "__main__":
    main()
