"""Stores by their URLs on the command line, and passwords in URLs, which are never shown."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rerank_search import Document, Searcher
from rerank_search.stores import open_store
from tests.cli.conftest import LINES

Run = Callable[..., Result]
Answer = Callable[..., Any]
Called = Callable[..., subprocess.CompletedProcess[str]]

QUERY = "join two paths"


@pytest.fixture
def url(folder: Path, text_store: Callable[..., str]) -> str:
    """A store of LINES."""
    known = ("id", "text", "title")
    return text_store(
        Document(
            line["id"],
            line["text"],
            line.get("title", ""),
            {key: value for key, value in line.items() if key not in known},
        )
        for line in LINES
    )


def ids(response: Any) -> list[str]:
    return [hit["id"] for hit in response["hits"]]


def test_a_store_is_searched_in_two_stages(url: str, answer: Answer, tiny_reranker: Path) -> None:
    found = answer("search", url, QUERY, "--reranker", str(tiny_reranker))
    with open_store(url) as store:
        expected = Searcher(store, str(tiny_reranker)).search(QUERY)
    assert ids(found) == [hit.id for hit in expected.hits]
    assert found["first_stage"] == "bm25"
    assert found["reranked"] is True
    assert found["hits"][0]["document"]["title"] == "Paths"
    assert {"first_stage", "documents", "rerank", "total"} <= found["timings"].keys()


def test_people_see_the_hits_of_a_store(url: str, run: Run) -> None:
    output = run("search", url, QUERY, "--no-rerank", "--top-k", "1").stdout
    assert output.split()[:2] == ["1", "join"]
    assert "1 candidate by bm25. first_stage " in output


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--top-k", "1"], ["join"]),
        (["--first-stage", "bm25"], ["join", "split"]),
        (["--filter", "year=2022"], ["split"]),
        (["--filter", '{"module": "os", "year": 2020}'], ["join"]),
        (["--filter", "year=1999"], []),
        (["--collapse-duplicates"], ["join", "split"]),
    ],
)
def test_options_work_with_a_store(url: str, answer: Answer, options: Any, found: Any) -> None:
    assert ids(answer("search", url, QUERY, "--no-rerank", *options)) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--first-stage", "text"], "has no first stage 'text': use one of bm25"),
        (["--filter", "year>2021"], "has no filter with Within"),
        (["--passages-per-document", "2"], "passages_per_document needs an index"),
        (["--query-vector", "vector.json"], "query_vector is for"),
    ],
)
def test_an_option_that_a_store_does_not_have_is_refused_by_name(
    url: str, called: Called, options: list[str], message: str
) -> None:
    Path("vector.json").write_text("[1.0, 2.0]")
    done = called("search", url, QUERY, "--no-rerank", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_store_that_is_locked_is_told_and_then_searched(url: str, called: Called) -> None:
    file = url.removeprefix("fts5://")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = called("search", f"{url}?timeout=0.01", QUERY, "--no-rerank")
    assert (done.returncode, done.stdout) == (1, "")
    assert "database is locked" in done.stderr
    assert called("search", url, QUERY, "--no-rerank").returncode == 0


def test_ctrl_c_ends_a_search_in_a_store(
    url: str, called: Called, interrupted_at: Callable[..., Any]
) -> None:
    from my_search.fts5 import Fts5

    with interrupted_at(Fts5.search_text):
        done = called("search", url, QUERY, "--no-rerank")
    assert (done.returncode, done.stdout) == (130, "")


WRONG = [
    "fts5://ann:hush@/no/such/file",
    "fts5://ann:hush@/no/such/file?table=x",
    "fts5://ann:hush@/no/such/file?timeout=0",
    "fts5://ann:hush@/no/such/file?timeout=1&timeout=2",
    "fts5://ann:hush@/no/such/file#dense",
    "fts5:///no/such/file?password=hush",
    "nosuchstore://ann:hush@host/db",
    "letters=fts5://ann:hush@/no/such/file",
    "my letters=fts5://ann:hush@/no/such/file",
    "a/b=fts5://ann:hush@/no/such/file",
]
COMMANDS = [
    ["serve", "--port", "0", "--reranker", "no-such-model", "URL"],
    ["mcp", "--url-template", "no template", "URL"],
    ["index", "info", "URL"],
    ["index", "create", "URL"],
    ["index", "add", "URL", "documents.jsonl"],
    ["calibrate", "no-such-model", "URL"],
    ["evaluate", "small", "--first-stage", "URL"],
    ["evaluate", "small", "--index", "URL"],
    ["evaluate", "URL"],
    ["evaluate", "experiment.toml"],
]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        *((["search", "URL", "a query"], each) for each in WRONG),
        *((command, each) for command in COMMANDS for each in (WRONG[1], WRONG[8])),
    ],
)
def test_a_password_in_a_url_is_never_shown(
    sqlite_stores: None, folder: Path, called: Called, command: list[str], wrong: str
) -> None:
    (folder / "experiment.toml").write_text(
        f"collections = ['small']\nfirst_stages = ['{wrong}']\n"
    )
    before = sorted(folder.iterdir())
    done = called(*[wrong if each == "URL" else each for each in command])
    assert done.returncode in (1, 2)
    assert "error" in done.stderr.lower()
    assert "hush" not in done.stdout + done.stderr
    assert sorted(folder.iterdir()) == before


def test_a_command_for_folders_names_those_for_stores(url: str, called: Called) -> None:
    done = called("index", "info", url)
    assert done.returncode == 2
    assert "stores are for `rerank-search search`, `serve`, `mcp`" in done.stderr
    done = called("search", f"letters={url}", QUERY)
    assert done.returncode == 2
    assert "a search needs none: leave it out" in done.stderr


@pytest.mark.parametrize("command", ["serve", "mcp"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["letters", "letters"], "two stores have the same name 'letters'"),
        (["notes", "others"], "an index and a store have the same name 'notes'"),
    ],
)
def test_names_of_what_is_served_differ(
    notes: Path, text_store: Callable[..., str], called: Called, command, names, message
) -> None:
    stores = [
        f"{name}={text_store([Document('a', 'b')], name=f'file-{place}')}"
        for place, name in enumerate(names)
    ]
    done = called(command, "notes", *stores)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_first_stage_is_not_chosen_for_a_server(url: str, called: Called) -> None:
    done = called("serve", f"{url}#bm25")
    assert done.returncode == 2
    assert "a store is served with all of them" in done.stderr
