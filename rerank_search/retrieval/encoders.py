"""Encoders by name."""

from __future__ import annotations

from os import PathLike
from typing import cast

from rerank_search.http_calls.model_server import is_url
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.remote_encoder import RemoteEncoder


def encoder_of(
    given: TextEncoder | str | PathLike[str], *, revision: str | None = None
) -> TextEncoder:
    """The encoder of that name, whose first use loads the model; an encoder is itself.

    Raises InvalidInputError for anything else.
    """
    if not isinstance(given, type) and callable(getattr(given, "token_offsets", None)):
        return cast("TextEncoder", given)
    if is_url(given):
        return RemoteEncoder(str(given))
    return Encoder(cast("str | PathLike[str]", given), revision=revision)
