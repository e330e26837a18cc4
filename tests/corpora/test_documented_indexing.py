"""The examples of docs/indexing.md, run unchanged."""

from __future__ import annotations

import gzip
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rerank_search import Index
from rerank_search.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "indexing.md").read_text(encoding="utf-8")
LINES = "".join(f'{{"id": "{id}", "text": "text of {id}"}}\n' for id in ("a", "b"))


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def commands(text: str) -> list[list[str]]:
    lines = re.findall(r"^    rerank-search (.*)", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{arguments}: {result.output} {result.exception}"
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two files of documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RERANK_SEARCH_HOME", raising=False)
    for name in ("notes.jsonl", "more.jsonl"):
        (tmp_path / name).write_text(LINES)
    return tmp_path


@pytest.mark.process
def test_an_index_is_made_and_filled(folder: Path) -> None:
    shown = commands(section("Make one, and fill it"))
    assert [each[:2] for each in shown] == [["index", "create"], ["index", "add"]]
    for command in shown:
        run(*command)
    with Index.open("indexes/notes") as index:
        assert list(index.ids()) == ["a", "b"]


@pytest.mark.slow
def test_the_python_examples_run(folder: Path) -> None:
    shown = blocks(PAGE, "python")
    assert shown
    for example in shown:
        exec(compile(example, "docs/indexing.md", "exec"), {})
    with Index.open("indexes/texts") as index:
        assert len(index) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "made"), [(None, "indexes/notes"), ("notes/*.jsonl.gz", "indexes/notes.index")]
)
def test_the_definition_builds_the_index_that_it_names(
    folder: Path, files: str | None, made: str
) -> None:
    text = section("Definitions")
    (definition,) = blocks(text, "toml")
    name = re.match(r"# (\S+\.toml)\n", definition)
    assert name is not None
    path = folder / name[1]
    path.parent.mkdir()
    (pattern,) = tomllib.loads(definition)["files"]
    if files is not None:
        definition = definition.replace(pattern, files)
    path.write_text(definition)
    corpus = path.parent / (files or pattern).replace("*", "first")
    corpus.parent.mkdir(parents=True)
    corpus.write_bytes(gzip.compress(LINES.encode()))
    for _ in range(2):
        for command in commands(text):
            assert run(*command).startswith(f"{made}: 2 documents")
    assert corpus.is_file()
    assert "text of b" in run("search", "notes", "text of b", "--no-rerank", "--json")
    assert run("index", "list").split() == ["notes", "2", made]


def test_the_index_is_changed_and_looked_after(folder: Path) -> None:
    run("index", "create", "notes", "--no-encoder")
    shown = [
        *commands(section("Change and look after it")),
        *commands(section("What can go wrong, and what cannot")),
    ]
    assert len(shown) > 7
    for command in shown:
        run(*command)
    with Index.open("indexes/notes") as index:
        assert list(index.ids()) == ["a", "b"]
