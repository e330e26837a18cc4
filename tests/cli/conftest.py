from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rerank_search.cli.main import app, main

LINES = [
    {"id": "join", "text": "join two paths", "title": "Paths", "module": "os", "year": 2020},
    {"id": "shell", "text": "run a shell command", "module": "subprocess", "year": 2021},
    {"id": "split", "text": "split a path into two parts", "module": "os", "year": 2022},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RERANK_SEARCH_HOME", raising=False)
    return tmp_path


@pytest.fixture
def run() -> Callable[..., Result]:
    """The command line in this process: quick, but without the handling of errors and streams."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return invoke


@pytest.fixture
def called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line in this process, with exit codes and errors: quicker than ``program``."""

    def invoke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        before = dict(os.environ)
        os.environ |= environment
        monkeypatch.setattr(sys, "argv", ["rerank-search", *arguments])
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:  # with what the command sets for the libraries
            os.environ.clear()
            os.environ |= before
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return invoke


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a process: exit codes, streams, errors."""

    def invoke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from rerank_search.cli.main import main; main()", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            check=False,
        )

    return invoke


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an index of LINES with options of ``index create``, by the command line, once."""

    @cache
    def make(*options: str) -> Path:
        folder = tmp_path_factory.mktemp("made")
        (folder / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
        index, corpus = str(folder / "index"), str(folder / "notes.jsonl")
        for command in (("create", index, *options), ("add", index, corpus)):
            assert CliRunner().invoke(app, ["index", *command]).exit_code == 0
        return folder

    return make


@pytest.fixture
def notes(folder: Path, made: Callable[..., Path]) -> Path:
    """An index of three documents, without a dense stage, at indexes/notes."""
    shutil.copy(made("--no-encoder") / "notes.jsonl", folder)
    return Path(shutil.copytree(made("--no-encoder") / "index", folder / "indexes" / "notes"))


@pytest.fixture
def both(notes: Path, made: Callable[..., Path], tiny_encoder: Path) -> str:
    """The same documents in an index with both first stages."""
    shutil.copytree(made("--encoder", str(tiny_encoder)) / "index", notes.with_name("both"))
    return "both"


@pytest.fixture
def answer(run: Callable[..., Result]) -> Callable[..., Any]:
    """The parsed output of a command with --json."""

    def ask(*arguments: str) -> Any:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return ask
