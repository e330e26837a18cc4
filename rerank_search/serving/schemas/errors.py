"""The bodies of errors, in the shape of each API."""

from __future__ import annotations

from rerank_search.serving.schemas.base import Answer


class ErrorFacts(Answer):
    """What went wrong: ``type`` stays the same, ``message`` says what to do.

    ``code`` is more exact than the type, where one is; for the clients of vLLM it is the status.
    """

    type: str
    message: str
    request_id: str | None = None
    param: str | None = None
    code: int | str | None = None


class ErrorAnswer(Answer):
    """An error of our own API."""

    error: ErrorFacts


class RerankErrorAnswer(Answer):
    """An error as the clients of Cohere (``message``) and of vLLM (``error``) read it."""

    message: str
    error: ErrorFacts
    request_id: str


class TeiErrorAnswer(Answer):
    """An error as the clients of text-embeddings-inference read it."""

    error: str
    error_type: str
    request_id: str
