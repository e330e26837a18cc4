"""Counts and times in Prometheus' format; each app has its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rerank_search.serving.shared_reranker import RoundReport
from rerank_search.types import SearchResponse

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The measurements of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "rerank_search_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "rerank_search_stage_seconds",
            "Time of each stage of a search, for one query.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stores = Histogram(
            "rerank_search_store_seconds",
            "Time of the first stage of a search in a store, for one query.",
            ["index", "stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rounds = Histogram(
            "rerank_search_round_pairs",
            "Pairs that were scored in one round.",
            buckets=_PAIRS,
            registry=self._registry,
        )
        self._round_requests = Histogram(
            "rerank_search_round_requests",
            "Requests that shared one round.",
            buckets=_PAIRS,
            registry=self._registry,
        )
        self._model_seconds = Counter(
            "rerank_search_model_seconds",
            "Time that rerankers have computed for.",
            registry=self._registry,
        )
        self._pairs = Counter(
            "rerank_search_pairs", "Pairs that were scored.", registry=self._registry
        )
        self._truncated = Counter(
            "rerank_search_truncated_texts",
            "Texts that were cut to fit a reranker's window.",
            registry=self._registry,
        )
        self._degraded = Counter(
            "rerank_search_degraded_answers",
            "Searches that should have been reranked and were not.",
            registry=self._registry,
        )
        self._waiting = Gauge(
            "rerank_search_waiting_pairs",
            "Pairs that wait for a reranker.",
            ["model"],
            registry=self._registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; ``route`` is the path with the names of its parameters."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def search(self, response: SearchResponse) -> None:
        """Count an answered query."""
        for stage, milliseconds in response.timings.items():
            self._stages.labels(stage).observe(milliseconds / 1000)
        self.truncated(response.truncated)
        if response.degraded is not None:
            self._degraded.inc()

    def store(self, name: str, response: SearchResponse) -> None:
        """Count what a store did for an answered query; ``name`` is that of the store."""
        if (milliseconds := response.timings.get("first_stage")) is not None:
            self._stores.labels(name, response.first_stage).observe(milliseconds / 1000)

    def truncated(self, count: int) -> None:
        """Count texts that were cut."""
        self._truncated.inc(count)

    def round(self, report: RoundReport) -> None:
        """Count what a reranker has scored in one round."""
        self._rounds.observe(report.pairs)
        self._round_requests.observe(report.requests)
        self._pairs.inc(report.pairs)
        self._model_seconds.inc(report.seconds)

    def watch(self, model: str, waiting: Callable[[], int]) -> None:
        """Report the number of pairs that wait for a reranker, which ``waiting`` returns."""
        self._waiting.labels(model).set_function(waiting)

    def text(self) -> bytes:
        """All measurements, in Prometheus' text format."""
        return generate_latest(self._registry)
