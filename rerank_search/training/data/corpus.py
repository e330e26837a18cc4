"""The documents of a source, in their index."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from rerank_search.compute import HERE, Compute
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.consistency import queries_in_corpus
from rerank_search.judged.corpus_index import content_key, open_corpus_index
from rerank_search.progress import Progress
from rerank_search.retrieval.registry import exact_versions
from rerank_search.searchable import with_documents
from rerank_search.types import Document, Hit, JsonValue

SPARE = 4
"""Number of random documents drawn in addition, to replace unusable ones."""

_DOCUMENTS_AT_ONCE = 500


class Corpus:
    """The documents of a collection in its index, which retrieves as a search does."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.ids = list(index.ids())

    def own(self, collection: JudgedCollection) -> set[str]:
        """The judged queries that are documents themselves, with the same id."""
        shared = queries_in_corpus(collection, self._index)
        return {query for query, same in shared.items() if same or collection.ignore_identical_ids}

    def retrieved(self, stage: str, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best k documents for each query in a first stage."""
        return self._index.retriever(stage).retrieve(queries, k)

    def scored(self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The rankings, each hit with the scores of both first stages and its best passage."""
        return self._index.stage_scores(queries, rankings)

    def with_documents(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The rankings, each hit with its document."""
        return with_documents(self._index, rankings)

    def drawn(self, count: int, without: Set[str], rng: random.Random) -> list[Hit]:
        """``count`` random documents, none of ``without``; fewer if there are no more."""
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
    collection: JudgedCollection,
    encoder: str,
    cache: Path,
    progress: Progress,
    first_stages: Iterable[str] = (),
    compute: Compute = HERE,
) -> Iterator[Corpus]:
    """The corpus in its index, which an evaluation with this encoder shares.

    The index is built below ``cache`` if it is not there. Raises what ``open_corpus_index`` raises.
    """
    index, _ = open_corpus_index(
        collection.name,
        _documents(collection),
        _settings(encoder, first_stages),
        cache / "indexes",
        progress,
        compute,
    )
    with index:
        yield Corpus(index)


def fingerprint(
    collection: JudgedCollection, encoder: str, first_stages: Iterable[str] = ()
) -> dict[str, JsonValue]:
    """Digests of documents with the encoder, and of judged queries. Reads all documents.

    It has the versions of first stages from other packages too.
    """
    judged = [
        [query, collection.queries.get(query), list(grades.items())]
        for query, grades in collection.qrels.items()
    ]
    stages = list(first_stages)
    versions = exact_versions(stages)
    return {
        "corpus": content_key(_documents(collection)(), _settings(encoder, stages)),
        "judgements": hashlib.sha256(json.dumps(judged).encode()).hexdigest()[:32],
        **({"first_stages": versions} if versions else {}),
    }


def unranked(id: str) -> Hit:
    """A hit for a document that no first stage has found."""
    return Hit(id, 0.0, 0)


def _documents(collection: JudgedCollection) -> Callable[[], Iterator[Document]]:
    if collection.documents is None:
        raise InvalidInputError(f"{collection.name} has no documents: give a BEIR folder")
    return collection.documents


def _settings(encoder: str, first_stages: Iterable[str]) -> IndexSettings:
    return IndexSettings(encoder=encoder).with_first_stages(first_stages)
