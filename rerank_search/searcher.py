"""Retrieve, then rerank: the one place where the two stages meet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, RerankError
from rerank_search.models.registry import DEFAULT_RERANKER
from rerank_search.options import SearchArguments, SearchOptions, merged, shows_options
from rerank_search.queries import query_list
from rerank_search.ranking import ranked
from rerank_search.reranking.base import Reranker, Scores
from rerank_search.reranking.calibration import Calibration, Calibrations
from rerank_search.reranking.calls import scored, scored_in_time
from rerank_search.reranking.fusion import RERANK, Fusion, Weights
from rerank_search.reranking.given import reranker_of
from rerank_search.reranking.loaded_later import load
from rerank_search.retrieval.base import Retriever
from rerank_search.shown import shown
from rerank_search.types import Hit, SearchResponse

if TYPE_CHECKING:
    from rerank_search.index import Index

QUERIES_AT_ONCE = 32
"""Queries of a batch whose candidates are in memory together."""

TITLE_CHARACTERS = 300
"""Of the title before a passage, so that a long one doesn't push the passage out of the window."""

OnRerankError = Literal["raise", "first_stage"]


@dataclass(frozen=True, slots=True)
class _Plan:
    options: SearchOptions
    depth: int
    retriever: Retriever
    reranker: Reranker | None
    warnings: Sequence[str]


