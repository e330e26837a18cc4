"""Fits fusion and calibration on judged collections, over the stages that will serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.candidates import QUERIES_AT_ONCE, CandidateSource
from rerank_search.evaluation.collection import Collection
from rerank_search.evaluation.consistency import identical_ids
from rerank_search.evaluation.corpus_index import open_corpus_index, open_existing_index
from rerank_search.evaluation.experiment import CollectionSettings, RerankerSettings
from rerank_search.evaluation.loading import by_hash, load_collection
from rerank_search.evaluation.second_stages import SecondStage, SecondStages
from rerank_search.files import atomic_write_bytes, disk_errors
from rerank_search.index import Index
from rerank_search.progress import Progress, fractions, quiet
from rerank_search.reranking.calibration import (
    Calibration,
    FittedOn,
    HeldOut,
    Isotonic,
    Method,
    Platt,
    fit_curve,
)
from rerank_search.reranking.fusion import RERANK, Z_SUFFIX, Fusion, Signals, Weights
from rerank_search.searcher import passage
from rerank_search.settings import Settings
from rerank_search.training.reliability import Bin, reliability, reliability_plot

FOLDS = 5
FEW_POSITIVES = 30
TERMS = ("rerank", "dense:z", "bm25:z")
PLOT_FILE = "reliability.svg"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What ``calibrate`` found.

    ``before`` and ``after`` are the bins of held-out documents, by the sigmoid of the score and
    by the calibration. ``warnings`` are what a reader of the probabilities should know.
    """

    fusion: Fusion | None
    calibration: Calibration
    before: Sequence[Bin]
    after: Sequence[Bin]
    warnings: Sequence[str]

    def save(self, directory: Path) -> None:
        """Write ``fusion.json`` (if one was fitted), ``calibration.json`` and a plot of both.

        Raises MissingDependencyError without matplotlib, and StorageFullError and such.
        """
        plot = reliability_plot({"before": self.before, "after": self.after})
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            if self.fusion is not None:
                self.fusion.save(directory)
        self.calibration.save(directory)
        atomic_write_bytes(directory / PLOT_FILE, plot)


@dataclass(frozen=True, slots=True)
class _Query:
    """The candidates of one query: their scores by stage, and 1 for each that is relevant."""

    signals: Signals
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Fit:
    fusion: Fusion | None
    curve: Platt | Isotonic

    def scores(self, queries: Sequence[_Query]) -> NDArray[np.float64]:
        return _scores(self.fusion, queries)

    def weights(self, stages: Sequence[str]) -> Weights | None:
        return None if self.fusion is None else self.fusion.choose([RERANK, *stages])


def calibrate(
    model: RerankerSettings | str,
    collections: Sequence[CollectionSettings],
    *,
    first_stage: str | None = None,
    candidates: int = 50,
    method: Method = "platt",
    fusion: bool = True,
    index: IndexSettings | None = None,
    progress: Progress = quiet,
) -> Calibrated:
    """Fit the model's scores to what was judged of the first stage's candidates.

    With ``fusion`` the fusion of the stages is fitted first, and its log-odds are calibrated;
    otherwise the model's logits are. A candidate that nobody judged counts as not relevant, and
    each candidate counts alike, whatever its collection. A collection is indexed by ``index``
    unless it has an index: by default with vectors, if the first stage or the fusion takes them.
    The quality is measured on queries left out in turn, of fusion and calibration. Indexes and
    scores are kept in ``Settings().cache``. Raises InvalidInputError for collections that cannot
    be fitted on, and what models and indexes raise.
    """
    if candidates < 1:
        raise InvalidInputError(f"candidates={candidates} must be at least 1")
    settings = RerankerSettings(model=model) if isinstance(model, str) else model
    if index is None:
        nothing_encoded = first_stage == "bm25" and not fusion
        index = IndexSettings(encoder=False) if nothing_encoded else IndexSettings()
    loaded = [load_searched(each) for each in collections]
    _check_distinct(collections)
    queries: list[_Query] = []
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
                engines = tuple(name for name in opened.first_stages if name != "hybrid")
                stages.add((stage, engines))
                source = CandidateSource(
                    collection, opened, stage, candidates, reranked=True, with_scores=fusion
                )
                label = f"{collection.name}: {candidates} candidates"
                with progress(label, len(collection.qrels)) as tick:
                    signals = engines if fusion else ()
                    queries += _queries(collection, source, second, signals, tick)
    if len(stages) != 1:
        raise InvalidInputError(
            f"{len(stages)} kinds of indexes for {len(loaded)} collections, and one is needed: "
            "give a collection, and index all of them with the same engines"
        )
    queries = [query for query in queries if len(query.labels)]
    _check(loaded, queries)
    fitted = _fit(queries, method, fusion)
    held_out, before, after = _held_out(queries, method, fusion)
    labels = _labels(queries)
    [(stage, engines)] = stages
    calibration = Calibration(
        fusion=fitted.weights(engines),
        curve=fitted.curve,
        fitted_on=FittedOn(
            model=settings.name or Path(settings.model).name,
            collection=", ".join(each.name for each in loaded),
            split=", ".join(dict.fromkeys(each.split for each in loaded)),
            first_stage=stage,
            candidates=candidates,
            queries=len(queries),
            documents=len(labels),
            relevant=float(labels.mean()),
        ),
        held_out=held_out,
    )
    if labels.sum() < FEW_POSITIVES:
        warnings.append(
            f"only {labels.sum()} of the candidates are relevant: take the probabilities for "
            f"rough ones, or give more queries (at least {FEW_POSITIVES} relevant candidates)"
        )
    if len(set(calibration.probability(fitted.scores(queries)).tolist())) == 1:
        warnings.append(
            "relevant candidates score no higher than others: all probabilities are equal"
        )
    if not fusion and second.fusion is not None:
        warnings.append(
            f"{settings.label} has a fusion, and the calibration is of its logit: probabilities "
            "are shown in searches without fusion only"
        )
    return Calibrated(fitted.fusion, calibration, before, after, warnings)


