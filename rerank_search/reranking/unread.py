"""Texts that a bundled reranker cannot read well enough to rank them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rerank_search.languages import language_of
from rerank_search.models.known import only_english
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.hit_text import passage
from rerank_search.types import Hit

LOOKED_AT = 8
"""Most candidates whose language is told: less than half a millisecond."""


def unread(reranker: Reranker, hits: Sequence[Hit]) -> str | None:
    """Why a reranker should not order these hits by its logit alone; None if it may.

    That is so if the reranker is one of this package, made for English, and most of the hits are
    in another language.
    """
    if reranker.name not in BUNDLED_RERANKERS or not only_english(reranker.name):
        return None
    looked_at = hits[:: len(hits) // LOOKED_AT + 1]
    found = Counter(language_of(passage(hit)) for hit in looked_at)
    del found[None], found["en"]
    if 2 * found.total() <= len(looked_at):
        return None
    [(language, _)] = found.most_common(1)
    return (
        f"the reranker {reranker.name!r} is made for English, and most candidates are in another "
        f"language ({language}): give a multilingual reranker from `rerank-search models`, or "
        "fusion=None to rank by this one all the same"
    )