class Searcher:
    """Searches an index in two stages. Threads may share one.

    ``reranker`` is any Reranker, a name or a path for CrossEncoderReranker, which is loaded now, a
    LoadedLater, which is loaded by the first search that finds something (``budget_ms`` does not
    count that), or None for the first stage alone. ``fusion`` "auto" takes the reranker's own (its
    ``fusion.json``), where there is one; None sorts by the reranker's logit alone. ``calibration``
    "auto" takes the reranker's own (its ``calibration.json``) if it is of the score that hits are
    sorted by; it gives each hit its ``relevance`` and never changes a ranking. ``on_rerank_error``
    says what to do when the reranker fails: raise RerankError, or return the first stage's ranking
    with ``reranked`` False and the reason in ``degraded``. Errors of anything else are always
    raised.

    >>> searcher = Searcher(Index.open("indexes/docs"))
    >>> response = searcher.search("how do I join two paths", top_k=3)
    >>> [hit.id for hit in response.hits]
    ['os.path.join', 'posixpath.join', 'pathlib.PurePath.joinpath']
    """

    def __init__(
        self,
        index: Index,
        reranker: Reranker | str | PathLike[str] | None = DEFAULT_RERANKER,
        *,
        fusion: Fusion | Literal["auto"] | None = "auto",
        calibration: Calibration | Calibrations | Literal["auto"] | None = "auto",
        on_rerank_error: OnRerankError = "raise",
    ) -> None:
        if on_rerank_error not in ("raise", "first_stage"):
            raise InvalidInputError(
                f"on_rerank_error={shown(on_rerank_error)} is unknown; use 'raise' or 'first_stage'"
            )
        _check_choice("fusion", fusion, Fusion)
        _check_choice("calibration", calibration, Calibration, Calibrations)
        _check_index(index)
        self._index = index
        self._reranker = None if reranker is None else reranker_of(reranker)
        self._fusion = getattr(self._reranker, "fusion", None) if fusion == "auto" else fusion
        self._on_rerank_error = on_rerank_error
        weights = self._weights()
        self._signals = frozenset() if weights is None else weights.signals - {RERANK}
        self._calibration = self._fitting(calibration, weights)

    def __repr__(self) -> str:
        reranker = None if self._reranker is None else self._reranker.name
        fused = "None" if self._fusion is None else "..."
        return f"Searcher({self._index!r}, {shown(reranker)}, fusion={fused})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its index and its reranker, which the other side opens and loads.

        Raises what pickling these raises.
        """
        searcher = partial(
            Searcher,
            fusion=self._fusion,
            calibration=self._calibration,
            on_rerank_error=self._on_rerank_error,
        )
        return searcher, (self._index, self._reranker)

    def _weights(self) -> Weights | None:
        """What the fusion weighs the scores by that this index has."""
        if self._fusion is None:
            return None
        return self._fusion.choose(frozenset({RERANK, *self._index.first_stages}))

    def _fitting(
        self,
        calibration: Calibration | Calibrations | Literal["auto"] | None,
        weights: Weights | None,
    ) -> Calibration | None:
        """The calibration of the score that these weights give; an "auto" one only if it fits."""
        if isinstance(calibration, (Calibration, Calibrations)):
            if (fitting := calibration.of(weights)) is not None:
                return fitting
            raise InvalidInputError(
                "the calibration is not of the score that hits are sorted by here: give the "
                "fusion it was made with (fusion=None for one of the logit) and an index with "
                "the same first stages, or calibrate again"
            )
        own = getattr(self._reranker, "calibration", None) if calibration else None
        return own.of(weights) if isinstance(own, (Calibration, Calibrations)) else None

    @shows_options
    def search(
        self,
        query: str,
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """The best ``top_k`` documents for the query that the filter allows.

        Options are given by name, or as a SearchOptions, of which those given by name replace
        some. The first stage (by default the best that the index has: hybrid, given vectors)
        fetches ``candidates``, at least ``top_k``, and the reranker orders them.
        ``Hit.score`` is the fused log-odds, or without a fusion the reranker's logit, or without
        a second stage the first stage's score; ``stage_scores`` has them all.

        ``budget_ms`` bounds the whole search: candidates are reranked in the first stage's order
        while time is expected to be left, a few of them at least unless the first stage has used
        it up. Those that were not keep the first stage's order below the others; their ``score``
        goes on below the lowest of those by the first stage's differences.

        ``min_relevance`` leaves out hits whose ``relevance``, a probability, is lower or not known
        because they were not reranked. It needs a calibration. Both need a reranker, so that
        ``rerank=False`` excludes them.

        A blank query, an empty index and a filter that nothing passes give no hits, with
        ``reranked`` False and ``degraded`` None. ``warnings`` name keys of the filter that no
        document has. Raises InvalidInputError, RerankError, and what the index raises.
        """
        return self.search_batch([query], options, **arguments)[0]

    @shows_options
    def search_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """``search`` for many queries; one response each, in their order.

        What queries share (the first stage, documents) is timed, and counted against
        ``budget_ms``, as each query's equal part of it.
        """
        queries = query_list(queries)
        plan = self._plan(merged(options, arguments))
        responses: list[SearchResponse] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            responses += self._search(queries[start : start + QUERIES_AT_ONCE], plan)
        return responses

    def _plan(self, options: SearchOptions) -> _Plan:
        """What the options mean for this index and reranker. Raises InvalidInputError."""
        reranker = self._reranker if options.rerank else None
        if self._reranker is None:
            options.check_without_reranker("reranker=None")
        if options.budget_ms is not None and getattr(reranker, "listwise", False):
            raise InvalidInputError(
                f"budget_ms={options.budget_ms:g} scores a list in parts, and the scores of a "
                "cascade depend on all of it: leave budget_ms out, or lower candidates"
            )
        self._check_relevance(options.min_relevance)
        return _Plan(
            options,
            options.top_k if reranker is None else options.depth,
            self._index.retriever(options.first_stage or self._index.first_stages[-1]),
            reranker,
            () if options.filter is None else tuple(self._index.filter_warnings(options.filter)),
        )

    def _check_relevance(self, least: float | None) -> None:
        if least is not None and self._calibration is None:
            raise InvalidInputError(
                f"min_relevance={least} needs a calibrated reranker, and this one has no "
                "calibration of the score that hits are sorted by: calibrate it "
                "(rerank-search calibrate), or leave min_relevance out"
            )

    def _search(self, queries: Sequence[str], plan: _Plan) -> list[SearchResponse]:
        asked = [query for query in queries if query.strip()]
        found = iter(self._candidates(asked, plan))
        empty = SearchResponse(
            "",
            (),
            plan.retriever.name,
            0,
            reranked=False,
            timings={"total": 0.0},
            warnings=plan.warnings,
        )
        return [next(found) if query.strip() else replace(empty, query=query) for query in queries]

    def _candidates(self, queries: Sequence[str], plan: _Plan) -> list[SearchResponse]:
        """The responses to queries that are not blank."""
        if not queries:
            return []
        watch = _Stopwatch()
        rankings = plan.retriever.retrieve(queries, plan.depth, filter=plan.options.filter)
        watch.lap("first_stage")
        rankings = self._with_documents(rankings)
        watch.lap("documents")
        if plan.reranker is not None and any(rankings):
            load(plan.reranker)
            watch.skip()
        if plan.reranker is not None and self._lack_signals(rankings):
            rankings = self._index.stage_scores(queries, rankings)
            watch.lap("stage_scores")
        return [
            self._respond(query, hits, plan, watch.share(len(queries)))
            for query, hits in zip(queries, rankings, strict=True)
        ]

    def _with_documents(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The hits with their documents; without those that are deleted since."""
        ids = list(dict.fromkeys(hit.id for hits in rankings for hit in hits))
        documents = dict(zip(ids, self._index.documents(ids), strict=True))
        return [
            [replace(hit, document=document) for hit in hits if (document := documents[hit.id])]
            for hits in rankings
        ]

    def _lack_signals(self, rankings: Sequence[Sequence[Hit]]) -> bool:
        return any(
            not self._signals <= hit.stage_scores.keys() for hits in rankings for hit in hits
        )

    def _respond(
        self, query: str, hits: Sequence[Hit], plan: _Plan, watch: _Stopwatch
    ) -> SearchResponse:
        scores, degraded = None, None
        if plan.reranker is not None and hits:
            try:
                scores = _scores(plan.reranker, query, hits, plan.options.budget_ms, watch)
            except RerankError as error:
                if self._on_rerank_error == "raise":
                    raise
                degraded = f"RerankError: {error}"
            watch.lap("rerank")
        if scores is not None and len(scores.values) == 0:
            degraded, scores = (
                f"no time was left to rerank within {plan.options.budget_ms:g} ms",
                None,
            )
        final = hits if scores is None else self._reordered(hits, scores.values)
        if (least := plan.options.min_relevance) is not None:
            final = [hit for hit in final if hit.relevance is not None and hit.relevance >= least]
        final = [
            replace(hit, rank=rank) for rank, hit in enumerate(final[: plan.options.top_k], start=1)
        ]
        return SearchResponse(
            query,
            final,
            plan.retriever.name,
            candidates=len(hits),
            reranked=scores is not None,
            reranked_count=0 if scores is None else len(scores.values),
            truncated=0 if scores is None else int(scores.truncated.sum()),
            timings=watch.with_total(),
            degraded=degraded,
            warnings=plan.warnings,
        )

    def _reordered(self, hits: Sequence[Hit], logits: NDArray[np.float32]) -> list[Hit]:
        """The hits with logits by their final score, then the others in their own order."""
        count = len(logits)
        final: NDArray[np.float32] | NDArray[np.float64] = logits
        parts = [{RERANK: logit} for logit in logits.tolist()]
        if self._fusion is not None:
            signals = {
                name: np.array([hit.stage_scores.get(name, 0.0) for hit in hits[:count]])
                for name in self._signals
            }
            final = self._fusion.score({RERANK: logits, **signals})
            for part, log_odds in zip(parts, final.tolist(), strict=True):
                part["fused"] = log_odds
        relevance: list[float] | list[None] = [None] * count
        if self._calibration is not None:
            relevance = self._calibration.probability(final).tolist()
        ordered = [
            replace(hit, score=score, stage_scores={**hit.stage_scores, **part}, relevance=chance)
            for _, score, (hit, part, chance) in ranked(
                (hit.id, score, (hit, part, chance))
                for hit, score, part, chance in zip(
                    hits[:count], final.tolist(), parts, relevance, strict=True
                )
            )
        ]
        # One below the worst that was reranked, so that scores stay sorted over all hits.
        offset = ordered[-1].score - 1 - (hits[count].score if count < len(hits) else 0.0)
        return ordered + [replace(hit, score=hit.score + offset) for hit in hits[count:]]


