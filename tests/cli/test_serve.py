from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rerank_search import Index
from rerank_search.errors import InvalidInputError, RerankSearchError
from tests import warm

Run = Callable[..., Result]


def test_strangers_are_not_served_without_keys(folder: Path, run: Run) -> None:
    refused = run("serve", "--host", "0.0.0.0")
    assert isinstance(refused.exception, InvalidInputError)
    assert "rerank-search key add" in str(refused.exception)


def test_an_address_that_is_taken_is_told_before_models_load(folder: Path, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        # There is no such model, but another error comes first.
        refused = run("serve", "--port", str(taken.getsockname()[1]), "--reranker", "no-such-model")
    assert isinstance(refused.exception, InvalidInputError)
    assert "choose another --port" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no index"),
        (["--keys", "no.json"], "rerank-search key add"),
        (["--reranker", "no-such-model"], "no-such-model"),
        (["--cors-origin", "app.example"], "is not an origin"),
        (["--host", "999.1.1.1", "--without-keys"], "cannot listen at"),
    ],
)
def test_what_cannot_be_served_is_told(
    folder: Path, run: Run, arguments: list[str], message: str
) -> None:
    refused = run("serve", "--port", "0", *arguments)
    assert isinstance(refused.exception, RerankSearchError)
    assert message in str(refused.exception)


def test_two_indexes_of_one_name_are_not_served(folder: Path, run: Run) -> None:
    for each in ("a", "b"):
        Index.create(folder / each / "notes", encoder=None).close()
    refused = run("serve", "--port", "0", "a/notes", "b/notes")
    assert isinstance(refused.exception, InvalidInputError)
    assert "have the same name" in str(refused.exception)


@pytest.mark.process
def test_two_rerankers_of_one_name_are_not_served(folder: Path, tiny_reranker: Path) -> None:
    for each in ("a", "b"):
        shutil.copytree(tiny_reranker, folder / each / "model")
    arguments = ("serve", "--port", "0", "--reranker", "a/model", "--reranker", "b/model")
    refused = warm.start(warm.COMMAND_LINE, *arguments, output=folder / "output")
    assert refused.wait() == 2
    assert "have the same name" in refused.said()
