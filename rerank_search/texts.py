"""Both stages over a plain list of texts, without an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from os import PathLike

from rerank_search.models.registry import AUTO, reranker_name
from rerank_search.options import SearchOptions
from rerank_search.queries import check_text, text_list
from rerank_search.ranking import ranked
from rerank_search.reranking.base import LongDocuments, Reranker
from rerank_search.reranking.calls import scored
from rerank_search.reranking.given import reranker_of
from rerank_search.reranking.unread import warn_if_unread
from rerank_search.retrieval.analysis import analyzer_name
from rerank_search.retrieval.memory import MemoryRetriever
from rerank_search.types import Document, Hit


def rank_texts(
    query: str,
    texts: Iterable[str],
    *,
    top_k: int = SearchOptions.top_k,
    candidates: int = SearchOptions.candidates,
    reranker: Reranker | str | PathLike[str] = AUTO,
    long_documents: LongDocuments = "truncate",
    instruction: str | None = None,
    analyzer: str = "english",
) -> list[Hit]:
    """The best ``top_k`` of the texts by the reranker's logit; a hit's id is its position.

    Equal scores are in the order of the texts. ``texts`` may be any iterable of strings, such as
    a generator or a column of a table.

    If there are more than ``candidates`` texts (at least ``top_k``), BM25 picks those to rerank; if
    too few share a word with the query, the first of the others are added. A text above the
    reranker's window is cut, or with ``max_passage`` read in overlapping windows; the best one
    counts and is the hit's ``span``. ``instruction`` says what makes a text relevant, to a reranker
    that takes one. A named reranker stays loaded for the next call. ``analyzer`` says how BM25
    finds words, as in ``Index.create``.

        >>> hits = rank_texts("how to join paths", ["bread and cheese", "join paths with a slash"])
        >>> [hit.id for hit in hits]
        ['1', '0']

    A blank query or no texts give no hits. Raises InvalidInputError, RerankError,
    ModelNotFoundError.
    """
    options = SearchOptions(top_k=top_k, candidates=candidates, instruction=instruction)
    check_text(query, "the query")
    texts = text_list(texts)
    if not query.strip() or not texts:
        return []
    bm25 = _prefilter(query, texts, options.depth, analyzer_name(analyzer))
    positions = list(bm25)
    model = _loaded(reranker_name(reranker)) if isinstance(reranker, str) else reranker_of(reranker)
    pairs = [(query, texts[position]) for position in positions]
    warn_if_unread(model, [text for _, text in pairs])
    scores = scored(model, pairs, long_documents=long_documents, instruction=instruction)
    final = ranked(zip(positions, scores.values.tolist(), scores.spans, strict=True))
    return [
        Hit(
            str(position),
            score,
            rank,
            document=Document(str(position), texts[position]),
            stage_scores={**bm25[position], "rerank": score},
            span=span,
        )
        for rank, (position, score, span) in enumerate(final[: options.top_k], start=1)
    ]


def _prefilter(
    query: str, texts: Sequence[str], candidates: int, analyzer: str
) -> dict[int, dict[str, float]]:
    """Positions of the texts to rerank, each with its BM25 score if one was computed."""
    if len(texts) <= candidates:
        return {position: {} for position in range(len(texts))}
    found = MemoryRetriever(texts, analyzer=analyzer).best(query, candidates)
    chosen = {position: {"bm25": score} for position, score in found}
    others = (position for position in range(len(texts)) if position not in chosen)
    for position, _ in zip(others, range(candidates - len(chosen)), strict=False):
        chosen[position] = {"bm25": 0.0}
    return chosen


@lru_cache(maxsize=1)
def _loaded(name: str) -> Reranker:
    return reranker_of(name)
