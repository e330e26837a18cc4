"""The judged queries of a collection for which negatives or candidates are found."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Tally
from rerank_search.training.data.corpus import Corpus
from rerank_search.training.data.texts import letters_and_digits


@dataclass(frozen=True, slots=True)
class Question:
    """A query with the ids of its ``relevant`` documents.

    ``known`` also has those of other queries with the same text. ``cut`` is the sentence that was
    taken out of the one relevant document of a made-up query. ``own`` says that the document with
    the query's id is the query itself: not a candidate, and one of ``known``.
    """

    id: str
    text: str
    relevant: Sequence[str]
    known: frozenset[str]
    cut: str = ""
    own: bool = False


def judged_questions(
    collection: JudgedCollection, corpus: Corpus, count: int | None, rng: random.Random
) -> tuple[list[Question], list[Tally]]:
    """``count`` of the judged queries with a text and a relevant document in the corpus.

    They are in the order of the judgements, with tallies of what was left out before drawing.
    """
    ids = set(corpus.ids)
    asked = {
        query: [
            id
            for id, grade in grades.items()
            if grade >= collection.relevant_from and id not in collection.left_out(query)
        ]
        for query, grades in collection.qrels.items()
        if query in collection.queries
    }
    relevant = {query: [id for id in found if id in ids] for query, found in asked.items()}
    known: dict[str, set[str]] = {}
    for query, found in relevant.items():
        known.setdefault(letters_and_digits(collection.queries[query]), set()).update(found)
    own = {query for query in corpus.own(collection) if query not in relevant[query]}
    for query in own:
        known[letters_and_digits(collection.queries[query])].add(query)
    usable = [query for query, found in relevant.items() if found]
    drawn = set(usable if count is None else rng.sample(usable, min(count, len(usable))))
    questions = [
        Question(
            query,
            text,
            relevant[query],
            frozenset(known[letters_and_digits(text)]),
            own=query in own,
        )
        for query in usable
        if query in drawn and (text := collection.queries[query])
    ]
    themselves = Tally.of(
        "queries are documents of the corpus, which are left out of their own candidates",
        (query for query in collection.qrels if query in own),
        lambda query: f"query {query!r}",
    )
    return questions, [themselves, *_left_out(collection, asked, relevant)]


def _left_out(
    collection: JudgedCollection, asked: Mapping[str, list[str]], relevant: Mapping[str, list[str]]
) -> list[Tally]:
    def place(query: str) -> str:
        gone = [id for id in asked.get(query, ()) if id not in relevant[query]]
        document = gone[0] if gone else next(iter(collection.qrels[query]))
        return f"{collection.located(query, document)}: document {document!r} for query {query!r}"

    return [
        Tally.of(
            "judged queries without a text, left out",
            (query for query in collection.qrels if query not in asked),
            place,
        ),
        Tally.of(
            "relevant documents that are not in the corpus, left out",
            (query for query in asked for id in asked[query] if id not in relevant[query]),
            place,
        ),
        Tally.of(
            "judged queries without a relevant document in the corpus, left out",
            (query for query, found in relevant.items() if not found),
            place,
        ),
    ]
