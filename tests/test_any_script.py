"""Ids, metadata and filters in any script, in the library, the command line and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from typer.testing import CliRunner

from rerank_search import Document, Index
from rerank_search.cli.main import app
from rerank_search.client import Client
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from tests.served import served

IDS = {
    "北京/大学": {"语言": "中文"},
    "ملف رقم ١": {"اللغة": "العربية"},
    "हिन्दी": {"भाषा": "हिन्दी"},
    "ไม้": {"ภาษา": "ไทย"},
    "é": {"é": "é"},
    "e\u0301": {"e\u0301": "e\u0301"},
    "👩\u200d🚀": {"🏷️": "👩\u200d🚀"},
    "\u202eabc": {"\u202eكey": "\u202evalue"},
}
"""Ids of documents, and their metadata: two are the same letter, composed and not."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of these documents."""
    home = tmp_path_factory.mktemp("home")
    with Index.create(home / "all", encoder=None) as index:
        index.add([Document(id, f"boat {id}", id, metadata) for id, metadata in IDS.items()])
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    """The address of a server with this index; tests leave it as it was."""
    service = Service(Indexes(home, {}, all_of_home=True), [], Limits())
    with served(create_app(service)) as running:
        yield running.url


def answer(*arguments: str) -> Any:
    """What a command of the command line writes as JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("id", IDS)
def test_the_library_finds_a_document_by_its_id_and_metadata(home: Path, id: str) -> None:
    with Index.open(home / "all", read_only=True) as index:
        assert index.get(id) == Document(id, f"boat {id}", id, IDS[id])
        [hits] = index.retriever("bm25").retrieve(["boat"], 10, filter=IDS[id])
    assert [hit.id for hit in hits] == [id]


@pytest.mark.parametrize("id", IDS)
def test_the_command_line_filters_by_keys_and_values(home: Path, id: str) -> None:
    [(key, value)] = IDS[id].items()
    search = ("search", str(home / "all"), "boat", "--no-rerank", "--filter")
    for filter in (f"{key}={value}", json.dumps(IDS[id], ensure_ascii=False)):
        assert [hit["id"] for hit in answer(*search, filter)["hits"]] == [id]


def test_the_command_line_deletes_only_the_document_of_that_id(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document(id, "boat") for id in IDS])
    gone = ["e\u0301", "北京/大学", "\u202eabc"]
    done = CliRunner().invoke(app, ["index", "delete", str(tmp_path / "index"), *gone])
    assert done.exit_code == 0, done.output
    with Index.open(tmp_path / "index", read_only=True) as index:
        assert [id for id in IDS if index.get(id) is None] == [id for id in IDS if id in gone]


def test_http_and_the_client_find_each_document(server: str) -> None:
    with (
        httpx2.Client(base_url=server, verify=False) as http,
        Client(server, "all") as client,
    ):
        for id, metadata in IDS.items():
            found = http.get(f"/v1/indexes/all/documents/{quote(id, safe='')}")
            assert found.json()["id"] == id
            assert client.get(id).metadata == metadata
            asked = {"index": "all", "query": "boat", "filter": metadata, "rerank": False}
            [result] = http.post("/v1/search", json=asked).json()["results"]
            assert [hit["id"] for hit in result["hits"]] == [id]


def test_http_deletes_only_the_document_of_that_id(server: str) -> None:
    composed, path = (f"/v1/indexes/all/documents/{quote(id)}" for id in ("é", "e\u0301"))
    with httpx2.Client(base_url=server, verify=False) as http:
        document = http.get(path).json()
        assert http.delete(path).status_code == 200
        assert http.get(path).status_code == 404
        assert http.get(composed).json()["id"] == "é"
        put_back = http.post("/v1/indexes/all/documents", json={"documents": [document]})
        assert put_back.status_code == 200
