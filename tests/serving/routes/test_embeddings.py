from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import CrossEncoderReranker, Index, RemoteEncoder
from rerank_search.retrieval.encoder import Encoder
from rerank_search.serving.keys import KeyFile, add_key
from tests.serving.conftest import running

TEXTS = ["join the paths of a file", "the bread is in the oven", ""]


@pytest.fixture(scope="module")
def prompted(prompted_encoder: Callable[..., Path]) -> Path:
    made = prompted_encoder({"query": "query: ", "passage": "passage: "})
    return made.rename(made.parent / "prompted")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prompted: Path) -> Path:
    """Two indexes of one encoder, one without vectors, one of an encoder with prompts."""
    home = tmp_path_factory.mktemp("home")
    for name, encoder in {
        "notes": tiny_encoder,
        "more": tiny_encoder,
        "words": None,
        "prompted": prompted,
    }.items():
        Index.create(home / name, encoder=encoder).close()
    return home


@pytest.fixture(scope="module")
def server(home: Path, reranker: CrossEncoderReranker) -> Iterator[Any]:
    with running(home, [reranker]) as server:
        yield server


def asked(server: Any, **body: Any) -> Any:
    return server.client.post("/v1/embeddings", json=body)


def vectors(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return np.array([each["embedding"] for each in data], np.float32)


def test_vectors_are_those_of_the_encoder(server, tiny_encoder):
    answer = asked(server, model=tiny_encoder.name, input=TEXTS)
    assert vectors(answer) == pytest.approx(Encoder(tiny_encoder).encode(TEXTS), abs=1e-6)
    assert answer.json()["model"] == tiny_encoder.name
    one = asked(server, model=tiny_encoder.name, input=TEXTS[0])
    assert vectors(one) == pytest.approx(vectors(answer)[:1], abs=1e-6)


def test_usage_counts_the_tokens_of_the_texts(server, tiny_encoder):
    encoder = Encoder(tiny_encoder)
    long = " ".join(["paths"] * 10_000)
    usage = asked(server, model=tiny_encoder.name, input=[TEXTS[0], long]).json()["usage"]
    tokens = len(encoder.token_offsets(TEXTS[0])) + encoder.window
    assert usage == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize(
    ("kind", "task"), [("query", "query"), ("document", "document"), ("passage", "document")]
)
def test_the_models_prompt_is_put_before_the_kind_of_texts(server, prompted, kind, task):
    encoder = Encoder(prompted)
    expected = encoder.encode(TEXTS, task=task, prompt=encoder.prompts.of(task))
    model = prompted.name
    assert vectors(asked(server, model=model, input=TEXTS, input_type=kind)) == pytest.approx(
        expected, abs=1e-6
    )
    without = vectors(asked(server, model=model, input=TEXTS))
    assert without != pytest.approx(expected, abs=1e-3)


def test_vectors_are_shortened_to_length_1(server, tiny_encoder):
    whole = vectors(asked(server, model=tiny_encoder.name, input=TEXTS))
    short = vectors(asked(server, model=tiny_encoder.name, input=TEXTS, dimensions=4))
    beginnings = whole[:, :4] / np.linalg.norm(whole[:, :4], axis=1, keepdims=True)
    assert short == pytest.approx(beginnings, abs=1e-6)


def test_openais_client_gets_the_vectors(server, tiny_encoder):
    from openai import OpenAI  # here, because only one process of the tests needs it

    with OpenAI(base_url=f"{server.url}/v1", api_key="unused") as client:
        answer = client.embeddings.create(model=tiny_encoder.name, input=TEXTS)  # in base64
        found = np.array([each.embedding for each in answer.data], np.float32)
    assert found == pytest.approx(Encoder(tiny_encoder).encode(TEXTS), abs=1e-6)


def test_our_own_remote_encoder_gets_the_vectors(server, tiny_encoder):
    encoder = RemoteEncoder(f"{server.url}/v1/embeddings#{tiny_encoder.name}")
    assert encoder.encode(TEXTS) == pytest.approx(Encoder(tiny_encoder).encode(TEXTS), abs=1e-6)
    encoder.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"input": "a"}, 404, "name the encoder; there are: "),
        ({"input": "a", "model": "other"}, 404, "no encoder 'other' is served; there are: "),
        ({"input": [1, 2], "model": "other"}, 400, "input: Input should be a string, or a list"),
        ({"model": "other"}, 400, "input"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions"),
        ({"input": "a", "input_type": "title"}, 400, "input_type"),
        ({"input": "a", "truncate": "END"}, 400, "'truncate' is not supported"),
        ({"input": ["a"] * 1_001}, 413, "input: 1,001"),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_names_it(server, body, status, message):
    answer = asked(server, **body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_more_dimensions_than_the_encoder_has_are_refused(server, tiny_encoder):
    answer = asked(server, input="a", model=tiny_encoder.name, dimensions=10_000)
    assert answer.status_code == 400
    assert "dimensions=10000 is more than" in answer.json()["error"]["message"]


def test_a_key_sees_only_the_encoders_of_its_indexes(
    home, reranker, tmp_path, tiny_encoder, prompted
):
    secret = add_key(tmp_path / "keys.json", "one", "read", indexes=["notes", "words"])
    with running(home, [reranker], keys=KeyFile(tmp_path / "keys.json")) as server:
        headers = {"Authorization": f"Bearer {secret}"}
        own = server.client.post("/v1/embeddings", json={"input": "a"}, headers=headers)
        assert own.json()["model"] == tiny_encoder.name  # the only one that it sees
        other = server.client.post(
            "/v1/embeddings", json={"input": "a", "model": prompted.name}, headers=headers
        )
        assert other.status_code == 404
        assert asked(server, input="a").status_code == 401


def test_an_encoder_is_served_without_an_index(tmp_path, reranker, tiny_encoder):
    with running(tmp_path, [reranker], encoders=[Encoder(tiny_encoder)]) as server:
        answer = asked(server, input=TEXTS)
        assert vectors(answer) == pytest.approx(Encoder(tiny_encoder).encode(TEXTS), abs=1e-6)


def test_a_failing_server_behind_an_encoder_is_a_502_without_its_address(tmp_path, reranker):
    far = RemoteEncoder("http://127.0.0.1:9/v1/embeddings", retries=0)
    with running(tmp_path, [reranker], encoders=[far]) as server:
        answer = asked(server, input="a")
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "model_server_failed"
    assert "127.0.0.1" not in answer.text
    far.close()
