"""Encoders by name."""

from __future__ import annotations

from os import PathLike
from typing import cast

from rerank_search.http_calls.urls import is_url
from rerank_search.models.registry import encoder_name
from rerank_search.queries import check_excluded
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.remote_encoder import RemoteEncoder


def encoder_of(
    given: TextEncoder | str | PathLike[str],
    *,
    revision: str | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    truncate_dim: int | None = None,
) -> TextEncoder:
    """The encoder of that name, whose first use loads the model; an encoder is itself.

    The other arguments are as for ``Encoder``. Raises InvalidInputError for anything else, and for
    an argument together with an encoder, which has been made already.
    """
    if not isinstance(given, type) and callable(getattr(given, "token_offsets", None)):
        check_excluded(
            "an encoder that is made already",
            revision=revision,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            truncate_dim=truncate_dim,
        )
        return cast("TextEncoder", given)
    if isinstance(given, str) and is_url(name := encoder_name(given)):
        check_excluded("a URL", revision=revision)
        return RemoteEncoder(
            name,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            truncate_dim=truncate_dim,
        )
    return Encoder(
        cast("str | PathLike[str]", given),
        revision=revision,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        truncate_dim=truncate_dim,
    )
