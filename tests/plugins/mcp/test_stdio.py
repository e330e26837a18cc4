from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest
from mcp import Client, StdioServerParameters

from rerank_search import Index
from tests import warm
from tests.warm import Warm

pytestmark = pytest.mark.process

COMMAND = ["-m", "rerank_search", "mcp"]
NOISY = """
import atexit
import os

print("a print at import")
atexit.register(print, "a print at the end")


class Noisy:
    name = "noisy"
    model = None

    def score(self, pairs):
        from rerank_search import CrossEncoderReranker

        print("a print in Python")
        os.write(1, b"a print below Python\\n")
        os.system("echo a print of a child; read line && echo a child read $line")
        self.model = self.model or CrossEncoderReranker(os.environ["TINY_RERANKER"])
        return self.model.score(pairs)
"""


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


HELLO = request(
    1,
    "initialize",
    protocolVersion="2025-06-18",
    capabilities={},
    clientInfo={"name": "test", "version": "1"},
)
SEARCH = request(2, "tools/call", name="search", arguments={"query": "two paths"})


class Talk:
    """Talks with a server process: messages are written as they are."""

    def __init__(self, writes: IO[str], reads: IO[str]) -> None:
        self.writes, self.reads = writes, reads

    def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.writes.write(json.dumps(message) + "\n")
        self.writes.flush()

    def read(self) -> Any:
        return json.loads(self.reads.readline())

    def hello(self) -> None:
        self.send(HELLO)
        assert self.read()["result"]["serverInfo"]["name"] == "rerank-search"
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})


Started = tuple[Talk, Warm, Path]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts the command: a talk with it, its process, and the file of its standard error."""
    with ExitStack() as ends:
        given, answered, errors = (tmp_path / name for name in ("given", "answered", "errors"))

        def start(home: Path, *arguments: str) -> Started:
            os.mkfifo(given)
            os.mkfifo(answered)
            process = warm.start(
                warm.COMMAND_LINE,
                *("mcp", *arguments),
                input=given,
                output=answered,
                errors=errors,
                environment={"RERANK_SEARCH_HOME": str(home)},
            )
            ends.callback(process.kill)
            writes = ends.enter_context(given.open("w"))
            return Talk(writes, ends.enter_context(answered.open())), process, errors

        yield start


def test_nothing_but_json_rpc_is_written(
    home: Path, tiny_reranker: Path, install_package: Callable[..., Path]
) -> None:
    """With a model that is not loaded yet, and a package that prints in every way."""
    site = install_package(
        {"noisy.py": NOISY}, {"rerank_search.rerankers": {"noisy": "noisy:Noisy"}}
    )
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path, "TINY_RERANKER": str(tiny_reranker)}
    with subprocess.Popen(
        [sys.executable, *COMMAND, "notes", "--reranker", "noisy"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RERANK_SEARCH_HOME": str(home), **variables},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        talk = Talk(process.stdin, process.stdout)
        talk.hello()
        talk.send(SEARCH)
        assert not talk.read()["result"]["isError"]
        rest, printed = process.communicate()
    assert process.returncode == 0
    assert rest == ""
    for where in ("at import", "in Python", "below Python", "of a child", "at the end"):
        assert f"a print {where}" in printed
    assert "a child read" not in printed


def test_ctrl_c_ends_it_while_it_waits_for_input(
    home: Path, started: Callable[..., Started]
) -> None:
    talk, process, errors = started(home, "notes")
    talk.hello()
    process.signal(signal.SIGINT)
    assert process.wait() == 130  # its input is still open
    assert (talk.reads.read(), errors.read_text()) == ("", "interrupted\n")


def test_it_ends_with_the_reader_of_its_answers(
    home: Path, tiny_reranker: Path, started: Callable[..., Started]
) -> None:
    talk, process, errors = started(home, "notes", "--reranker", str(tiny_reranker))
    talk.hello()
    talk.reads.close()
    talk.send(request(2, "ping"))
    assert process.wait() == 0
    assert errors.read_text() == ""


def test_a_damaged_index_is_told_before_the_handshake(
    tmp_path: Path, started: Callable[..., Started]
) -> None:
    Index.create(tmp_path / "notes", encoder=None).close()
    (tmp_path / "notes" / "manifest.json").write_text("{")
    talk, process, errors = started(tmp_path, "notes")
    talk.send(HELLO)
    assert process.wait() == 1
    assert talk.reads.read() == ""
    said = errors.read_text()
    assert said.startswith("error: ")
    assert said.count("\n") == 1


async def test_a_session_of_the_sdk(
    home: Path, tiny_reranker: Path, answer: Callable[[Any], Any]
) -> None:
    server = StdioServerParameters(
        command=sys.executable,
        args=[*COMMAND, "notes", "--reranker", str(tiny_reranker), "--about", "Notes."],
        env={**os.environ, "RERANK_SEARCH_HOME": str(home)},
    )
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        assert "Notes. Indexes: notes (3 documents)." in tools[0].description
        queries = [f"{word} {number}" for number in range(8) for word in ("path", "a", "x", "os")]
        calls = [("search_passages", {"query": query}) for query in queries]
        together = await asyncio.gather(*(client.call_tool(*call) for call in calls))
        alone = [await client.call_tool(*call) for call in calls]
        for one, other in zip(map(answer, alone), map(answer, together), strict=True):
            assert [hit["id"] for hit in one["hits"]] == [hit["id"] for hit in other["hits"]]
        for hit in answer(alone[0])["hits"]:
            got = answer(await client.call_tool("fetch", {"id": hit["id"]}))
            assert got["text"] == hit["passage"]


V1 = """
import asyncio, json, sys
from importlib.metadata import version
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    server = StdioServerParameters(command=sys.executable, **json.loads(sys.argv[1]))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        listed = await session.list_tools()
        found = await session.call_tool("search", {"query": "two paths"})
        first = found.structuredContent["results"][0]
        got = await session.call_tool("fetch", {"id": first["id"]})
        read = await session.read_resource("rerank-search://notes/join")
        wrong = await session.call_tool("fetch", {"id": "x"})
        print(json.dumps({
            "tools": [tool.name for tool in listed.tools],
            "first": first,
            "fetched": json.loads(got.content[0].text),
            "resource": read.contents[0].text,
            "wrong": [wrong.isError, wrong.content[0].text],
        }))

import mcp
assert version("mcp").startswith("1."), version("mcp")
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def v1_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK's version 1 alone, which goes before the installed one.

    It cannot be installed beside version 2; its own dependencies are here already.
    """
    folder = tmp_path_factory.mktemp("v1")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*install, "--target", str(folder), "mcp<2", "httpx-sse"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"pip cannot install mcp<2 here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.mark.slow
def test_a_client_of_the_first_sdk_is_answered(
    home: Path, tiny_reranker: Path, v1_sdk: Path
) -> None:
    server = {
        "args": [*COMMAND, "notes", "--reranker", str(tiny_reranker)],
        "env": {**os.environ, "RERANK_SEARCH_HOME": str(home)},
    }
    path = os.pathsep.join([str(v1_sdk), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", V1, json.dumps(server)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["tools"] == ["search", "fetch", "search_passages", "list_indexes", "rerank"]
    assert said["first"]["id"] == "notes/join"
    assert said["fetched"]["text"] == "join two paths"
    assert said["resource"] == "Paths\n\njoin two paths"
    assert said["wrong"][0] is True
    assert "INDEX/ID" in said["wrong"][1]
