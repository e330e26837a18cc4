"""The reranker for an argument that is a name, a path or an object."""

from __future__ import annotations

import os

from rerank_search.arguments import model_name
from rerank_search.models.registry import reranker_name
from rerank_search.reranking.base import Reranker, check_reranker


def reranker_of(given: Reranker | str | os.PathLike[str]) -> Reranker:
    """The reranker itself; a name or a path is loaded, and a URL gives a RemoteReranker.

    A model with token vectors gives a MultiVectorReranker, any other a CrossEncoderReranker.

    Raises InvalidInputError for anything else, PluginError, and what loading raises.
    """
    if isinstance(given, (str, bytes, os.PathLike)):
        from rerank_search.reranking.cross_encoder import CrossEncoderReranker
        from rerank_search.reranking.elsewhere import reranker_elsewhere

        name = reranker_name(model_name("reranker", given))
        return reranker_elsewhere(name) or CrossEncoderReranker(name)
    check_reranker(given)
    return given
