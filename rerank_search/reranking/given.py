"""The rerankers that arguments give: a name, a path, or an object of one's own."""

from __future__ import annotations

import os

from rerank_search.arguments import model_name
from rerank_search.errors import InvalidInputError
from rerank_search.reranking.base import Reranker
from rerank_search.shown import shown


def reranker_of(given: Reranker | str | os.PathLike[str]) -> Reranker:
    """The reranker itself; a name or a path is loaded, as a CrossEncoderReranker or by a package.

    Raises InvalidInputError for what is none of these, PluginError, and what loading raises.
    """
    if isinstance(given, (str, bytes, os.PathLike)):
        from rerank_search.reranking.cross_encoder import CrossEncoderReranker
        from rerank_search.reranking.installed import installed_reranker

        name = model_name("reranker", given)
        return installed_reranker(name) or CrossEncoderReranker(name)
    check_reranker(given)
    return given


def check_reranker(given: object) -> None:
    """Raise InvalidInputError for what has no ``name`` and no method ``score``."""
    if isinstance(given, type):
        raise InvalidInputError(
            f"reranker={given.__name__} is a class: make an object of it, {given.__name__}(...)"
        )
    if not callable(getattr(given, "score", None)):
        wrapped = (
            " (of a sentence-transformers CrossEncoder give the name or the folder)"
            if callable(getattr(given, "predict", None))
            else ""
        )
        raise InvalidInputError(
            f"reranker={shown(given)} has no method score(pairs): give the name or the folder of "
            f"a cross-encoder, or an object with name and score{wrapped}"
        )
    if not isinstance(getattr(given, "name", None), str):
        raise InvalidInputError(
            f"reranker={shown(given)} has no name: give it an attribute name, a string"
        )
