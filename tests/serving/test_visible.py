"""Keys that open some indexes only: all others seem not to exist, in every route."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from rerank_search import Document, Index
from rerank_search.errors import InvalidInputError
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile, add_key, read_keys
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service

HIDDEN = "secret"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A client with a key, of an app in this process."""

    app: TestClient
    secret: str

    def ask(self, method: str, path: str, body: Any = None, **arguments: Any) -> Any:
        headers = {"authorization": f"Bearer {self.secret}"}
        return self.app.request(method, path, json=body, headers=headers, **arguments)


def further(service: Service) -> APIRouter:
    """A route that somebody adds later, and that thinks of no keys."""
    router = APIRouter()

    @router.get("/later")
    async def later() -> dict[str, Any]:
        return {"names": service.indexes.names()}

    @router.get("/elsewhere")
    def elsewhere() -> dict[str, Any]:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(service.indexes.names()))
        thread.start()
        thread.join()
        return {"names": found}

    return router


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("notes", "wiki", HIDDEN):
        with Index.create(tmp_path / "home" / name, encoder=None) as index:
            index.add([Document("a", f"a song of the {name}")])
    return tmp_path / "home"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def app(home: Path, keys: Path) -> Iterator[TestClient]:
    add_key(keys, "first", "read")
    service = Service(Indexes(home, {}, all_of_home=True), [], Limits())
    with TestClient(create_app(service, keys=KeyFile(keys), further=[further])) as client:
        yield client


@pytest.fixture
def writer(app: TestClient, keys: Path) -> Tenant:
    return Tenant(app, add_key(keys, "tenant", "write", ["notes", "wiki", "none"]))


@pytest.fixture
def one(app: TestClient, keys: Path) -> Tenant:
    return Tenant(app, add_key(keys, "one", "read", ["notes"]))


@pytest.fixture
def owner(app: TestClient, keys: Path) -> Tenant:
    return Tenant(app, add_key(keys, "owner", "write"))


def test_only_its_indexes_are_listed(writer: Tenant, one: Tenant, owner: Tenant) -> None:
    for tenant, expected in (
        (writer, ["notes", "wiki"]),
        (one, ["notes"]),
        (owner, ["notes", HIDDEN, "wiki"]),
    ):
        listed = tenant.ask("GET", "/v1/indexes").json()["indexes"]
        assert [each["name"] for each in listed] == expected


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/indexes/NAME", None),
    ("POST", "/v1/search", {"index": "NAME", "query": "song"}),
    ("POST", "/v1/search", {"index": "NAME", "query": "song", "explain": True}),
    ("POST", "/v1/indexes/NAME/find", {}),
    ("POST", "/v1/indexes/NAME/find", {"filter": {"$.a.b": 1}}),
    ("POST", "/v1/indexes/NAME/matches", {"query": "song", "texts": ["a song"]}),
    ("GET", "/v1/indexes/NAME/documents/a", None),
    ("POST", "/v1/indexes/NAME/documents", {"documents": [{"id": "b", "text": "c"}]}),
    ("DELETE", "/v1/indexes/NAME/documents/a", None),
    ("POST", "/v1/indexes/NAME/delete", {"ids": ["a"]}),
    ("POST", "/v1/indexes/NAME/drop", None),
    ("GET", "/v1/vector_stores/NAME", None),
    ("POST", "/v1/vector_stores/NAME/search", {"query": "song"}),
]


def test_every_route_of_an_index_is_asked_for_that_of_another(app: TestClient) -> None:
    created = ("put", "/v1/indexes/{name}")  # has a test of its own below
    known = {
        (method, path.replace("{name}", "NAME").replace("{id}", "a"))
        for path, methods in app.get("/openapi.json").json()["paths"].items()
        for method in methods
        if "{name}" in path and (method, path) != created
    }
    assert known == {(method.lower(), path) for method, path, _ in REQUESTS if "NAME" in path}


@pytest.mark.parametrize("field", ["after", "before"])
def test_no_page_of_vector_stores_is_next_to_that_of_another(writer: Tenant, field: str) -> None:
    [hidden, unknown] = [
        writer.ask("GET", f"/v1/vector_stores?{field}={name}") for name in (HIDDEN, "unknown")
    ]
    assert hidden.status_code == unknown.status_code == 400
    assert hidden.text.count(HIDDEN) == unknown.text.count("unknown")
    listed = writer.ask("GET", "/v1/vector_stores").json()["data"]
    assert sorted(each["id"] for each in listed) == ["notes", "wiki"]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_the_index_of_another_is_answered_like_an_unknown_name(
    writer: Tenant, home: Path, method: str, path: str, body: Any
) -> None:
    def ask(name: str) -> Any:
        sent = json.loads(json.dumps(body).replace("NAME", name))
        answer = writer.ask(method, path.replace("NAME", name), sent)
        error = answer.json()["error"]
        return answer.status_code, error["type"], error["message"].replace(name, "NAME")

    assert ask(HIDDEN) == ask("unknown")
    assert ask(HIDDEN)[0] == 404
    with Index.open(home / HIDDEN, read_only=True) as index:
        assert list(index.ids()) == ["a"]


