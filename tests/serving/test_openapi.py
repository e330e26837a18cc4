"""The API against its own description, and against random bodies."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = ["/rerank", "/v2/rerank", "/score", "/v1/search", "/v1/indexes/notes/documents",
         "/v1/indexes/notes/delete", "/v1/indexes/notes/find",
         "/v1/indexes/notes/matches"]  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["query", "documents", "texts", "queries", "top_n", "filter", "ids", "id"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed"
)
def test_schemathesis_finds_nothing(fresh, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{fresh.url}/openapi.json",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "42",
            # A schema cannot express a filter's operators, or which numbers of texts can be paired.
            "--exclude-checks", "positive_data_acceptance",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    paths = fresh.client.get("/openapi.json").json()["paths"]
    assert f"{sum(map(len, paths.values()))} passed" in done.stdout


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200) | JSON)
def test_no_body_is_a_fault_of_ours(server, path, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or answer.json()


def test_a_path_tells_all_of_its_methods(server):
    answer = server.client.request("OPTIONS", "/v1/indexes/notes")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT")


def test_the_api_describes_itself(server):
    described = server.client.get("/openapi.json").json()
    assert {"/v1/search", "/rerank", "/score", "/v1/indexes/{name}/documents"} <= set(
        described["paths"]
    )
    schema = described["components"]["schemas"]["SearchRequest"]
    assert schema["examples"][0]["query"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described))
    assert set(references) <= set(described["components"]["schemas"])
