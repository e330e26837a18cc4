"""Pairs whose texts are cut at a number of tokens, before a model reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.reranking.chat_pairs import ChatPairs
from rerank_search.reranking.pairs import PairTokenizer

Pairs = Sequence[tuple[str, str]]


def shortened(
    layout: PairTokenizer | ChatPairs,
    pairs: Pairs,
    *,
    text_tokens: int | None,
    pair_tokens: int | None,
    prompt: str,
) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
    """See ``CrossEncoderReranker.shortened``."""
    most = np.full(len(pairs), np.iinfo(np.int64).max)
    if text_tokens is not None:
        most = np.minimum(most, whole_number("text_tokens", text_tokens))
    if pair_tokens is not None:
        whole_number("pair_tokens", pair_tokens, least=0)
        most = np.minimum(most, _room(layout, pairs, pair_tokens, prompt))
    texts = list(dict.fromkeys(text for _, text in pairs))
    ends = {
        text: [end for _, end in tokens.offsets]
        for text, tokens in zip(texts, layout.tokens_of(texts), strict=True)
    }
    cut = np.array(
        [len(ends[text]) > size for (_, text), size in zip(pairs, most, strict=True)],
        dtype=np.bool_,
    )
    return [
        (query, text[: ends[text][size - 1]] if too_long else text)
        for (query, text), size, too_long in zip(pairs, most, cut, strict=True)
    ], cut


def _room(
    layout: PairTokenizer | ChatPairs, pairs: Pairs, tokens: int, prompt: str
) -> NDArray[np.int64]:
    """The tokens that each pair's query leaves for its text."""
    queries = list(dict.fromkeys(query for query, _ in pairs))
    alone = layout.encode([(query, "") for query in queries], prompt=prompt)
    taken = {query: len(pair.ids) for query, pair in zip(queries, alone, strict=True)}
    for query, used in taken.items():
        if used >= tokens:
            raise InvalidInputError(
                f"{tokens} tokens leave no room for a text beside the query {query!r:.60}, which "
                f"has {used} with special tokens: allow more, or shorten the query"
            )
    return np.array([tokens - taken[query] for query, _ in pairs], dtype=np.int64)
