"""The checks of retrievers, and of everything that a Searcher can search."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

from rerank_search.errors import InvalidInputError
from rerank_search.ranking import ranked
from rerank_search.retrieval.base import Retriever
from rerank_search.searchable import Searchable
from rerank_search.testing.rules import require
from rerank_search.types import Filter, Hit


def check_retriever(
    retriever: Retriever,
    queries: Sequence[str],
    *,
    documents: int,
    filter: Filter | None = None,
    allows: Callable[[str], bool] | None = None,
) -> None:
    """Check that rankings are in the total order and the same in any batch, for any k and query.

    ``queries`` should find something; ``documents`` is the number of documents. With ``filter``,
    ``allows`` says by a document's id whether the filter allows it; it should allow some of the
    documents that the queries find.
    """
    require(bool(retriever.name), "name must not be empty")
    require(retriever.retrieve([], 5) == [], "retrieve([], 5) must return no rankings")
    given = list(queries)
    everything = retriever.retrieve(given, documents + 10)
    require(given == list(queries), "retrieve() must not change its input")
    require(len(everything) == len(given), "retrieve() must return one ranking for each query")
    for query, hits in zip(given, everything, strict=True):
        _check_ranking(query, hits, most=documents)
        require(
            _brief(retriever.retrieve([query], documents + 10)[0]) == _brief(hits),
            f"a query alone must rank as in a batch: {query!r}",
        )
    for k in (1, 3):
        for query, hits, best in zip(given, everything, retriever.retrieve(given, k), strict=True):
            _check_ranking(query, best, most=k)
            require(
                [hit.id for hit in best] == [hit.id for hit in hits[:k]],
                f"k={k} must give the first {k} of the whole ranking of {query!r}",
            )
    for odd in ("", "  ", '"( AND : ^~ *', "\x00", "word " * 3_000):
        _check_ranking(odd, retriever.retrieve([odd], 5)[0], most=5)
    for wrong in (0, -1):
        require(_refuses(retriever, given[:1], wrong), f"k={wrong} must raise InvalidInputError")
    if filter is not None and allows is not None:
        _check_filter(retriever, given, documents, filter, allows)


def check_searchable(
    searchable: Searchable,
    queries: Sequence[str],
    *,
    documents: int,
    filter: Filter | None = None,
    allows: Callable[[str], bool] | None = None,
) -> None:
    """Check that every first stage conforms, and its hits get their documents and stage scores.

    Arguments as for ``check_retriever``, which is called for each first stage.
    """
    stages = searchable.first_stages
    require(bool(stages), "first_stages must name at least one first stage")
    try:
        searchable.retriever("no such stage")
    except InvalidInputError:
        pass
    else:
        require(False, "retriever() must raise InvalidInputError for an unknown name")
    for name in stages:
        retriever = searchable.retriever(name)
        require(retriever.name == name, f"retriever({name!r}) must have this name")
        check_retriever(retriever, queries, documents=documents, filter=filter, allows=allows)
        rankings = retriever.retrieve(queries, documents)
        _check_documents(searchable, rankings)
        _check_stage_scores(searchable, queries, rankings)
    if filter is not None:
        warnings = searchable.filter_warnings(filter)
        require(
            all(isinstance(each, str) for each in warnings), "filter_warnings() must return strings"
        )


def _check_documents(searchable: Searchable, rankings: Sequence[Sequence[Hit]]) -> None:
    wanted = [hit.id for hits in rankings for hit in hits if hit.document is None]
    found = searchable.documents(wanted)
    require(len(found) == len(wanted), "documents() must return one entry for each id")
    for id, document in zip(wanted, found, strict=True):
        require(document is not None, f"documents() must return {id!r}, which was found")
        require(document is None or document.id == id, f"documents() must keep the order: {id!r}")
    require(searchable.documents([]) == [], "documents([]) must return an empty list")


def _check_stage_scores(
    searchable: Searchable, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
) -> None:
    completed = searchable.stage_scores(queries, rankings)
    require(
        [[hit.id for hit in hits] for hits in completed]
        == [[hit.id for hit in hits] for hits in rankings],
        "stage_scores() must keep the hits and their order",
    )
    for hits, before in zip(completed, rankings, strict=True):
        for hit, known in zip(hits, before, strict=True):
            require(
                known.stage_scores.items() <= hit.stage_scores.items(),
                f"stage_scores() must keep the scores that {hit.id!r} has",
            )
            require(
                all(math.isfinite(score) for score in hit.stage_scores.values()),
                f"stage_scores() must be finite for {hit.id!r}",
            )


def _check_filter(
    retriever: Retriever,
    queries: Sequence[str],
    documents: int,
    filter: Filter,
    allows: Callable[[str], bool],
) -> None:
    everything = retriever.retrieve(queries, documents)
    before = copy.deepcopy(filter)
    for k in (1, documents):
        filtered = retriever.retrieve(queries, k, filter=filter)
        require(filter == before, "retrieve() must not change the filter")
        for query, hits, best in zip(queries, everything, filtered, strict=True):
            expected = {hit.id for hit in hits if allows(hit.id)}
            found = {hit.id for hit in best}
            require(
                all(allows(id) for id in found),
                f"hits must match the filter: {query!r} found {sorted(found)}",
            )
            require(
                len(found) >= min(k, len(expected)),
                f"a filter must not lose hits: {query!r} found {len(found)} with k={k}, and at "
                f"least {len(expected)} match",
            )


def _check_ranking(query: str, hits: Sequence[Hit], *, most: int) -> None:
    about = f"the ranking of {query[:50]!r}"
    require(len(hits) <= most, f"{about} has {len(hits)} hits, and must have {most} at most")
    require(len({hit.id for hit in hits}) == len(hits), f"{about} must not repeat a document")
    require(all(math.isfinite(hit.score) for hit in hits), f"{about} must have finite scores")
    require(
        [hit.rank for hit in hits] == list(range(1, len(hits) + 1)),
        f"{about} must have the ranks 1, 2, 3 …",
    )
    order = [id for id, _, _ in ranked((hit.id, hit.score, None) for hit in hits)]
    require([hit.id for hit in hits] == order, f"{about} must be by score descending, then by id")


def _refuses(retriever: Retriever, queries: Sequence[str], k: int) -> bool:
    try:
        retriever.retrieve(queries, k)
    except InvalidInputError:
        return True
    return False


def _brief(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, round(hit.score, 4)) for hit in hits]
