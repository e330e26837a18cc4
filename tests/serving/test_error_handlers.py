from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RERANK = {"query": "a file", "documents": ["read a file", "a river"]}


def test_a_fault_of_ours_says_nothing_of_itself(serve, caplog):
    class Wrong:
        name = "wrong"
        activated = "not a function"

        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            return np.zeros(len(pairs), dtype=np.float32)

    with serve(Wrong()) as server:
        answer = server.post("/v2/rerank", RERANK)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal"
    assert "function" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert any("TypeError" in (record.exc_text or "") for record in caplog.records)


def test_others_exceptions_and_paths_are_not_told(serve, tiny_reranker, tmp_path, caplog):
    class Wrong:
        name = str(tmp_path)

        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            raise ValueError("/srv/private has no space")

    with serve(Wrong()) as server:
        reranked = server.post("/v2/rerank", RERANK)
        searched = server.post("/v1/search", {"query": "join two paths"})
    assert reranked.json()["error"]["type"] == "reranker_failed"
    assert "failed (ValueError)" in reranked.json()["message"]
    assert "failed (ValueError)" in searched.json()["results"][0]["degraded"]
    for answer in (reranked, searched):
        assert "private" not in answer.text
        assert str(tmp_path) not in answer.text
    assert "/srv/private has no space" in caplog.text


def test_the_log_names_the_package_whose_first_stage_cannot_be_used(serve, install_package, caplog):
    install_package(
        {"stages.py": "import no_such_module"},
        {"rerank_search.retrievers": {"gone": "stages:Gone"}},
    )
    asked = {"encoder": None, "first_stages": ["gone"]}
    with serve(None) as server:
        answer = server.client.put("/v1/indexes/other", json=asked)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal"
    assert "'gone' of the package my-search" in caplog.text
    assert "no_such_module" in caplog.text
