"""Rerankers by names that are not of a cross-encoder.

They are behind a URL, or a package adds them, or they compare the vectors of tokens.
"""

from __future__ import annotations

from rerank_search.http_calls.urls import is_url
from rerank_search.reranking import installed
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.late_interaction import MultiVectorReranker, is_late_interaction
from rerank_search.reranking.remote_reranker import RemoteReranker


def is_elsewhere(name: str) -> bool:
    """Whether the reranker of that name is no folder of weights."""
    return is_url(name) or installed.is_installed(name)


def reranker_elsewhere(name: str, *, device: str | None = None) -> Reranker | None:
    """The reranker of that name; None for a folder or the name of a cross-encoder.

    ``device`` is for a model that is loaded here. Raises InvalidInputError for a URL or a model
    that is not usable, PluginError, ModelNotFoundError.
    """
    if is_url(name):
        return RemoteReranker(name)
    if (added := installed.installed_reranker(name)) is not None:
        return added
    return MultiVectorReranker(name, device=device) if is_late_interaction(name) else None


def exact_version(name: str) -> str:
    """A text that differs for another model behind the URL, or another version of the package."""
    return RemoteReranker(name).fingerprint if is_url(name) else installed.exact_version(name)