def _check_choice(name: str, given: object, *kinds: type) -> None:
    """Raise InvalidInputError for what is not "auto", an object of these classes, or None."""
    if isinstance(given, str) and given == "auto":
        return
    if given is not None and not isinstance(given, kinds):
        named = ", ".join(f"a {kind.__name__}" for kind in kinds)
        raise InvalidInputError(
            f"{name}={shown(given)} is unknown; use 'auto', {named}, or None for none"
        )


def _check_index(index: object) -> None:
    """Raise InvalidInputError for what cannot be searched."""
    if isinstance(index, (str, bytes, PathLike)):
        raise InvalidInputError(
            f"index={shown(index)} is a path: open it first, Index.open({shown(index)})"
        )
    needed = ("first_stages", "retriever", "documents", "stage_scores", "filter_warnings")
    if isinstance(index, type) or not all(hasattr(index, name) for name in needed):
        raise InvalidInputError(
            f"index={shown(index)} cannot be searched: give an Index, as Index.open returns it"
        )


def passage(hit: Hit) -> str:
    """What is reranked of a hit with its document: the title, a newline, the best passage."""
    document = hit.document
    if document is None:
        raise InvalidInputError(f"the hit {hit.id!r} has no document to rerank; fetch it first")
    if hit.span is None:
        title, text = document.title, document.text
    else:
        title, text = document.title[:TITLE_CHARACTERS], document.text[slice(*hit.span)]
    return f"{title}\n{text}" if title else text


def _scores(
    reranker: Reranker, query: str, hits: Sequence[Hit], budget_ms: float | None, watch: _Stopwatch
) -> Scores:
    pairs = [(query, passage(hit)) for hit in hits]
    if budget_ms is None:
        return scored(reranker, pairs)
    return scored_in_time(reranker, pairs, budget_ms - watch.elapsed(), time.perf_counter)


class _Stopwatch:
    """Milliseconds per stage of one query."""

    def __init__(self, laps: dict[str, float] | None = None) -> None:
        self._laps = laps or {}
        self._before = sum(self._laps.values())
        self._started = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def skip(self) -> None:
        """Leave out the time since the last lap."""
        now = time.perf_counter()
        self._started += now - self._last
        self._last = now

    def share(self, queries: int) -> _Stopwatch:
        """A watch for one of the queries, which goes on from its part of the laps."""
        return _Stopwatch({stage: spent / queries for stage, spent in self._laps.items()})

    def elapsed(self) -> float:
        return self._before + (time.perf_counter() - self._started) * 1000

    def with_total(self) -> dict[str, float]:
        return {**self._laps, "total": self.elapsed()}
