from __future__ import annotations

import re


def test_what_is_measured(server):
    server.post("/v1/search", {"query": "join two paths"})
    server.client.get("/no/such/path")
    text = server.client.get("/metrics").text
    assert re.search(r'request_seconds_count\{.*route="/v1/search",status="200"\} [1-9]', text)
    assert re.search(r'request_seconds_count\{.*route="other",status="404"\} [1-9]', text)
    assert "/no/such/path" not in text
    for stage in ("first_stage", "rerank", "total"):
        assert re.search(rf'stage_seconds_count\{{stage="{stage}"\}} [1-9]', text)
    for name in ("round_pairs_count", "truncated_texts_total", "waiting_pairs"):
        assert f"rerank_search_{name}" in text


def test_two_apps_count_for_themselves(server, serve):
    with serve() as other:
        assert "/v1/models" not in other.client.get("/metrics").text
        server.client.get("/v1/models")
        assert "/v1/models" not in other.client.get("/metrics").text
