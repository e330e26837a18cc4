"""Spans of OpenTelemetry, in memory, and sent by a server to a stand-in for a collector."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from rerank_search import Document, Index
from rerank_search.errors import MissingDependencyError
from rerank_search.serving import traces
from rerank_search.serving.traces import ENDPOINTS, Traces
from tests.waiting import until

pytest.importorskip("opentelemetry.sdk.trace", reason="the extra 'telemetry' is not installed")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(serve):
    """A server whose spans are kept, and a function that returns those that have ended."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))

    def ended(request: str | None = None):
        """All of them, once that of the request is among them: it ends after the answer."""
        if request is not None:
            until(lambda: request in {span.name for span in kept.get_finished_spans()})
        return kept.get_finished_spans()

    with serve(traces=Traces(provider)) as server:
        yield server, ended


def test_a_search_has_a_span_for_each_stage(spans):
    server, ended = spans
    asked = {"index": "notes", "query": "secret words", "candidates": 3, "top_k": 3}
    assert server.post("/v1/search", asked, traceparent=PARENT).status_code == 200
    found = {span.name: span for span in ended("POST /v1/search")}
    assert {"POST /v1/search", "search", "first_stage", "documents", "rerank"} <= set(found)
    request, search = found["POST /v1/search"], found["search"]
    # It continues the trace of the caller.
    assert f"{request.context.trace_id:032x}" == PARENT.split("-")[1]
    assert search.parent.span_id == request.context.span_id
    for name in ("first_stage", "documents", "rerank"):
        stage = found[name]
        assert stage.parent.span_id == search.context.span_id
        assert search.start_time <= stage.start_time <= stage.end_time <= search.end_time
    assert search.attributes["rerank_search.index"] == "notes"
    assert found["first_stage"].attributes["rerank_search.candidates"] == 3
    assert found["rerank"].attributes["rerank_search.count"] == 3
    assert "secret" not in "".join(span.to_json() for span in ended())


def test_what_fails_is_told_by_its_class_alone(spans):
    server, ended = spans
    asked = {"query": "hidden", "filter": {"a": {"$in": "secret"}}}
    assert server.post("/v1/search?query=secret", asked).status_code == 400
    [search] = [span for span in ended() if span.name == "search"]
    assert search.attributes["error.type"] == "InvalidFilterError"
    assert not search.status.is_ok
    told = "".join(span.to_json() for span in ended("POST /v1/search"))
    assert "secret" not in told
    assert "hidden" not in told


def test_reranking_has_a_span(spans):
    server, ended = spans
    server.post("/v2/rerank", {"query": "a file", "documents": ["read a file", "a river"]})
    [reranked] = [span for span in ended() if span.name == "rerank"]
    assert reranked.attributes["rerank_search.count"] == 2


def test_health_the_page_and_metrics_are_not_traced(spans):
    server, ended = spans
    for path in ("/health/live", "/health/ready", "/metrics", "/", "/?q=secret", "/openapi.json"):
        assert server.client.get(path).status_code == 200
    assert ended() == ()


@pytest.fixture
def collector():
    """The address of a server that accepts all posts, and a list of them."""
    taken: list[tuple[str, bytes]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", taken
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_server_sends_its_traces_where_the_environment_says(
    tmp_path, tiny_reranker, collector, serving
):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, taken = collector
    home = tmp_path / "home"
    with Index.create(home / "notes", encoder=None) as index:
        index.add([Document("a", "join two paths")])
    arguments = ["--reranker", str(tiny_reranker)]
    with serving(home, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=address) as server:
        asked = {"query": "join"}
        assert httpx2.post(f"{server.url}/v1/search", json=asked, timeout=60).is_success
        server.process.signal(signal.SIGTERM)
        server.process.wait(40)
    names, services, ids = [], set(), set()
    for path, content in taken:
        assert path == "/v1/traces"
        for sent in ExportTraceServiceRequest.FromString(content).resource_spans:
            services |= {
                each.value.string_value
                for each in sent.resource.attributes
                if each.key == "service.name"
            }
            spans = [span for scope in sent.scope_spans for span in scope.spans]
            names += [span.name for span in spans]
            ids |= {span.trace_id.hex() for span in spans}
    assert services == {"rerank-search"}
    assert {"POST /v1/search", "search", "first_stage", "rerank"} <= set(names)
    [line] = [each for each in server.lines() if each.get("path") == "/v1/search"]
    assert {line["trace_id"]} == ids


@pytest.mark.slow
def test_a_collector_that_does_not_answer_holds_nobody_up(tmp_path, tiny_reranker, serving):
    with socket.socket() as silent, ExitStack() as servers:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        patient = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
        }
        arguments = ["--reranker", str(tiny_reranker)]
        ended = []
        for ending in (signal.SIGTERM, signal.SIGINT):
            home = tmp_path / ending.name / "home"
            home.mkdir(parents=True)
            server = servers.enter_context(serving(home, *arguments, **patient))
            httpx2.get(f"{server.url}/v1/models")
            server.process.signal(ending)
            ended.append(server.process)
        # Both of them wait at the same time.
        assert {process.wait(60) for process in ended} <= {-signal.SIGTERM, 130, 0}


def test_without_the_extra_the_environment_is_told_what_to_install(monkeypatch):
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert traces.from_environment() is None
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'rerank-search\[telemetry\]'"):
        traces.from_environment()
