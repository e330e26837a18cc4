"""The search in two stages: retrieve, then rerank."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from os import PathLike
from typing import Any, Literal, Unpack

from rerank_search.errors import InvalidInputError, RerankError
from rerank_search.further_passages import passage_source, with_passages
from rerank_search.models.registry import AUTO, BUNDLED_RERANKERS
from rerank_search.near_duplicates import collapsed
from rerank_search.options import SearchArguments, SearchOptions, merged, shows_options
from rerank_search.queries import query_list
from rerank_search.reranking.base import Reranker, Scores
from rerank_search.reranking.calibration import Calibration, Calibrations
from rerank_search.reranking.calls import scored, scored_in_time
from rerank_search.reranking.final_score import FinalScore
from rerank_search.reranking.fusion import RERANK, Fusion
from rerank_search.reranking.given import reranker_of
from rerank_search.reranking.hit_text import passage
from rerank_search.reranking.loaded_later import load
from rerank_search.reranking.traits import require_instructions, traits
from rerank_search.reranking.unread import looked_at, unread
from rerank_search.retrieval.base import Retriever
from rerank_search.searchable import (
    PassageSource,
    Searchable,
    check_query_vectors,
    fused_stages,
    searchable,
    with_documents,
)
from rerank_search.shown import shown
from rerank_search.stopwatch import Stopwatch
from rerank_search.types import ExplainedResponse, Hit, SearchResponse
from rerank_search.vectors import EncodedQuery, with_vector
from rerank_search.worker_threads import WorkerThreads

QUERIES_AT_ONCE = 32
"""Number of queries of a batch whose candidates are in memory together."""

OnRerankError = Literal["raise", "first_stage"]


@dataclass(frozen=True, slots=True)
class _Plan:
    options: SearchOptions
    depth: int
    retriever: Retriever
    reranker: Reranker | None
    final: FinalScore
    warnings: Sequence[str]
    passages: PassageSource | None


class Searcher:
    """Searches an index in two stages. Threads and event loops may share one.

    ``index`` is an Index, another Searchable, or a Retriever whose hits have documents. With such a
    retriever a fusion weighs only its own score; ``repr`` shows which scores the fusion weighs.

    ``reranker`` is any Reranker; a name or a path for CrossEncoderReranker, which is loaded now; a
    LoadedLater, which is loaded by the first search that finds something (``budget_ms`` does not
    count that); or None for the first stage alone. ``fusion`` "auto" takes the reranker's own (its
    ``fusion.json``) if there is one, and weighs the ``fused_stages`` of an Index; a Fusion weighs
    all that it has weights for; None sorts by the reranker's logit alone. ``calibration`` "auto"
    takes the reranker's own (its ``calibration.json``) if it was fitted for the score that hits
    are sorted by; it gives each hit its ``relevance`` and never changes a ranking.

    ``on_rerank_error`` says what to do when the reranker fails: raise RerankError, or return the
    first stage's ranking with ``reranked`` False and the reason in ``degraded``. All other errors
    are always raised.

        >>> searcher = Searcher(Index.open("indexes/notes"))
        >>> response = searcher.search("how do I join two paths", top_k=2)
        >>> [hit.id for hit in response.hits]
        ['os.path.join', 'str.join']
    """

    def __init__(
        self,
        index: Searchable | Retriever,
        reranker: Reranker | str | PathLike[str] | None = AUTO,
        *,
        fusion: Fusion | Literal["auto"] | None = "auto",
        calibration: Calibration | Calibrations | Literal["auto"] | None = "auto",
        on_rerank_error: OnRerankError = "raise",
    ) -> None:
        if on_rerank_error not in ("raise", "first_stage"):
            raise InvalidInputError(
                f"on_rerank_error={shown(on_rerank_error)} is unknown: use 'raise' or 'first_stage'"
            )
        _check_choice("fusion", fusion, Fusion)
        _check_choice("calibration", calibration, Calibration, Calibrations)
        self._searched = searchable(index)
        self._reranker = None if reranker is None else reranker_of(reranker)
        self._traits = traits(self._reranker)
        self._fusion = self._traits.fusion if fusion == "auto" else fusion
        self._given_fusion = fusion
        self._on_rerank_error = on_rerank_error
        self._threads = WorkerThreads()
        self._calibration = self._traits.calibration if calibration == "auto" else calibration
        final = self._final_score()
        if calibration not in ("auto", None) and final.calibration is None:
            raise InvalidInputError(
                "the calibration is for another score than the one that hits are sorted by: give "
                "the fusion it was made with (fusion=None for the logit) and an index with the "
                "same first stages, or calibrate again"
            )

    def __repr__(self) -> str:
        reranker = None if self._reranker is None else self._reranker.name
        fused = None if self._fusion is None else sorted({RERANK, *self._final_score().signals})
        return f"Searcher({self._searched!r}, {shown(reranker)}, fusion={fused})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the index and the reranker, which unpickling opens and loads.

        Raises what pickling these raises.
        """
        searcher = partial(
            Searcher,
            fusion=self._given_fusion,
            calibration=self._final_score().calibration,
            on_rerank_error=self._on_rerank_error,
        )
        return searcher, (self._searched, self._reranker)

    @shows_options
    def search(
        self,
        query: str,
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """The best ``top_k`` documents for the query that the filter allows.

        Options are given by name, or as a SearchOptions; names replace its values. The first stage
        (by default the best of the index, which is hybrid if it has vectors) fetches
        ``candidates``, at least ``top_k``, and the reranker orders them. ``Hit.score`` is the fused
        log-odds; without a fusion it is the reranker's logit, and without a second stage the first
        stage's score. ``stage_scores`` has them all.

        ``budget_ms`` limits the time of the whole search: candidates are reranked in the first
        stage's order while time is expected to be left, but at least a few unless the first stage
        has used up the time. The rest follow in the first stage's order, with scores below the
        lowest reranked one, spaced by the first stage's differences.

        ``min_relevance`` leaves out hits whose ``relevance``, a probability, is lower, or unknown
        because they were not reranked. It needs a calibration.

        ``instruction`` says what makes a text relevant, to a reranker that takes one; any other
        raises InvalidInputError. These three options need a reranker, so they cannot be combined
        with ``rerank=False``.

        ``passages_per_document`` above 1 gives each hit that many of its document's best passages,
        reranked too; the ranking stays the same, and without time left a hit has its own passage
        only. ``collapse_duplicates`` leaves out hits whose passages are nearly the same as that of
        a better hit, whose ``duplicates`` name them.

        ``query_vector`` is the query's vector, for an index of your own vectors; among several
        queries give each as EncodedQuery. A query with a vector may have no text, and is then not
        reranked.

        A blank query, an empty index and a filter that no document passes give no hits, with
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
        """Search for many queries; one response each, in their order.

        The time of shared work (the first stage, documents) is divided equally among the queries,
        in their timings and for ``budget_ms``.
        """
        asked = merged(options, arguments)
        explained = self._explained(self._queries(queries, asked), self._plan(asked))
        return [each.response for each in explained]

    @shows_options
    async def asearch(
        self,
        query: str,
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """``search`` for asyncio: it runs in a thread, so the event loop goes on meanwhile.

        A searcher has as many threads as the machine has cores, at least four; further searches
        wait for their turn, which ``budget_ms`` counts. Cancelling returns at once, and a search
        that has not begun is then never run.
        """
        [response] = await self.asearch_batch([query], options, **arguments)
        return response

    @shows_options
    async def asearch_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """``search_batch`` for asyncio, in one thread; see ``asearch``."""
        asked, wanted, waiting = query_list(queries), merged(options, arguments), Stopwatch()
        return await self._threads.run(
            lambda: self.search_batch(asked, wanted.begun_late(waiting.elapsed()))
        )

    @shows_options
    def explain_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> list[ExplainedResponse]:
        """Search as ``search_batch`` does, and return the first stage's rankings too.

        They show how far the second stage moved each hit.
        """
        asked = merged(options, arguments)
        return [*self._explained(self._queries(queries, asked), self._plan(asked))]

    def _queries(self, queries: Iterable[str], options: SearchOptions) -> list[str]:
        """The queries with their vectors, if they have some. Raises InvalidInputError."""
        asked = with_vector(query_list(queries), options.query_vector)
        check_query_vectors(self._searched, asked)
        return asked

    def _plan(self, options: SearchOptions) -> _Plan:
        """The options resolved for this index and reranker. Raises InvalidInputError."""
        reranker = self._reranker if options.rerank else None
        if self._reranker is None:
            options.check_without_reranker("reranker=None")
        if options.budget_ms is not None and reranker is not None and self._traits.listwise:
            raise InvalidInputError(
                f"budget_ms={options.budget_ms:g} cannot be used with a cascade, whose scores "
                "depend on the whole list: leave budget_ms out, or lower candidates"
            )
        final = self._final_score()
        _check_relevance(options.min_relevance, final)
        if options.instruction is not None and reranker is not None:
            load(reranker)  # only the model itself can tell
            require_instructions(reranker)
        return _Plan(
            options,
            options.top_k if reranker is None else options.depth,
            self._searched.retriever(options.first_stage or self._searched.first_stages[-1]),
            reranker,
            final,
            () if options.filter is None else tuple(self._searched.filter_warnings(options.filter)),
            passage_source(self._searched) if options.passages_per_document > 1 else None,
        )

    def _final_score(self) -> FinalScore:
        """The score that hits are sorted by now: an index that grows may fuse other stages.

        A fusion that was given weighs whatever it has weights for.
        """
        auto = self._given_fusion == "auto"
        stages = fused_stages(self._searched) if auto else self._searched.first_stages
        return FinalScore(self._fusion, stages, self._calibration)

    def _explained(self, queries: Sequence[str], plan: _Plan) -> Iterator[ExplainedResponse]:
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            yield from self._search(queries[start : start + QUERIES_AT_ONCE], plan)

    def _search(self, queries: Sequence[str], plan: _Plan) -> list[ExplainedResponse]:
        asked = [query for query in queries if _asks(query)]
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
        return [
            next(found)
            if _asks(query)
            else ExplainedResponse(replace(empty, query=query), first_stage_hits=())
            for query in queries
        ]

    def _candidates(self, queries: Sequence[str], plan: _Plan) -> list[ExplainedResponse]:
        """The responses to queries that ask for something."""
        if not queries:
            return []
        watch = Stopwatch()
        rankings = plan.retriever.retrieve(queries, plan.depth, filter=plan.options.filter)
        watch.lap("first_stage")
        rankings = with_documents(self._searched, rankings)
        watch.lap("documents")
        if plan.reranker is not None and any(rankings):
            load(plan.reranker)
            watch.skip()
        if plan.reranker is not None and plan.final.lacks_signals(chain(*rankings)):
            rankings = self._searched.stage_scores(queries, rankings)
            watch.lap("stage_scores")
        return [
            ExplainedResponse(self._respond(query, hits, plan, watch.share(len(queries))), hits)
            for query, hits in zip(queries, rankings, strict=True)
        ]

    def _respond(
        self, query: str, hits: Sequence[Hit], plan: _Plan, watch: Stopwatch
    ) -> SearchResponse:
        scores, degraded = None, None
        if plan.reranker is not None and hits and not query.strip():
            degraded = "the query has a vector and no text, which the reranker would read"
        elif plan.reranker is not None and hits and (why := self._unread(hits, plan)):
            degraded = why
        elif plan.reranker is not None and hits:
            try:
                scores = _scores(plan.reranker, query, hits, plan.options, watch)
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
        final = hits if scores is None else plan.final.ordered(hits, scores.values)
        if (least := plan.options.min_relevance) is not None:
            final = [hit for hit in final if hit.relevance is not None and hit.relevance >= least]
        if plan.options.collapse_duplicates:
            final = collapsed(final)
            watch.lap("duplicates")
        final = [
            replace(hit, rank=rank) for rank, hit in enumerate(final[: plan.options.top_k], start=1)
        ]
        if plan.passages is not None and final:
            found: Sequence[Sequence[Hit]] = [()] * len(final)
            if plan.options.budget_ms is None or watch.elapsed() < plan.options.budget_ms:
                [found] = plan.passages.passages([query], [final])
            final = self._with_passages(
                query, final, found, plan, watch, reranked=scores is not None
            )
            watch.lap("passages")
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

    def _unread(self, hits: Sequence[Hit], plan: _Plan) -> str | None:
        """Why the hits are not reranked, if the reranker alone would decide and cannot read them.

        A fusion with the first stage's score is safe, and fusion=None asks for the reranker alone.
        """
        reranker = plan.reranker
        if reranker is None or plan.final.signals or self._given_fusion != "auto":
            return None
        if reranker.name not in BUNDLED_RERANKERS:
            return None
        why = unread(reranker, [passage(hit) for hit in looked_at(hits)])
        return why and f"{why}, or fusion=None to rank by this one all the same"

    def _with_passages(
        self,
        query: str,
        hits: Sequence[Hit],
        found: Sequence[Sequence[Hit]],
        plan: _Plan,
        watch: Stopwatch,
        *,
        reranked: bool,
    ) -> list[Hit]:
        """The hits with the best of the passages that were found of each."""

        def rerank(passages: Sequence[Hit]) -> list[Hit]:
            if plan.reranker is None or not passages:
                return []
            try:
                scores = _scores(plan.reranker, query, passages, plan.options, watch)
            except RerankError:
                if self._on_rerank_error == "raise":
                    raise
                return []
            least = plan.options.min_relevance
            return [
                each
                for each in plan.final.scored(passages[: len(scores.values)], scores.values)
                if least is None or (each.relevance is not None and each.relevance >= least)
            ]

        return with_passages(
            hits,
            found,
            plan.options.passages_per_document,
            stage=plan.retriever.name,
            rerank=rerank if reranked else None,
        )


def _asks(query: str) -> bool:
    """Whether a query is not blank, or has a vector."""
    return isinstance(query, EncodedQuery) or bool(query.strip())


def _check_relevance(least: float | None, final: FinalScore) -> None:
    if least is not None and final.calibration is None:
        raise InvalidInputError(
            f"min_relevance={least} needs a calibrated reranker, and this one is not calibrated "
            "for the score that hits are sorted by: run `rerank-search calibrate`, or leave "
            "min_relevance out"
        )


def _check_choice(name: str, given: object, *kinds: type) -> None:
    """Raise InvalidInputError unless ``given`` is "auto", an object of these classes, or None."""
    if isinstance(given, str) and given == "auto":
        return
    if given is not None and not isinstance(given, kinds):
        named = ", ".join(f"a {kind.__name__}" for kind in kinds)
        raise InvalidInputError(
            f"{name}={shown(given)} is unknown: use 'auto', {named}, or None for none"
        )


def _scores(
    reranker: Reranker, query: str, hits: Sequence[Hit], options: SearchOptions, watch: Stopwatch
) -> Scores:
    pairs = [(query, passage(hit)) for hit in hits]
    instruction = options.instruction
    if options.budget_ms is None:
        return scored(reranker, pairs, instruction=instruction)
    left = options.budget_ms - watch.elapsed()
    return scored_in_time(reranker, pairs, left, time.perf_counter, instruction=instruction)
