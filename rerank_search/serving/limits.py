"""How much one request may ask for, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from rerank_search.serving.errors import ApiError


class Limits(BaseModel):
    """Bounds of a request; whatever is above them is refused before anything is computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: int = Field(default=16 * 2**20, ge=1)
    """Of a JSON body."""
    upload_bytes: int = Field(default=2**30, ge=1)
    """Of NDJSON, which is stored while it comes in, and bounded line by line too."""
    documents: int = Field(default=1_000, ge=1)
    """Texts of a rerank request."""
    document_characters: int = Field(default=1_000_000, ge=1)
    query_characters: int = Field(default=10_000, ge=1)
    queries: int = Field(default=100, ge=1)
    """Of a search request."""
    top_k: int = Field(default=1_000, ge=1)
    candidates: int = Field(default=1_000, ge=1)
    json_levels: int = Field(default=64, ge=1)
    json_values: int = Field(default=100_000, ge=1)
    """Of a JSON body, at all levels."""
    waiting_pairs: int = Field(default=20_000, ge=1)
    """That may wait for a reranker."""
    searches: int = Field(default=64, ge=1)
    """That run at a time; as many again may wait."""
    writes: int = Field(default=16, ge=1)
    """Likewise."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Of one key, or without keys of one address; None is any number."""

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
    """Of anything that is above its limit."""
    return ApiError(413, "too_large", message)


_KNOWN = 10_000
"""Callers that are remembered; above it those that are full again are forgotten."""


class RateLimiter:
    """A token bucket for each caller: ``per_minute`` requests, saved up for a minute at most."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def check(self, caller: str) -> None:
        """Count a request. Raises ApiError 429, which says when to try again."""
        now = self._clock()
        with self._lock:
            tokens = self._tokens(caller, now)
            if tokens >= 1:
                if len(self._buckets) >= _KNOWN:
                    self._forget(now)
                self._buckets[caller] = (tokens - 1, now)
                return
        seconds = max(1, -int(-(1 - tokens) / self._per_second // 1))
        raise ApiError(
            429,
            "rate_limited",
            f"more than {self._capacity:.0f} requests a minute: try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )

    def _tokens(self, caller: str, now: float) -> float:
        tokens, before = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, tokens + (now - before) * self._per_second)

    def _forget(self, now: float) -> None:
        self._buckets = {
            caller: bucket
            for caller, bucket in self._buckets.items()
            if self._tokens(caller, now) < self._capacity
        }
