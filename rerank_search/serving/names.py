"""The names of models as the API shows them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urldefrag

from rerank_search.http_calls.urls import is_url, urls_of


def public_name(model: str) -> str:
    """The name that the API shows for a model: of a folder only the last part.

    Of URLs it is the model's name there, since callers must not see the addresses.
    """
    if is_url(model):
        return urldefrag(urls_of(model)[0]).fragment or "remote"
    path = Path(model)
    return path.resolve().name if path.is_absolute() or path.is_dir() else model
