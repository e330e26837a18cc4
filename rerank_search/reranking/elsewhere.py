"""Rerankers by names that are no folder of weights: those behind a URL, and those of packages."""

from __future__ import annotations

from rerank_search.http_calls.model_server import is_url
from rerank_search.reranking import installed
from rerank_search.reranking.base import Reranker
from rerank_search.reranking.remote_reranker import RemoteReranker


def is_elsewhere(name: str) -> bool:
    """Whether the reranker of that name is behind a URL, or added by a package."""
    return is_url(name) or installed.is_installed(name)


def reranker_elsewhere(name: str) -> Reranker | None:
    """The reranker of that name; None for a folder or the name of a model.

    Raises InvalidInputError for a URL that is not usable, PluginError.
    """
    return RemoteReranker(name) if is_url(name) else installed.installed_reranker(name)


def exact_version(name: str) -> str:
    """A text that differs for another model behind the URL, or another version of the package."""
    return RemoteReranker(name).fingerprint if is_url(name) else installed.exact_version(name)
