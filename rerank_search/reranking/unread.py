"""Texts in a language that the reranker was not made for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from rerank_search.languages import language_of
from rerank_search.models.known import only_english
from rerank_search.reranking.base import Reranker

Item = TypeVar("Item")

LOOKED_AT = 8
"""Most texts whose language is told, so that a long list takes no longer than a short one."""

logger = logging.getLogger(__name__)


def looked_at(items: Sequence[Item]) -> Sequence[Item]:
    """At most ``LOOKED_AT`` of the items, evenly spread."""
    return items[:: len(items) // LOOKED_AT + 1]


def unread(reranker: Reranker, sample: Sequence[str]) -> str | None:
    """Why a reranker cannot order such texts well: it was made for English, and most are not.

    None if it can, as far as this package knows. The sample is of ``looked_at``.
    """
    if not only_english(reranker.name):
        return None
    found = Counter(map(language_of, sample))
    del found[None], found["en"]
    if 2 * found.total() <= len(sample):
        return None
    [(language, _)] = found.most_common(1)
    return (
        f"the reranker {reranker.name!r} is made for English, and most texts are in another "
        f"language ({language}): give a multilingual reranker from `rerank-search models`"
    )


def warn_if_unread(reranker: Reranker, texts: Sequence[str]) -> None:
    """Log why a reranker cannot order these texts well, once for a reranker and a language."""
    if (why := unread(reranker, looked_at(texts))) is not None:
        _log(why)


@cache
def _log(why: str) -> None:
    logger.warning(why)