def test_lines_for_the_index_of_another_are_refused(writer: Tenant) -> None:
    answer = writer.app.post(
        f"/v1/indexes/{HIDDEN}/documents",
        content='{"id": "b", "text": "c"}',
        headers={
            "authorization": f"Bearer {writer.secret}",
            "content-type": "application/x-ndjson",
        },
    )
    assert answer.status_code == 404
    assert HIDDEN not in answer.text.replace(f"no index '{HIDDEN}'", "")


def test_no_error_names_the_index_of_another(writer: Tenant, one: Tenant) -> None:
    several = writer.ask("POST", "/v1/search", {"query": "song"})
    assert (several.status_code, HIDDEN in several.text) == (400, False)
    assert "notes, wiki" in several.text
    assert HIDDEN not in writer.ask("GET", "/v1/indexes/unknown").text
    for name in ("notes", "unknown", HIDDEN):
        assert HIDDEN not in one.ask("GET", f"/v1/indexes/{name}").text.replace(f"'{name}'", "")


def test_the_only_visible_index_needs_no_name(one: Tenant) -> None:
    answer = one.ask("POST", "/v1/search", {"query": "song"}).json()
    assert answer["index"] == "notes"
    assert len(answer["results"][0]["hits"]) == 1


def test_a_key_makes_and_drops_its_own_indexes_only(writer: Tenant, owner: Tenant) -> None:
    answers = [writer.ask("PUT", f"/v1/indexes/{name}", {}) for name in (HIDDEN, "unknown")]
    assert [each.status_code for each in answers] == [403, 403]
    told = [each.json()["error"]["message"] for each in answers]
    assert told[0].replace(HIDDEN, "unknown") == told[1]
    assert writer.ask("PUT", "/v1/indexes/none", {"encoder": None}).status_code == 201
    assert writer.ask("POST", "/v1/indexes/none/drop").status_code == 200
    assert owner.ask("GET", f"/v1/indexes/{HIDDEN}").status_code == 200


def test_the_encoder_of_anothers_index_is_not_told(
    writer: Tenant, owner: Tenant, home: Path, tiny_encoder: Path
) -> None:
    Index.create(home / "vectors", encoder=str(tiny_encoder)).close()
    for tenant, told in ((writer, False), (owner, True)):
        refused = tenant.ask("PUT", "/v1/indexes/none", {"encoder": "no-such-encoder"})
        assert (refused.status_code, tiny_encoder.name in refused.text) == (400, told)


def test_measurements_of_the_whole_server_need_a_key_for_all_of_it(
    one: Tenant, owner: Tenant
) -> None:
    assert one.ask("GET", "/metrics").status_code == 403
    assert owner.ask("GET", "/metrics").status_code == 200


def test_a_route_that_is_added_later_sees_what_the_key_opens(one: Tenant, owner: Tenant) -> None:
    assert one.ask("GET", "/later").json() == {"names": ["notes"]}
    assert owner.ask("GET", "/later").json() == {"names": ["notes", HIDDEN, "wiki"]}
    # A thread that does not know its request sees nothing, rather than everything.
    assert owner.ask("GET", "/elsewhere").json() == {"names": []}


def test_a_change_of_a_key_counts_at_once(app: TestClient, keys: Path, one: Tenant) -> None:
    content = json.loads(keys.read_text())
    content["keys"][-1]["indexes"] = ["wiki"]
    keys.write_text(json.dumps(content))
    listed = one.ask("GET", "/v1/indexes").json()["indexes"]
    assert [each["name"] for each in listed] == ["wiki"]


def test_a_file_of_an_earlier_version_opens_all_and_stays_as_it_is(keys: Path) -> None:
    add_key(keys, "old", "read")
    [written] = json.loads(keys.read_text())["keys"]
    assert {*written} == {"name", "scope", "sha256", "created"}
    add_key(keys, "new", "read", ["b", "a"])
    old, new = read_keys(keys)
    assert (old.indexes, new.indexes) == (None, frozenset(["a", "b"]))
    assert json.loads(keys.read_text())["keys"][1]["indexes"] == ["a", "b"]


@pytest.mark.parametrize("indexes", [[], [""]])
def test_a_key_that_opens_nothing_is_not_made(keys: Path, indexes: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="at least one index"):
        add_key(keys, "none", "read", indexes)
