"""Uploads to a local stand-in of the hub, which supports uploads of small files."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.training.publish.push import push

TOKEN = "hf_for_tests_alone"


class Hub(ThreadingHTTPServer):
    """A hub that keeps files of repositories, for TOKEN; ``refuses`` has statuses for others."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.public: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []
        self.refuses: dict[str, int] = {}
        self.metadata_errors: dict[str, str] = {}

    def create(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = f"{request['organization'] or 'ada'}/{request['name']}"
        exists = name in self.public
        if not exists:
            self.public[name] = request.get("visibility") != "private"
            self.files[name] = {}
        return 409 if exists else 200, {"url": f"{self.url}/{name}"}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
        return {"commitUrl": f"{self.url}/{name}/commit/1", "commitOid": "1", "success": True}


class HubRequest(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/api/models/")
        if name not in self.server.public:
            return self.answer(404, {"error": "there is nothing here"})
        private = not self.server.public[name]
        return self.answer(200, {"id": name, "private": private, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lines = [json.loads(line) for line in body.splitlines()]
        path = self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.server.refuses:
            return self.answer(self.server.refuses[token], {"error": "no room left"})
        if token != TOKEN and token not in self.server.metadata_errors:
            return self.answer(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self.answer(*self.server.create(lines[0]))
        if path == "/api/validate-yaml":
            wrong = self.server.metadata_errors.get(token)
            errors = [{"message": wrong}] if wrong else []
            return self.answer(400 if errors else 200, {"errors": errors, "warnings": []})
        name, _, action = path.removeprefix("/api/models/").rpartition("/main")[0].rpartition("/")
        if action == "preupload":
            modes = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in lines[0]["files"]
            ]
            return self.answer(200, {"files": modes})
        return self.answer(200, self.server.commit(name, lines))

    def answer(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(tiny_reranker: Path, tmp_path: Path) -> Path:
    """A model's directory, with other files that a run may leave in it."""
    directory = tmp_path / "model"
    shutil.copytree(tiny_reranker, directory)
    card = '---\ntags:\n- reranker\n---\nmodel = CrossEncoder("cross_encoder_model_id")\n'
    (directory / "README.md").write_text(card)
    (directory / "loss.svg").write_text("<svg/>")
    for name in ("optimizer.pt", "train.jsonl", "trainer_state.json", ".hidden.json"):
        (directory / name).write_text("{}")
    for name in ("checkpoint-20", "notes-data", ".cache"):
        (directory / name).mkdir()
        (directory / name / "config.json").write_text("{}")
    return directory


LEFT_OUT = [".cache/", ".hidden.json", "checkpoint-20/", "notes-data/"]
LEFT_OUT += ["optimizer.pt", "train.jsonl", "trainer_state.json"]


PUSHES = """
import json, os, sys
from rerank_search.cli.main import main

*arguments, tokens = sys.argv[1:]
codes = set()
for token in json.loads(tokens) or [os.environ["HF_TOKEN"]]:
    os.environ["HF_TOKEN"] = token
    sys.argv = ["rerank-search", "push", *arguments]
    try:
        main()
    except SystemExit as ended:
        codes.add(ended.code)
[code] = codes
sys.exit(code)
"""
"""Pushes a model with several tokens, one after the other."""


@pytest.fixture
def program(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``rerank-search push`` as a process, with the stand-in as its hub, for each of ``tokens``."""

    def invoke(
        *arguments: object, tokens: Sequence[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        ours = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": TOKEN,
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-c", PUSHES, *map(str, arguments), json.dumps(tokens)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ours, **environment},
            check=False,
        )

    return invoke


@pytest.mark.slow
def test_a_model_arrives_whole_without_what_it_was_made_from(
    hub: Hub, model: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = program(model, "rivers", "--private", "--message", "First version")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"pushed {hub.url}/ada/rivers\n"
    assert f"left out: {', '.join(LEFT_OUT)}" in result.stderr
    assert hub.public == {"ada/rivers": False}
    assert hub.messages == ["First version"]
    arrived = hub.files["ada/rivers"]
    assert {"README.md", "config.json", "model.safetensors", "loss.svg"} <= set(arrived)
    assert not set(arrived) & {*LEFT_OUT, "checkpoint-20/config.json", "notes-data/config.json"}
    for name in arrived.keys() - {"README.md"}:
        assert arrived[name] == (model / name).read_bytes()
    assert b'model = CrossEncoder("ada/rivers")' in arrived["README.md"]
    assert "cross_encoder_model_id" in (model / "README.md").read_text()


@pytest.mark.slow
def test_a_repository_that_exists_gets_the_new_files(
    hub: Hub, model: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    hub.public["sea/rivers"], hub.files["sea/rivers"] = True, {"config.json": b"old"}
    result = program(model, "sea/rivers", "--json")
    assert result.returncode == 0, result.stderr
    pushed = json.loads(result.stdout)
    assert pushed["url"] == f"{hub.url}/sea/rivers"
    assert pushed["left_out"] == LEFT_OUT
    assert set(pushed["files"]) == set(hub.files["sea/rivers"])
    assert hub.files["sea/rivers"]["config.json"] == (model / "config.json").read_bytes()


@pytest.mark.slow
def test_nothing_goes_into_a_public_repository_if_private_was_asked_for(
    hub: Hub, model: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    hub.public["ada/rivers"], hub.files["ada/rivers"] = True, {}
    result = program(model, "ada/rivers", "--private")
    assert result.returncode == 1
    assert "ada/rivers is already public, so nothing was uploaded" in result.stderr
    assert hub.files["ada/rivers"] == {}


@pytest.mark.slow
def test_what_goes_wrong_is_one_line_that_says_what_to_do(
    hub: Hub, model: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def failure(**environment: str) -> str:
        result = program(model, "ada/rivers", **environment)
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    assert "RERANK_SEARCH_OFFLINE is set" in failure(RERANK_SEARCH_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in failure(HF_HUB_OFFLINE="1")
    assert "cannot be reached" in failure(HF_ENDPOINT="http://127.0.0.1:9")
    hub.refuses = {"hf_of_a_reader": 403, "hf_of_a_hoarder": 413}
    hub.metadata_errors = {"hf_of_a_misspeller": '"base_model" is not a name'}
    tokens = ["", "hf_of_nobody", *hub.refuses, *hub.metadata_errors]
    result = program(model, "ada/rivers", tokens=tokens)
    assert result.returncode == 1
    said = [
        "there is no token for the hub: run `hf auth login`",
        "does not accept the token",
        "the token may not write to ada/rivers",
        "refused the upload to ada/rivers (status 413): no room left",
        '"base_model" is not a name',
    ]
    for line, expected in zip(result.stderr.splitlines(), said, strict=True):
        assert expected in line
    assert hub.files == {"ada/rivers": {}}


def test_a_name_that_no_repository_can_have_is_wrong_usage(
    model: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = program(model, "a/b/c")
    assert result.returncode == 2
    assert "'a/b/c' cannot be the name of a repository" in result.stderr


def test_a_directory_that_is_not_there_or_holds_no_model_is_refused_before_anything_is_sent(
    model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="there is no directory"):
        push(tmp_path / "nowhere", "ada/rivers")
    (model / "model.safetensors").unlink()
    with pytest.raises(InvalidInputError, match=r"no config.json or no .safetensors file"):
        push(model, "ada/rivers")
