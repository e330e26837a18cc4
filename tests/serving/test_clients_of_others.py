"""Clients of other projects, unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

TEXTS = ["bread and cheese", "open and read a file", "a river"]


@pytest.fixture(scope="module")
def expected(reranker):
    logits = reranker.score([("read a file", text) for text in TEXTS]).tolist()
    return sorted(range(len(TEXTS)), key=lambda i: -logits[i])


@pytest.fixture
def cohere():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic warns of its generated models
        return pytest.importorskip("cohere")


@pytest.fixture
def client(server, cohere):
    with cohere.ClientV2(api_key="unused", base_url=server.url) as made:
        yield made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_coheres_client_reranks(client, reranker, expected):
    answer = client.rerank(
        model=Path(reranker.name).name, query="read a file", documents=TEXTS, top_n=2
    )
    assert [each.index for each in answer.results] == expected[:2]
    assert answer.results[0].relevance_score >= answer.results[1].relevance_score
    assert answer.meta.api_version.version == "2"


@pytest.mark.filterwarnings("ignore")
def test_coheres_client_is_told_what_is_wrong(client, cohere):
    with pytest.raises(cohere.NotFoundError) as caught:
        client.rerank(model="rerank-v3.5", query="a", documents=TEXTS)
    assert "no reranker 'rerank-v3.5' is served" in caught.value.body["message"]
    with pytest.raises(cohere.BadRequestError):
        client.rerank(model=None, query=" ", documents=TEXTS)


@pytest.mark.filterwarnings("ignore")
async def _of_coheres_async_client(cohere, url):
    async with cohere.AsyncClientV2(api_key="unused", base_url=url) as client:
        return await client.rerank(model=None, query="read a file", documents=TEXTS)


@pytest.mark.filterwarnings("ignore")
def test_coheres_async_client_reranks(cohere, server, expected):
    import asyncio

    answer = asyncio.run(_of_coheres_async_client(cohere, server.url))
    assert [each.index for each in answer.results] == expected


@pytest.fixture(scope="module")
def litellm():
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise it uses the network
        return pytest.importorskip("litellm")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("provider", "path"),
    [("cohere", ""), ("jina_ai", "/v1/rerank"), ("hosted_vllm", "")],
)
def test_litellm_reranks(litellm, server, reranker, expected, provider, path):
    answer = litellm.rerank(
        model=f"{provider}/{Path(reranker.name).name}",
        query="read a file",
        documents=TEXTS,
        top_n=2,
        api_base=server.url + path,
        api_key="unused",
    )
    assert [each["index"] for each in answer.results] == expected[:2]
    assert answer.results[0]["relevance_score"] >= answer.results[1]["relevance_score"]


@pytest.mark.filterwarnings("ignore")
def test_litellm_is_told_what_is_wrong(litellm, server):
    with pytest.raises(litellm.NotFoundError, match="no reranker 'other' is served"):
        litellm.rerank(
            model="cohere/other", query="a", documents=TEXTS, api_base=server.url, api_key="unused"
        )


@pytest.mark.filterwarnings("ignore")
def test_litellm_searches_a_vector_store(litellm, server):
    answer = litellm.vector_stores.search(
        vector_store_id="notes",
        query="join two paths",
        max_num_results=2,
        filters={"type": "eq", "key": "module", "value": "os"},
        custom_llm_provider="openai",
        api_base=f"{server.url}/v1",
        api_key="unused",
    )
    assert [each["file_id"] for each in answer["data"]] == ["join", "split"]
    assert answer["data"][0]["content"][0]["text"] == "join two paths"
