"""OpenTelemetry spans of searches and rerankings, below those that FastAPI makes of requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from rerank_search.errors import MissingDependencyError
from rerank_search.types import SearchResponse

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables with the address that spans are sent to; the SDK reads them."""

_GRACE_SECONDS = 3


def from_environment() -> TracerProvider | None:
    """The provider that sends spans to the endpoint in the environment; None if there is none.

    Raises MissingDependencyError without the extra "telemetry".
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingDependencyError(
            f"{' or '.join(ENDPOINTS)} is set, but the exporter of traces is not installed: "
            "pip install 'rerank-search[telemetry]'"
        ) from error
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "rerank-search"}))
    provider = TracerProvider(
        resource=resource, shutdown_on_exit=False
    )  # Traces.close shuts it down
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Traces:
    """The spans of one app, made by ``provider``, or if that is None by the process's own.

    A given provider is shut down at the end; the process's own is not.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.provider = provider
        self._tracer = trace.get_tracer("rerank_search", tracer_provider=provider)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """A span below the current one, for what happens inside the ``with`` block.

        Of an exception it records only the class, since messages may quote texts.
        """
        with self._tracer.start_as_current_span(
            name,
            attributes=_prefixed(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(trace.StatusCode.ERROR)
                raise

    def stages(self, responses: Sequence[SearchResponse], began: int) -> None:
        """Make a span for each stage of each response, one after the other from ``began`` (ns)."""
        if not trace.get_current_span().is_recording():
            return
        for response in responses:
            for stage, milliseconds in response.timings.items():
                if stage == "total":
                    continue
                own: dict[str, Any] = {}
                if stage == "first_stage":
                    own = {"stage": response.first_stage, "candidates": response.candidates}
                elif stage == "rerank":
                    own = {"count": response.reranked_count}
                    if response.degraded is not None:
                        own["degraded"] = True
                span = self._tracer.start_span(stage, start_time=began, attributes=_prefixed(own))
                began += int(milliseconds * 1e6)
                span.end(began)

    def close(self) -> None:
        """Send the last spans; wait a few seconds at most for a collector that does not answer."""
        if self.provider is not None:
            sending = threading.Thread(target=self.provider.shutdown, daemon=True)
            sending.start()
            sending.join(_GRACE_SECONDS)


def trace_id() -> str | None:
    """The id of the current request's trace, for its line in the log; None if it has none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def _prefixed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"rerank_search.{name}": value for name, value in attributes.items()}
