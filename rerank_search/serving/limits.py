"""How much one request may ask for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rerank_search.serving.errors import ApiError


class Limits(BaseModel):
    """Bounds of requests; one above them is refused before anything is computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: int = Field(default=16 * 2**20, ge=1)
    """Largest JSON body, in bytes."""
    upload_bytes: int = Field(default=2**30, ge=1)
    """Largest NDJSON body, in bytes; its lines are bounded too, and stored while it comes in."""
    documents: int = Field(default=1_000, ge=1)
    """Number of texts in a rerank request."""
    document_characters: int = Field(default=1_000_000, ge=1)
    query_characters: int = Field(default=10_000, ge=1)
    queries: int = Field(default=100, ge=1)
    """Number of queries in a search request."""
    found_documents: int = Field(default=1_000, ge=1)
    """Number of documents in an answer of ``find``."""
    found_characters: int = Field(default=16_000_000, ge=1)
    """Characters of texts at which an answer of ``find`` ends early; ``next`` leads on."""
    top_k: int = Field(default=1_000, ge=1)
    candidates: int = Field(default=1_000, ge=1)
    json_levels: int = Field(default=64, ge=1)
    json_values: int = Field(default=100_000, ge=1)
    """Number of values in a JSON body, at all levels."""
    waiting_pairs: int = Field(default=20_000, ge=1)
    """Number of pairs that may wait for a reranker."""
    searches: int = Field(default=64, ge=1)
    """Number of searches that run at a time; as many again may wait."""
    writes: int = Field(default=16, ge=1)
    """Number of writes that run at a time; as many again may wait."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Number of requests for each key, or without keys for each address; None is any number."""

    def check_texts(self, what: str, texts: list[str], most: int) -> None:
        """Raise ApiError 413 for too many texts, or too long ones."""
        self.check_count(what, len(texts), most)
        for place, text in enumerate(texts):
            if len(text) > self.document_characters:
                raise too_large(
                    f"{what}[{place}] has {len(text):,} characters, and "
                    f"{self.document_characters:,} are allowed: split it"
                )

    def check_query(self, query: str) -> None:
        """Raise ApiError 413 for a query that is too long."""
        if len(query) > self.query_characters:
            raise too_large(
                f"the query has {len(query):,} characters, and {self.query_characters:,} are "
                "allowed: shorten it"
            )

    def check_count(self, what: str, count: int, most: int) -> None:
        """Raise ApiError 413 above ``most``."""
        if count > most:
            raise too_large(f"{what}: {count:,}, and {most:,} are allowed in a request: send fewer")


def too_large(message: str) -> ApiError:
    """The error for a request that is above a limit."""
    return ApiError(413, "too_large", message)
