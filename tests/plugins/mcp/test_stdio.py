from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from rerank_search import Index

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
    """A server process, to which messages are written as they are."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def send(self, *messages: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def hello(self) -> None:
        self.send(HELLO)
        assert self.read()["result"]["serverInfo"]["name"] == "rerank-search"
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})


@contextmanager
def talking(home: Path, *arguments: str, **environment: str) -> Iterator[Talk]:
    with subprocess.Popen(
        [sys.executable, *COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RERANK_SEARCH_HOME": str(home), **environment},
    ) as process:
        try:
            yield Talk(process)
        finally:
            process.kill()


def test_nothing_but_json_rpc_is_written(
    home: Path, tiny_reranker: Path, install_package: Callable[..., Path]
) -> None:
    """With a model that is not loaded yet, and a package that prints in every way."""
    site = install_package(
        {"noisy.py": NOISY}, {"rerank_search.rerankers": {"noisy": "noisy:Noisy"}}
    )
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path, "TINY_RERANKER": str(tiny_reranker)}
    with talking(home, "notes", "--reranker", "noisy", **variables) as talk:
        talk.hello()
        talk.send(SEARCH)
        assert not talk.read()["result"]["isError"]
        rest, printed = talk.process.communicate()
    assert talk.process.returncode == 0
    assert rest == ""
    for where in ("at import", "in Python", "below Python", "of a child", "at the end"):
        assert f"a print {where}" in printed
    assert "a child read" not in printed


def test_ctrl_c_ends_it_while_it_waits_for_input(home: Path) -> None:
    with talking(home, "notes") as talk:
        talk.hello()
        talk.process.send_signal(signal.SIGINT)
        rest, said = talk.process.communicate()  # its input is still open until here
    assert (talk.process.returncode, rest, said) == (130, "", "interrupted\n")


def test_it_ends_with_the_reader_of_its_answers(home: Path, tiny_reranker: Path) -> None:
    with talking(home, "notes", "--reranker", str(tiny_reranker)) as talk:
        talk.hello()
        assert talk.process.stdout is not None
        talk.process.stdout.close()
        talk.send(request(2, "ping"))
        assert talk.process.wait() == 0
        assert talk.process.stderr is not None
        assert talk.process.stderr.read() == ""


def test_a_damaged_index_is_told_before_the_handshake(tmp_path: Path) -> None:
    Index.create(tmp_path / "notes", encoder=None).close()
    (tmp_path / "notes" / "manifest.json").write_text("{")
    with talking(tmp_path, "notes") as talk:
        out, said = talk.process.communicate(json.dumps(HELLO) + "\n")
    assert (talk.process.returncode, out) == (1, "")
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