def load_searched(settings: CollectionSettings) -> Collection:
    """A collection that a search finds documents in; InvalidInputError for any other."""
    loaded = load_collection(settings)
    if not isinstance(loaded, Collection) or loaded.samples is not None:
        raise InvalidInputError(
            f"{settings.path or settings.qrels} is not searched, and scores are calibrated "
            "on what a search finds: give a BEIR folder"
        )
    return loaded


def _check_distinct(collections: Sequence[CollectionSettings]) -> None:
    """A query must not be fitted on in one place and held out in another."""
    given = [(each.path and each.path.resolve(), each.split) for each in collections]
    for path, split in given:
        if given.count((path, split)) > 1:
            raise InvalidInputError(
                f"{path} is given twice, and its queries would be fitted on and held out at once: "
                "give each collection once"
            )


def check_judged(collections: Sequence[Collection]) -> None:
    """Raise InvalidInputError for collections with too little to be found."""
    relevant = sum(
        any(grade >= each.relevant_from for grade in grades.values())
        for each in collections
        for grades in each.qrels.values()
    )
    if relevant < 2:
        names = ", ".join(f"{each.name}/{each.split}" for each in collections)
        raise InvalidInputError(
            f"{names}: {relevant} queries have a relevant document, and a calibration needs two; "
            "take more queries, or another split"
        )


def _check_documents(collection: Collection, index: Index, path: Path) -> None:
    """Raise InvalidInputError for an index that lacks most of what was judged relevant."""
    relevant = {
        document
        for grades in collection.qrels.values()
        for document, grade in grades.items()
        if grade >= collection.relevant_from
    }
    there = len(relevant.intersection(index.ids()))
    if 2 * there < len(relevant):
        raise InvalidInputError(
            f"{path} has {there:,} of the {len(relevant):,} documents that are relevant in "
            f"{collection.name}/{collection.split}, so that others would count as false: give the "
            "index of this collection, or none"
        )


def _opened(
    collection: Collection,
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
    collection: Collection,
    source: CandidateSource,
    second: SecondStage,
    engines: Sequence[str],
    progress: Callable[[float], None],
) -> Iterator[_Query]:
    """Each judged query, in an order that is random and always the same."""
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
            yield _Query(signals, np.array(relevant, dtype=np.int64))


def _check(collections: Sequence[Collection], queries: Sequence[_Query]) -> None:
    """Raise InvalidInputError where nothing could be learned, or nothing be held out."""
    both = {
        "a relevant": sum(bool(query.labels.any()) for query in queries),
        "another than a relevant": sum(not query.labels.all() for query in queries),
    }
    for what, count in both.items():
        if count < 2:
            names = ", ".join(f"{each.name}/{each.split}" for each in collections)
            raise InvalidInputError(
                f"{names}: {count} of {len(queries)} queries have "
                f"{what} document among their candidates, and two are needed; take more "
                "candidates or queries, or another split"
            )


def _fit(queries: Sequence[_Query], method: Method, fusion: bool) -> _Fit:
    fused = None
    if fusion:
        terms = [term for term in TERMS if term.removesuffix(Z_SUFFIX) in queries[0].signals]
        labels = [query.labels for query in queries]
        fused = Fusion.fit([query.signals for query in queries], labels, terms=terms)
    return _Fit(fused, fit_curve(method, _scores(fused, queries), _labels(queries)))


def _held_out(
    queries: Sequence[_Query], method: Method, fusion: bool
) -> tuple[HeldOut, Sequence[Bin], Sequence[Bin]]:
    """The quality on each fold of a fit on the others; each has queries with relevant ones."""
    dealt = sorted(queries, key=lambda query: not query.labels.any())
    folds = min(FOLDS, len(queries))
    before, after, labels = [], [], []
    for fold in range(folds):
        out = dealt[fold::folds]
        rest = [query for i, query in enumerate(dealt) if i % folds != fold]
        if len(set(_labels(rest).tolist())) < 2:
            continue  # all that is relevant, or all that is not, is in this fold
        fitted = _fit(rest, method, fusion)
        scores = fitted.scores(out)
        before.append(Fusion.probability(scores))
        after.append(fitted.curve.probability(scores))
        labels.append(_labels(out))
    judged = np.concatenate(labels)
    quality_before, bins_before = reliability(np.concatenate(before), judged)
    quality_after, bins_after = reliability(np.concatenate(after), judged)
    held_out = HeldOut(folds=folds, before=quality_before, after=quality_after)
    return held_out, bins_before, bins_after


def _scores(fusion: Fusion | None, queries: Sequence[_Query]) -> NDArray[np.float64]:
    if fusion is None:
        return np.concatenate([np.asarray(q.signals[RERANK], dtype=np.float64) for q in queries])
    return np.concatenate([fusion.score(query.signals) for query in queries])


def _labels(queries: Sequence[_Query]) -> NDArray[np.int64]:
    return np.concatenate([query.labels for query in queries])
