"""The candidates that a first stage finds for judged queries: their scores and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.judged.candidates import QUERIES_AT_ONCE, CandidateSource
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.consistency import identical_ids
from rerank_search.judged.corpus_index import open_corpus_index, open_existing_index
from rerank_search.judged.loading import by_hash, load_searched
from rerank_search.judged.second_stages import SecondStage, SecondStages
from rerank_search.judged.settings import CollectionSettings, RerankerSettings
from rerank_search.progress import Progress, fractions, quiet
from rerank_search.reranking.fusion import RERANK, Fusion, Signals
from rerank_search.reranking.hit_text import passage
from rerank_search.retrieval.registry import encodes, is_engine
from rerank_search.settings import Settings


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """The candidates of one query: their scores by stage, and labels (1: relevant, else 0)."""

    signals: Signals
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JudgedCandidates:
    """The candidates of judged queries by one first stage; queries without any are left out.

    ``engines`` are those of the indexes, ``fused`` says whether the model has a fusion, and
    ``warnings`` are about the collections.
    """

    model: str
    fused: bool
    collections: Sequence[JudgedCollection]
    first_stage: str
    engines: Sequence[str]
    queries: Sequence[JudgedQuery]
    warnings: Sequence[str]


def judged_candidates(
    model: RerankerSettings | str,
    collections: Sequence[CollectionSettings],
    *,
    first_stage: str | None = None,
    candidates: int = 50,
    with_stages: bool = True,
    index: IndexSettings | None = None,
    progress: Progress = quiet,
) -> JudgedCandidates:
    """Search the collections for their judged queries, and score the candidates with the model.

    ``with_stages`` adds the scores of the first stages to the model's logits. A candidate without
    a judgement counts as not relevant. A collection without an index is indexed with the settings
    ``index``, by default with vectors if they are used. Indexes and scores are stored in
    ``Settings().cache``. Raises InvalidInputError for collections that cannot be searched, or have
    different engines, and what models and indexes raise.
    """
    if candidates < 1:
        raise InvalidInputError(f"candidates={candidates} must be at least 1")
    settings = RerankerSettings(model=model) if isinstance(model, str) else model
    if index is None:
        encoded = first_stage is None or encodes(first_stage) or with_stages
        index = IndexSettings() if encoded else IndexSettings(encoder=False)
    index = index.with_first_stages([] if first_stage is None else [first_stage])
    loaded = [load_searched(each) for each in collections]
    _check_distinct(collections)
    queries: list[JudgedQuery] = []
    warnings = [str(finding) for each in loaded for finding in each.findings]
    stages: set[tuple[str, tuple[str, ...]]] = set()  # first stages, with the engines there are
    second_stages = SecondStages(Settings().cache)
    with ExitStack() as stack:
        stack.callback(second_stages.close)
        second = second_stages.get(settings)
        for collection, given in zip(loaded, collections, strict=True):
            with _opened(collection, given.index, index, progress) as opened:
                stage = first_stage or opened.first_stages[-1]
                warnings += identical_ids(collection, opened)
                engines = tuple(name for name in opened.fused_stages if is_engine(name))
                stages.add((stage, engines))
                source = CandidateSource(
                    collection, opened, stage, candidates, reranked=True, with_scores=with_stages
                )
                label = f"{collection.name}: {candidates} candidates"
                with progress(label, len(collection.qrels)) as tick:
                    signals = engines if with_stages else ()
                    queries += _queries(collection, source, second, signals, tick)
    if len(stages) != 1:
        raise InvalidInputError(
            f"there are {len(stages)} kinds of indexes for {len(loaded)} collections, and one is "
            "needed: give at least one collection, and index all of them with the same engines"
        )
    [(stage, engines)] = stages
    return JudgedCandidates(
        settings.name or Path(settings.model).name,
        second.fusion is not None,
        loaded,
        stage,
        engines,
        [query for query in queries if len(query.labels)],
        warnings,
    )


def _check_distinct(collections: Sequence[CollectionSettings]) -> None:
    """Raise InvalidInputError if a query could be fitted on and held out at the same time."""
    given = [(each.path and each.path.resolve(), each.split) for each in collections]
    for path, split in given:
        if given.count((path, split)) > 1:
            raise InvalidInputError(
                f"{path} is given twice, so its queries would be both fitted on and held out: "
                "give each collection once"
            )


def _check_documents(collection: JudgedCollection, index: Index, path: Path) -> None:
    """Raise InvalidInputError for an index that lacks most of the relevant documents."""
    relevant = {
        document
        for grades in collection.qrels.values()
        for document, grade in grades.items()
        if grade >= collection.relevant_from
    }
    there = len(relevant.intersection(index.ids()))
    if 2 * there < len(relevant):
        raise InvalidInputError(
            f"{path} has only {there:,} of the {len(relevant):,} documents that are relevant in "
            f"{collection.name}/{collection.split}, so the missing ones would count as "
            "irrelevant: give the index of this collection, or none"
        )


def _opened(
    collection: JudgedCollection,
    existing: Path | None,
    settings: IndexSettings,
    progress: Progress,
) -> Index:
    if existing is not None:
        index = open_existing_index(existing)[0]
        _check_documents(collection, index, existing)
        return index
    if collection.documents is None:
        raise InvalidInputError(f"{collection.name} has no documents to search: give an index")
    return open_corpus_index(
        collection.name, collection.documents, settings, Settings().cache / "indexes", progress
    )[0]


def _queries(
    collection: JudgedCollection,
    source: CandidateSource,
    second: SecondStage,
    engines: Sequence[str],
    progress: Callable[[float], None],
) -> Iterator[JudgedQuery]:
    """Each judged query, in a random order that is always the same."""
    order = by_hash(collection.qrels)
    for start in range(0, len(order), QUERIES_AT_ONCE):
        chunk = list(source.candidates(order[start : start + QUERIES_AT_ONCE]))
        pairs = [
            (collection.queries[each.query], passage(hit))
            for each in chunk
            for hit in each.retrieved
        ]
        tick = fractions(progress, len(chunk), len(pairs))
        logits = iter(second.cache.scored(pairs, tick).values.tolist())
        for each in chunk:
            grades, hits = collection.qrels[each.query], each.retrieved
            signals = {name: np.array([hit.stage_scores[name] for hit in hits]) for name in engines}
            signals[RERANK] = np.array([next(logits) for _ in hits])
            relevant = [grades.get(hit.id, 0) >= collection.relevant_from for hit in hits]
            yield JudgedQuery(signals, np.array(relevant, dtype=np.int64))


def scores_of(queries: Sequence[JudgedQuery], fusion: Fusion | None) -> NDArray[np.float64]:
    """The final score of every candidate: the fusion's log-odds or the logit, float64, (n,)."""
    if fusion is None:
        return np.concatenate([np.asarray(q.signals[RERANK], dtype=np.float64) for q in queries])
    return np.concatenate([fusion.score(query.signals) for query in queries])


def labels_of(queries: Sequence[JudgedQuery]) -> NDArray[np.int64]:
    """1 for every relevant candidate, otherwise 0, in the order of ``scores_of``."""
    return np.concatenate([query.labels for query in queries])
