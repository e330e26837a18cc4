"""A table of PostgreSQL by its URL: on the command line, on a server, measured, in a plugin."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerank_search import Document, Searcher
from rerank_search.cli.main import app
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.plugins.source import Source
from rerank_search.stores import open_store
from tests.evaluation.conftest import DOCUMENTS, write_beir
from tests.postgres import PASSWORD, Postgres
from tests.serving.conftest import running
from tests.waiting import until

QUERY = "read the lines of a file"
TABLE = "letters"
HIDDEN = "secret"
"""The part of the password that no writing of a URL changes."""


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> Iterator[str]:
    """A table of the documents of the tests of evaluations."""
    url = postgres.url(table=TABLE)
    with open_store(url, create=True, dimension=0) as store:
        store.add([Document(id, text, title) for id, (title, text) in DOCUMENTS.items()])
    yield url
    postgres.run(f"DROP TABLE {TABLE}")


@pytest.fixture(scope="module")
def expected(url: str) -> list[str]:
    with open_store(url) as store:
        return [hit.id for hit in Searcher(store, None).search(QUERY, top_k=3).hits]


def with_password(postgres: Postgres, password: str) -> str:
    if postgres.secured is None:
        pytest.skip("needs a server of our own, which asks for a password")
    return postgres.url(postgres.secured, password, table=TABLE)


def test_it_is_searched_on_the_command_line(
    url: str, postgres: Postgres, expected: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    secured = with_password(postgres, PASSWORD)
    asked = [QUERY, "--no-rerank", "--top-k", "3", "--first-stage", "text", "--json"]
    for given in (url, secured):
        done = CliRunner().invoke(app, ["search", given, *asked])
        assert done.exit_code == 0, done.output
        response = json.loads(done.stdout)
        assert [hit["id"] for hit in response["hits"]] == expected
        assert response["first_stage"] == "text"
    wrong = CliRunner().invoke(app, ["search", with_password(postgres, f"not {PASSWORD}"), QUERY])
    assert wrong.exit_code == 1
    assert "password authentication failed" in str(wrong.exception)
    assert HIDDEN not in f"{wrong.exception}{wrong.output}{capfd.readouterr()}"


def test_it_is_served_and_another_one_that_is_down_is_told(
    url: str, expected: list[str], tmp_path: Path
) -> None:
    down = f"postgresql://nobody@127.0.0.1:1/none?table={TABLE}&timeout=1&retries=0"
    with running(tmp_path, [], stores={"letters": url, "down": down}) as server:
        asked = {"query": QUERY, "top_k": 3, "rerank": False}
        answer = server.post("/v1/search", {"index": "letters", "matches": True, **asked})
        [result] = answer.json()["results"]
        assert [hit["id"] for hit in result["hits"]] == expected
        assert result["first_stage"] == "text"
        refused = server.post("/v1/search", {"index": "down", **asked})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert "127.0.0.1" not in refused.text
        listed = server.client.get("/v1/indexes").json()
        assert [each["store"] for each in listed["indexes"]] == ["postgresql"]
        assert listed["unavailable"].keys() == {"down"}


def test_it_is_measured_without_its_url(
    url: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    stages = ["bm25", with_password(postgres, PASSWORD), f"again={url}#text"]
    collections = [str(write_beir(tmp_path / "small"))]
    experiment = experiment_of(
        {"collections": collections, "first_stages": stages, "cost_queries": 0}
    )
    report = evaluate(experiment, tmp_path / "out")
    figures = {system.first_stage: system.protocols["first_stage"] for system in report.systems}
    assert figures.keys() == {"bm25", "letters", "again"}
    assert figures["letters"] == figures["again"]
    assert figures["letters"]["R@100"] > 0
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or HIDDEN not in path.read_text(errors="replace")


def test_it_is_searched_by_a_plugin(url: str, postgres: Postgres, expected: list[str]) -> None:
    source = Source(index=url, reranker=None)
    assert [hit.id for hit in source.searcher().search(QUERY, top_k=3).hits] == expected
    source.close()
    with pytest.raises(ValueError, match="has a password") as refused:
        Source(index=with_password(postgres, PASSWORD))
    assert HIDDEN not in str(refused.value)


@pytest.mark.usefixtures("heeding_interrupts")
def test_ctrl_c_ends_a_search_that_waits_for_the_table(
    url: str, postgres: Postgres, expected: list[str], locked: Callable[[], Any]
) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    searching = [f"%{TABLE}%"]

    def interrupt() -> None:
        until(lambda: bool(postgres.run(waiting, searching)))
        os.kill(os.getpid(), signal.SIGINT)

    with open_store(url) as store:
        searcher = Searcher(store, None)
        with locked():
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                searcher.search(QUERY)
            thread.join()
            until(lambda: not postgres.run(waiting, searching))  # it is cancelled there too
        assert [hit.id for hit in searcher.search(QUERY, top_k=3).hits] == expected


@pytest.fixture
def locked(postgres: Postgres) -> Callable[[], Any]:
    """A context in which the table cannot be read."""
    import psycopg

    def lock() -> Any:
        connection = psycopg.connect(f"{postgres.server}/{postgres.database}")
        connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        return connection

    return lock
