"""Fits fusion and calibration on judged collections, over the stages that will serve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.files import atomic_write_bytes, disk_errors, make_folder
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.settings import CollectionSettings, RerankerSettings
from rerank_search.progress import Progress, quiet
from rerank_search.reranking.calibration import (
    Calibration,
    FittedOn,
    Float64,
    HeldOut,
    Isotonic,
    Method,
    Platt,
    fit_curve,
)
from rerank_search.reranking.fusion import RERANK, Z_SUFFIX, Fusion, Weights
from rerank_search.training.publish.judged_candidates import (
    JudgedQuery,
    judged_candidates,
    labels_of,
    scores_of,
)
from rerank_search.training.publish.reliability import Bin, reliability, reliability_plot

FOLDS = 5

FEW_POSITIVES = 30

TERMS = ("rerank", "dense:z", "bm25:z")

PLOT_FILE = "reliability.svg"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The result of ``calibrate``.

    ``before`` and ``after`` are the bins of held-out documents, by the sigmoid of the score and by
    the calibration. ``warnings`` are about the probabilities.
    """

    fusion: Fusion | None
    calibration: Calibration
    before: Sequence[Bin]
    after: Sequence[Bin]
    warnings: Sequence[str]

    def save(self, directory: Path) -> None:
        """Write ``fusion.json`` (if one was fitted), ``calibration.json`` and a plot of both.

        Raises MissingDependencyError without matplotlib, StorageFullError, IndexReadOnlyError.
        """
        plot = reliability_plot({"before": self.before, "after": self.after})
        make_folder(directory)
        if self.fusion is not None:
            with disk_errors(directory):
                self.fusion.save(directory)
        self.calibration.save(directory)
        atomic_write_bytes(directory / PLOT_FILE, plot)


@dataclass(frozen=True, slots=True)
class _Fit:
    fusion: Fusion | None
    curve: Platt | Isotonic

    def scores(self, queries: Sequence[JudgedQuery]) -> Float64:
        return scores_of(queries, self.fusion)

    def weights(self, stages: Sequence[str]) -> Weights | None:
        return None if self.fusion is None else self.fusion.choose([RERANK, *stages])


def calibrate(
    model: RerankerSettings | str,
    collections: Sequence[CollectionSettings],
    *,
    first_stage: str | None = None,
    candidates: int = 50,
    method: Method = "platt",
    fusion: Fusion | bool = True,
    index: IndexSettings | None = None,
    progress: Progress = quiet,
) -> Calibrated:
    """Fit the model's scores to the judgements of a first stage's candidates.

    With ``fusion=True`` the fusion of the stages is fitted first, and its log-odds are calibrated.
    A given Fusion is kept, and rankings stay the same; False calibrates the logits. A candidate
    without a judgement counts as not relevant, and all candidates have the same weight, whatever
    their collection. A collection without an index is indexed with the settings ``index``, by
    default with vectors if the first stage or the fusion needs them. The quality is measured on
    queries held out in turn from fusion and calibration. Indexes and scores are stored in
    ``Settings().cache``. Raises InvalidInputError for unsuitable collections, and what models and
    indexes raise.
    """
    judged = judged_candidates(
        model,
        collections,
        first_stage=first_stage,
        candidates=candidates,
        with_stages=fusion is not False,
        index=index,
        progress=progress,
    )
    queries = judged.queries
    loaded, warnings = judged.collections, [*judged.warnings]
    _check(loaded, queries)
    fitted = _fit(queries, method, fusion)
    held_out, before, after = _held_out(queries, method, fusion)
    labels = labels_of(queries)
    calibration = Calibration(
        fusion=fitted.weights(judged.engines),
        curve=fitted.curve,
        fitted_on=FittedOn(
            model=judged.model,
            collection=", ".join(each.name for each in loaded),
            split=", ".join(dict.fromkeys(each.split for each in loaded)),
            first_stage=judged.first_stage,
            candidates=candidates,
            queries=len(queries),
            documents=len(labels),
            relevant=float(labels.mean()),
        ),
        held_out=held_out,
    )
    if labels.sum() < FEW_POSITIVES:
        warnings.append(
            f"only {labels.sum()} of the candidates are relevant, so the probabilities are rough: "
            f"give more queries (with at least {FEW_POSITIVES} relevant candidates)"
        )
    if len(set(calibration.probability(fitted.scores(queries)).tolist())) == 1:
        warnings.append(
            "relevant candidates score no higher than others, so all probabilities are equal"
        )
    if fusion is False and judged.fused:
        warnings.append(
            f"{judged.model} has a fusion, and the calibration is of its logit: only searches "
            "without fusion show probabilities"
        )
    return Calibrated(fitted.fusion, calibration, before, after, warnings)


def _check(collections: Sequence[JudgedCollection], queries: Sequence[JudgedQuery]) -> None:
    """Raise InvalidInputError if there is too little to learn from, or to hold out."""
    both = {
        "a relevant": sum(bool(query.labels.any()) for query in queries),
        "an irrelevant": sum(not query.labels.all() for query in queries),
    }
    for what, count in both.items():
        if count < 2:
            names = ", ".join(f"{each.name}/{each.split}" for each in collections)
            raise InvalidInputError(
                f"{names}: {count} of {len(queries)} queries have {what} document among their "
                "candidates, and two are needed: use more candidates or queries, or another split"
            )


def _fit(queries: Sequence[JudgedQuery], method: Method, fusion: Fusion | bool) -> _Fit:
    fused = fusion if isinstance(fusion, Fusion) else None
    if fusion is True:
        terms = [term for term in TERMS if term.removesuffix(Z_SUFFIX) in queries[0].signals]
        labels = [query.labels for query in queries]
        fused = Fusion.fit([query.signals for query in queries], labels, terms=terms)
    return _Fit(fused, fit_curve(method, scores_of(queries, fused), labels_of(queries)))


def _held_out(
    queries: Sequence[JudgedQuery], method: Method, fusion: Fusion | bool
) -> tuple[HeldOut, Sequence[Bin], Sequence[Bin]]:
    """The quality on each fold of a fit on the others."""
    dealt = sorted(queries, key=lambda query: not query.labels.any())
    folds = min(FOLDS, len(queries))
    before, after, labels = [], [], []
    for fold in range(folds):
        out = dealt[fold::folds]
        rest = [query for i, query in enumerate(dealt) if i % folds != fold]
        if len(set(labels_of(rest).tolist())) < 2:
            continue  # this fold has all relevant candidates, or all others
        fitted = _fit(rest, method, fusion)
        scores = fitted.scores(out)
        before.append(Fusion.probability(scores))
        after.append(fitted.curve.probability(scores))
        labels.append(labels_of(out))
    judged = np.concatenate(labels)
    quality_before, bins_before = reliability(np.concatenate(before), judged)
    quality_after, bins_after = reliability(np.concatenate(after), judged)
    held_out = HeldOut(folds=folds, before=quality_before, after=quality_after)
    return held_out, bins_before, bins_after
