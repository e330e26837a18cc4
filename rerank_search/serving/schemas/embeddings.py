"""The bodies of OpenAI's embeddings API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rerank_search.serving.schemas.base import Answer, Count, ForeignRequest, OneOrMany


class EmbeddingsRequest(ForeignRequest):
    """What the clients of OpenAI send. Tokens in place of texts are not supported."""

    input: OneOrMany = Field(examples=[["Flour and water, baked."]])
    """One text, or several."""
    model: str | None = None
    """An encoder that is served; null is the only one."""
    encoding_format: Literal["float", "base64"] = "float"
    """Vectors as numbers, or as the base64 of little-endian float32."""
    dimensions: Count | None = Field(default=None, ge=1)
    """The beginning of each vector that is returned, of length 1 again; for Matryoshka models."""
    input_type: Literal["query", "document", "passage"] | None = None
    """Ours and NVIDIA's: the model's prompt for queries or documents is put before each text."""


class Embedding(Answer):
    """The vector of a text by its place in the request."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Answer):
    """Vectors of length 1, in the order of the texts."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: dict[str, int] | None = None
    """Tokens of the texts as the model reads them; missing if only another server knows them."""
