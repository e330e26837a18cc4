"""What ``rerank-search mcp`` refuses; tests/plugins/mcp/test_stdio.py has what it does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search import Index
from tests.client.conftest import served

Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 1, "Existing indexes: notes."),
        (["notes", "other/notes"], 2, "two indexes have the same name"),
        (["notes", "--url-template", "docs.example"], 2, "https://docs.example/{id}"),
        (["notes", "--wirte"], 2, "--wirte"),
        (["notes", "http://127.0.0.1:9/v1/indexes/notes"], 2, "is on a server, and others"),
        (["http://127.0.0.1:9/v1/indexes/a", "http://127.0.0.1:8"], 2, "not on one server"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_read(
    folder: Path, called: Called, arguments: list[str], code: int, message: str
) -> None:
    for path in ("indexes/notes", "other/notes"):
        Index.create(folder / path, encoder=None).close()
    done = called("mcp", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_an_index_that_a_server_does_not_have_is_told(folder: Path, called: Called) -> None:
    Index.create(folder / "home" / "notes", encoder=None).close()
    with served(folder / "home", []) as server:
        done = called("mcp", f"{server.url}/v1/indexes/other")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no index 'other'; there are: none\n"


def test_no_index_at_all_is_told_with_the_folder(folder: Path, called: Called) -> None:
    done = called("mcp")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(folder / "indexes") in done.stderr
    assert "RERANK_SEARCH_HOME" in done.stderr


def test_options_of_mcp_need_it_in_the_server(folder: Path, called: Called) -> None:
    done = called("serve", "--about", "Notes.")
    assert done.returncode == 2
    assert "need --mcp" in done.stderr
