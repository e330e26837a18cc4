"""Collections as training reads them: texts, queries and judgements, and the indexed corpus."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.consistency import queries_in_corpus
from rerank_search.judged.corpus_index import content_key, open_corpus_index
from rerank_search.judged.findings import Tally, findings
from rerank_search.judged.formats.beir import load_beir
from rerank_search.judged.formats.lines import bare_name
from rerank_search.judged.loading import ignoring_identical_ids
from rerank_search.progress import Progress
from rerank_search.training.data import POSITIVE_ABOVE, labelled_rows, letters_and_digits
from rerank_search.training.recipe import Source
from rerank_search.types import Document, Hit

SPARE = 4
"""Random documents drawn beyond those that are wanted, in place of unusable ones."""

_DOCUMENTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Question:
    """A query with the ids of its ``relevant`` documents.

    ``known`` also has those of other queries with the same text. ``cut`` is the sentence that a
    made-up query was cut out of its one relevant document as. ``own`` says that the document with
    the query's id is the query itself: no candidate, and one of ``known``.
    """

    id: str
    text: str
    relevant: Sequence[str]
    known: frozenset[str]
    cut: str = ""
    own: bool = False


def collection_of_pairs(source: Source) -> JudgedCollection:
    """Labelled pairs as a collection: the second texts are the documents.

    Pairs with a label above POSITIVE_ABOVE make their first text a query, and their second one
    relevant for it; the other way round too, where each of the two is a query and a document. Ids
    are where a text is first one of these. Raises InvalidInputError as the reader of pairs does,
    for labels outside [0, 1], and where no pairs belong together.
    """
    file, rows, labels = labelled_rows(source)
    if not all(0 <= label <= 1 for label in labels):
        raise InvalidInputError(
            f"{file}: the labels go from {min(labels):g} to {max(labels):g}, and those of mined "
            "pairs are in [0, 1]: say in label_map which number each stands for"
        )
    blank = Tally("pairs with a blank text, left out")
    contradicted = Tally("pairs that are repeated with another label, taken as belonging together")
    seen: dict[tuple[str, str], bool] = {}
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for row, label in zip(rows, labels, strict=True):
        query, document = row.texts
        if not (query.strip() and document.strip()):
            blank.add(f"{file.name}, {row.place}")
            continue
        belong = label > POSITIVE_ABOVE
        if seen.setdefault(row.texts, belong) != belong:
            contradicted.add(f"{file.name}, {row.place}")
        found = documents.setdefault(document, row.place)
        if belong:
            qrels.setdefault(queries.setdefault(query, row.place), {})[found] = 1
    for (query, document), belong in seen.items():
        if belong and document in queries and query in documents:
            qrels[queries[document]][documents[query]] = 1
    if not qrels:
        raise InvalidInputError(
            f"{file} has no pairs with a label above {POSITIVE_ABOVE:g}, which belong together: "
            "set label_map, or leave out mined"
        )
    return JudgedCollection(
        name=source.name,
        split=bare_name(file),
        queries={place: query for query, place in queries.items()},
        qrels=qrels,
        documents=lambda: (Document(place, text) for text, place in documents.items()),
        located=lambda query, _: f"{file.name}, {query}",
        findings=findings([blank, contradicted]),
    )


def collection_of_folder(source: Source, split: str) -> JudgedCollection:
    """The collection of a source, as it is searched."""
    loaded = load_beir(source.path, split)
    return ignoring_identical_ids(loaded) if source.ignore_identical_ids else loaded


class Corpus:
    """The documents of a collection in its index, which retrieves as a search does."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.ids = list(index.ids())

    def own(self, collection: JudgedCollection) -> set[str]:
        """The judged queries that are documents themselves: these have their ids."""
        shared = queries_in_corpus(collection, self._index)
        return {query for query, same in shared.items() if same or collection.ignore_identical_ids}

    def retrieved(self, stage: str, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k documents of each query in a first stage."""
        return self._index.retriever(stage).retrieve(queries, k)

    def scored(self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The rankings, each hit with the scores of both first stages and its best passage."""
        return self._index.stage_scores(queries, rankings)

    def with_documents(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The rankings, each hit with its document."""
        ids = list(dict.fromkeys(hit.id for hits in rankings for hit in hits))
        documents = dict(zip(ids, self._index.documents(ids), strict=True))
        return [[replace(hit, document=documents[hit.id]) for hit in hits] for hits in rankings]

    def drawn(self, count: int, without: Set[str], rng: random.Random) -> list[Hit]:
        """``count`` documents at random, none of ``without``; fewer where there are no more."""
        places = rng.sample(range(len(self.ids)), min(len(self.ids), count + len(without)))
        ids = [id for id in map(self.ids.__getitem__, places) if id not in without]
        return [unranked(id) for id in ids[:count]]

    def shuffled(self, rng: random.Random) -> Iterator[Document]:
        """All documents in random order, streamed."""
        order = rng.sample(self.ids, len(self.ids))
        for start in range(0, len(order), _DOCUMENTS_AT_ONCE):
            found = self._index.documents(order[start : start + _DOCUMENTS_AT_ONCE])
            yield from (document for document in found if document is not None)


@contextmanager
def opened_corpus(
    collection: JudgedCollection, encoder: str, cache: Path, progress: Progress
) -> Iterator[Corpus]:
    """The corpus in the index that an evaluation with this encoder uses too.

    Built below ``cache`` unless it is there. Raises what ``open_corpus_index`` raises.
    """
    index, _ = open_corpus_index(
        collection.name, _documents(collection), _settings(encoder), cache / "indexes", progress
    )
    with index:
        yield Corpus(index)


def fingerprint(collection: JudgedCollection, encoder: str) -> dict[str, str]:
    """Digests of the documents with the encoder, and of the judged queries. Reads the documents."""
    judged = [
        [query, collection.queries.get(query), list(grades.items())]
        for query, grades in collection.qrels.items()
    ]
    return {
        "corpus": content_key(_documents(collection)(), _settings(encoder)),
        "judgements": hashlib.sha256(json.dumps(judged).encode()).hexdigest()[:32],
    }


def judged_questions(
    collection: JudgedCollection, corpus: Corpus, count: int | None, rng: random.Random
) -> tuple[list[Question], list[Tally]]:
    """The judged queries with a text and a relevant document in the corpus; ``count`` are drawn.

    In the order of the judgements, with tallies of what was left out before drawing.
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
        "queries are documents of the corpus, which are no candidates of their own",
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


def unranked(id: str) -> Hit:
    """A document that no first stage has found."""
    return Hit(id, 0.0, 0)


def _documents(collection: JudgedCollection) -> Callable[[], Iterator[Document]]:
    if collection.documents is None:
        raise InvalidInputError(f"{collection.name} has no documents: give a BEIR folder")
    return collection.documents


def _settings(encoder: str) -> IndexSettings:
    return IndexSettings(encoder=encoder)
